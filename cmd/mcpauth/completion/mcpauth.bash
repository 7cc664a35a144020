# bash completion for mcpauth. To use it: source <(mcpauth completion bash)
_mcpauth() {
	local words line=${COMP_LINE:0:COMP_POINT} candidate
	read -ra words <<<"$line"
	[[ $line != *[[:space:]] ]] || words+=('')
	local word=${words[-1]}
	local broken=${word%"${word##*[:=]}"} # bash completes what follows the last : or =
	COMPREPLY=()
	while IFS=$'\t' read -r candidate _; do
		COMPREPLY+=("$(printf '%q' "${candidate#"$broken"}")")
	done < <(mcpauth __complete "${words[@]:1}" 2>/dev/null)
	if ((${#COMPREPLY[@]} == 0)); then
		compopt -o default
	elif [[ ${COMPREPLY[0]} == *= ]]; then
		compopt -o nospace
	fi
} 2>/dev/null
complete -F _mcpauth mcpauth
