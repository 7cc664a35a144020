//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestLikeTheRealOne(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	file := filepath.Join(t.TempDir(), "k")
	// add returns a line of n bytes, including the newline, in the form in which go-keyring writes it.
	add := func(account string, n int) string {
		line := "add-generic-password -U -s mcpauth -a " + account + " -w \n"
		return strings.Replace(line, " \n", " "+strings.Repeat("x", n-len(line))+"\n", 1)
	}
	for _, tt := range []struct {
		name, args, input string
		want              int // the exit code
	}{
		{"no keychain", "find-generic-password -s mcpauth -wa a", "", 37},
		{"make", "create-keychain -p pw " + file, "", 0},
		{"choose", "default-keychain -s " + file, "", 0},
		{"absent", "find-generic-password -s mcpauth -wa a", "", 44},
		{"nothing to delete", "delete-generic-password -s mcpauth -a a", "", 44},
		{"a line of 4095 bytes", "-i", add("a", 4095), 0},
		{"is stored", "find-generic-password -s mcpauth -wa a", "", 0},
		{"its end is another command", "-i", add("long", 4097), 2},
		{"quotes", "-i", `add-generic-password -s mcpauth -a 'it'"'"'s b' -w "x\"y"` + "\n", 0},
		{"twice without -U", "-i", `add-generic-password -s mcpauth -a "it's b" -w z`, 45},
		{"lock", "lock-keychain " + file, "", 0},
		{"read while locked", "find-generic-password -s mcpauth -wa a", "", 36},
		{"write while locked", "-i", "add-generic-password -U -s mcpauth -a a -w y\n", 36},
		{"a wrong password", "unlock-keychain -p no " + file, "", 51},
		{"unlock", "unlock-keychain -p pw " + file, "", 0},
		{"delete", "delete-generic-password -s mcpauth -a a", "", 0},
	} {
		if got := run(strings.Fields(tt.args), strings.NewReader(tt.input)) & 0xff; got != tt.want {
			t.Errorf("%s: exit %d, want %d", tt.name, got, tt.want)
		}
	}
	k, err := load(file)
	if want := `x"y`; err != nil || k.Items["mcpauth\x00it's b"] != want {
		t.Errorf("items %q, %v", k.Items, err)
	}
}
