#compdef mcpauth
# zsh completion for mcpauth. To use it: mcpauth completion zsh >"${fpath[1]}/_mcpauth", or source <(mcpauth completion zsh)
_mcpauth() {
	local -a lines closed closed_text open open_text
	local line word text
	local -i width
	lines=("${(@f)$(mcpauth __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
	for line in $lines; do
		word=${line%%$'\t'*}
		(( ${#word} <= width )) || width=${#word}
	done
	for line in $lines; do
		word=${line%%$'\t'*} text=${line#"$word"}
		text="${(r:width:)word}${text/$'\t'/  }"
		case $word in
			*[=/]) open+=("$word") open_text+=("${text[1,COLUMNS-1]}") ;; # no blank is added, because the word is incomplete
			*) closed+=("$word") closed_text+=("${text[1,COLUMNS-1]}") ;;
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
