package main

import (
	"regexp"
	"strings"
	"testing"
)

// The completion script must work in bash 3.2, the version of macOS, so it must not use features of later versions. The script may call
// compopt in one place, because it ignores a failure of that command.
func TestBashScript(t *testing.T) {
	later := regexp.MustCompile(`\b(mapfile|readarray|coproc|_init_completion|_get_comp_words_by_ref|__ltrim_colon_completions)\b|[a-z] -[a-zA-Z]*[An]\b|\$\{[^}]*(,|\^|@[A-Z])\}|\[-[0-9]|\|&|&>>|;;?&|\*\*|%\(|(source|\.) <\(.*\)$|\$'\\[uU]`)
	for i, line := range strings.Split(bashCompletion, "\n") {
		code, _, _ := strings.Cut(line, " # ")
		if found := later.FindString(code); found != "" && !strings.HasPrefix(line, "#") {
			t.Errorf("line %d: bash 3.2 has no %s", i+1, found)
		}
	}
	if strings.Count(bashCompletion, "compopt ") != 1 || !strings.Contains(bashCompletion, "|| compopt") {
		t.Error("bash 3.2 has no compopt")
	}
}
