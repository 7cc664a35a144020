# bash completion for mcpauth. To use it: source <(mcpauth completion bash)
_mcpauth() {
	local words line=${COMP_LINE:0:COMP_POINT} candidate
	read -ra words <<<"$line"
	[[ $line != *[[:space:]] ]] || words+=('')
	local word=${words[${#words[@]} - 1]} # bash 3.2 of macOS knows no negative index
	local broken=${word%"${word##*[:=]}"} # bash completes what follows the last : or =
	COMPREPLY=()
	while IFS=$'\t' read -r candidate _; do
		COMPREPLY+=("$(printf '%q' "${candidate#"$broken"}")")
	done < <(mcpauth __complete "${words[@]:1}" 2>/dev/null)
	if [[ ${COMPREPLY[0]} == *= ]]; then
		compopt -o nospace # bash 3.2 has no compopt: there a blank follows
	fi
} 2>/dev/null
complete -o default -F _mcpauth mcpauth
