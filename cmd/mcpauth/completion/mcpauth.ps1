# PowerShell completion for mcpauth. To use it: mcpauth completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName mcpauth -ScriptBlock {
    param($word, $ast, $cursor)
    $words = @($ast.CommandElements | Select-Object -Skip 1 | Where-Object { $_.Extent.StartOffset -lt $cursor } | ForEach-Object {
        if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value } else { $_.ToString() }
    })
    # Some versions of PowerShell pass no empty argument to a program. __complete reads two quotation marks as an empty word.
    if ($word -eq '') { $words += '""' }
    mcpauth __complete @words 2>$null | ForEach-Object {
        $candidate, $text = $_ -split "`t", 2
        # PowerShell before 7.3 does not escape quotation marks in an argument, nor a backslash before the quotation mark that it adds. Newer
        # versions do the same if $PSNativeCommandArgumentPassing is Legacy, or for a .cmd file.
        if ($candidate -match '"|\s.*\\$') { return }
        if (-not $text) { $text = $candidate }
        $quoted = $candidate
        # PowerShell reads -a.b and -a:b as two words.
        if ($candidate -cnotmatch '^([A-Za-z0-9_./:=+][A-Za-z0-9_./:=+-]*|-[A-Za-z0-9_/=+-]*)$') {
            $quoted = "'" + [System.Management.Automation.Language.CodeGeneration]::EscapeSingleQuotedStringContent($candidate) + "'"
        }
        [System.Management.Automation.CompletionResult]::new($quoted, $candidate, 'ParameterValue', $text)
    }
}
