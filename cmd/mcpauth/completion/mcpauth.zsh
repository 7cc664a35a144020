#compdef mcpauth
# zsh completion for mcpauth. To use it: mcpauth completion zsh >"${fpath[1]}/_mcpauth", or source <(mcpauth completion zsh)
_mcpauth() {
	local -a lines plain described open
	local line
	lines=("${(@f)$(mcpauth __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	for line in $lines; do
		if [[ $line == *$'\t'* ]]; then
			described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
		elif [[ -n $line ]]; then
			plain+=("$line")
		fi
	done
	if (( ${#described} + ${#plain} == 0 )); then
		_files
		return
	fi
	[[ $lines[1] != *=(|$'\t'*) ]] || open=(-S '') # an argument waits for its value: no blank behind it
	(( ${#described} == 0 )) || _describe -V mcpauth described "${(@)open}"
	(( ${#plain} == 0 )) || compadd "${(@)open}" -- "${plain[@]}"
}
if [[ ${funcstack[1]} == _mcpauth ]]; then
	_mcpauth "$@"
else
	compdef _mcpauth mcpauth
fi
