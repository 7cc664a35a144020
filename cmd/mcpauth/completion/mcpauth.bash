# bash completion for mcpauth. To use it: eval "$(mcpauth completion bash)"
# Bash 3.2 of macOS reads nothing from source <(...), and has no compopt.
_mcpauth() {
	local word
	COMPREPLY=()
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done < <(mcpauth __complete_bash "$COMP_WORDBREAKS" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
	[[ ${#COMPREPLY[@]} != 0 ]] || compopt +o nospace # bash then completes file names, and may add a blank
} 2>/dev/null
complete -o default -o nospace -F _mcpauth mcpauth
