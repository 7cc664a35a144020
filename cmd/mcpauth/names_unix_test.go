//go:build unix

package main

import (
	"os/exec"
	"strings"
	"testing"
)

// A name that a stranger chose is data for a shell. A user can paste it as an argument, and the shell neither expands a variable nor runs a
// command.
func TestPastedNames(t *testing.T) {
	for _, modules := range []string{"", "/opt/powershell/Modules"} {
		t.Setenv("PSModulePath", modules)
		t.Setenv("CANARY", "canary0123")
		for _, name := range []string{"notes://today/${CANARY}", "$CANARY", "notes://x/$(echo canary0123)", "`echo canary0123`", "a b$CANARY", `"$CANARY"`, `'$CANARY'`, `\$CANARY`,
			"x\u200b$CANARY", "\u201d$CANARY", "'\u200b$CANARY", "'; echo canary0123; '", "a\\' $CANARY", "{a,b}", "x{1..3}", "~/x", "*", "[a-z]", "#x", "!x", "a\n$CANARY", "a=$CANARY", "$'\\x24CANARY'", ""} {
			out, err := exec.Command("sh", "-c", "printf '%s\\n' "+foreignName(name)).CombinedOutput()
			if s := string(out); err != nil || strings.Count(s, "\n") != 1 || strings.Contains(strings.ReplaceAll(s, "echo canary0123", ""), "canary0123") {
				t.Errorf("%q is shown as %s, which a shell reads as %q, %v", name, foreignName(name), s, err)
			}
		}
	}
}
