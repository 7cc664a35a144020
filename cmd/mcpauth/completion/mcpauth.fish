# fish completion for mcpauth. To use it: mcpauth completion fish >~/.config/fish/completions/mcpauth.fish
function __mcpauth
    set -l words (commandline -opc)
    mcpauth __complete $words[2..-1] (commandline -ct) 2>/dev/null
    or return
end
complete -c mcpauth -f -a '(__mcpauth)'
complete -c mcpauth -F -n 'test -z "$(__mcpauth)"'
