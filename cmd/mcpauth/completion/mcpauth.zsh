#compdef mcpauth
# zsh completion for mcpauth. To use it: mcpauth completion zsh >"${fpath[1]}/_mcpauth", or source <(mcpauth completion zsh)
_mcpauth() {
	local -a closed closed_text open open_text
	local line word
	for line in "${(@f)$(mcpauth __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
		word=${line%%$'\t'*}
		line=${line/$'\t'/  -- }
		case $word in
			'') ;;
			*[=/]) open+=("$word") open_text+=("$line") ;; # more follows: no blank behind it
			*) closed+=("$word") closed_text+=("$line") ;;
		esac
	done
	if (( ${#open} + ${#closed} == 0 )); then
		_files
		return
	fi
	compadd -V mcpauth -l -d open_text -S '' -a open
	compadd -V mcpauth -l -d closed_text -a closed
}
if [[ ${funcstack[1]} == _mcpauth ]]; then
	_mcpauth "$@"
else
	compdef _mcpauth mcpauth
fi
