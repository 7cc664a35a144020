# fish completion for mcpauth. To use it: mcpauth completion fish >~/.config/fish/completions/mcpauth.fish
function __mcpauth
    set -l words (commandline -opc)
    set -l last (commandline -ot) # the last word without its quotes
    set -l hidden '~*' # fish would expand a leading ~ in the name of a tool, unless the word is quoted
    string match -qr '^["\']' -- (commandline -ct); and set hidden ''
    mcpauth __complete $words[2..-1] "$last" 2>/dev/null | string match -v -- $hidden
end
complete -c mcpauth -f -a '(__mcpauth)'
complete -c mcpauth -F -n 'test -z "$(__mcpauth)"'
