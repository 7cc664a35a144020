package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A completion that takes too long prints nothing, and the shell does not wait for its end.
func TestCompletionIsLimited(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	ended := make(chan error, 1)
	go func() { ended <- runWithin(10*time.Millisecond, func() error { <-hang; return nil }) }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("within waits for the end of the completion")
	}
}

// Bash reads other escapes in $'…' than in '…', so that a candidate could end the quote. No candidates are printed for such a line.
func TestBashLineWithDollarQuote(t *testing.T) {
	for line, complete := range map[string]bool{
		`mcpauth call notes $'`: false, `mcpauth call notes $"`: false, `mcpauth call notes a$'b`: false, `mcpauth call notes $'a' `: false, `mcpauth call notes a\\$'`: false, `mcpauth call notes "a"$'`: false,
		`mcpauth call notes \$'`: true, `mcpauth call notes '$'`: true, `mcpauth call notes "$"'`: true, `mcpauth call notes "$'`: true, `mcpauth call notes $a'`: true, `mcpauth call notes $ '`: true,
	} {
		if words, _, _ := bashLine(line, " ="); (len(words) > 0) != complete {
			t.Errorf("%s: words %q", line, words)
		}
	}
}

// In a locale such as zh_CN.GBK, bash could take the backslash that quotes a character for a part of the character before it.
func TestBashInOtherLocales(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, "c.json")
	if err := os.WriteFile(file, []byte(`{"mcpServers":{"notes":{"url":"https://a.example"},"n\u4f60$(id)":{"url":"https://b.example"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for locale, want := range map[string]string{"": "notes \nn\u4f60\\$\\(id\\) \n", "C": "notes \nn\u4f60\\$\\(id\\) \n", "de_DE.UTF-8": "notes \nn\u4f60\\$\\(id\\) \n", "zh_CN.GBK": "notes \n", "zh_TW": "notes \n"} {
		p, out := testProgram(), &strings.Builder{}
		p.out.stdout = out
		p.lookupEnv = func(name string) (string, bool) {
			value := map[string]string{"HOME": home, "LOCALAPPDATA": home, "USERPROFILE": home, "LANG": locale, "MCPAUTH_CONFIG": file, "MCPAUTH_KEYSTORE": "file"}[name]
			return value, value != ""
		}
		if err := p.printBashCandidates(t.Context(), " ", "mcpauth status n"); err != nil || out.String() != want {
			t.Errorf("%q: %q, %v; want %q", locale, out, err, want)
		}
	}
}

// The completion script of PowerShell leaves out words that PowerShell may change when it passes them to a program, quotes words that
// PowerShell would interpret, and removes the quotes from the words before the cursor. PowerShell is not installed on every machine, so this
// test applies the expressions of the script.
func TestPowerShellScript(t *testing.T) {
	expression := func(operator string) *regexp.Regexp {
		_, rest, _ := strings.Cut(powershellCompletion, operator+" '")
		pattern, _, ok := strings.Cut(rest, "')")
		if !ok {
			t.Fatalf("the script has no %s", operator)
		}
		return regexp.MustCompile(pattern)
	}
	leftOut, plain := expression("-match"), expression("-cnotmatch")
	for _, tt := range []struct {
		word           string
		leftOut, plain bool
	}{
		{"text=", false, true}, {"https://mcp.example.com:8443/mcp", false, true}, {"a b", false, false}, {`a"b`, true, false}, {`a b\`, true, false},
		{`a\`, false, false}, {"$HOME", false, false}, {"$(ls)", false, false}, {"`ls`", false, false}, {"~", false, false}, {"@x", false, false}, {"#x", false, false},
		{"--name", false, true}, {"-a.b", false, false}, {"--a:b", false, false}, {"a;ls", false, false}, {"a|ls", false, false}, {"a,b", false, false}, {"{x}", false, false}, {"%x", false, false}, {"n\u00e9", false, false}, {"it\u2019s", false, false},
	} {
		if leftOut.MatchString(tt.word) != tt.leftOut || plain.MatchString(tt.word) != tt.plain {
			t.Errorf("%q: left out %v, plain %v", tt.word, leftOut.MatchString(tt.word), plain.MatchString(tt.word))
		}
	}
	for _, line := range []string{
		"Where-Object { $_.Extent.StartOffset -lt $cursor }", // no word after the cursor
		"if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value } else { $_.ToString() }",
		"if ($word -eq '') { $words += '\"\"' }",
		"if ($candidate -match", // in every version, because $PSNativeCommandArgumentPassing can select the rules of PowerShell 7.2
		`"'" + [System.Management.Automation.Language.CodeGeneration]::EscapeSingleQuotedStringContent($candidate) + "'"`,
	} {
		if !strings.Contains(powershellCompletion, line) {
			t.Errorf("the script lacks %s", line)
		}
	}
}
