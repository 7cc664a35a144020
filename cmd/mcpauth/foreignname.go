package main

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"mcpauth/internal/httpx"
)

// templateVariable matches a variable of a URI template. POSIX shells, zsh and fish do not expand it. PowerShell begins another word there.
var templateVariable = regexp.MustCompile(`\{\w+\}`)

// foreignName returns a name that a stranger chose, on one line. The name can be that of a server in a project's file, of a tool or of a
// property, a URL or a path. A name that is not plain is quoted, so that it cannot look like a line of mcpauth or like another item of a list.
// The quotes are those of the shell, so that a shell neither expands nor runs a part of the name if the user pastes it. A character that
// cannot stand between the quotes is shown as <U+HHHH>.
func foreignName(name string) string {
	text := foldLine(name)
	ours := strings.EqualFold(text, "mcpauth") || strings.HasSuffix(text, ":") || strings.Contains(text, "=") // could begin a command line or a message
	q, bare := shellQuoting(), text
	if q.escape != nil { // not for PowerShell
		bare = templateVariable.ReplaceAllLiteralString(text, "x")
	}
	if text == name && !ours && q.isPlain(bare) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if r > unicode.MaxASCII && !isPlainLetter(r) || strings.ContainsRune(q.special, r) {
			fmt.Fprintf(&b, "<U+%04X>", r)
		} else {
			b.WriteRune(r)
		}
	}
	return q.quote(b.String())
}

// shortName is foreignName, cut to a width in terminal cells.
func shortName(name string, cells int) string { return cutName(foreignName(name), cells) }

// nameOrNone is shortName, but returns "" for an empty name.
func nameOrNone(name string, cells int) string {
	if name == "" {
		return ""
	}
	return shortName(name, cells)
}

// cutName cuts a result of foreignName, or several of them. A quoted name keeps its second quotation mark. Otherwise the first mark of the next
// name would end the quotes, and a shell would run what follows.
func cutName(name string, cells int) string {
	bounded := httpx.Text(name, cells) // some letters take no cell
	cut := shorten(bounded, cells)
	if cut != name && endsInQuotes(cut) {
		if cut = shorten(bounded, cells-1); endsInQuotes(cut) {
			cut += shellQuoting().mark
		}
	}
	return cut
}

// endsInQuotes reports whether a text ends inside the quotation marks of the shell. Outside of them, a backslash protects a mark.
func endsInQuotes(s string) (open bool) {
	mark := shellQuoting().mark[0]
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == mark:
			open = !open
		case s[i] == '\\' && !open:
			i++
		}
	}
	return open
}

// activeText matches what a shell could expand or run in a message: text in double quotation marks, and the beginning of a command.
var activeText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|\\$\\(|`") })

// inert returns a message in which a shell finds no variable in double quotation marks, and no command. The two characters are escaped as in
// JSON, and all quotation marks stay, because another function may have put the text between them.
func inert(message string) string {
	return activeText().ReplaceAllStringFunc(message, strings.NewReplacer("$", `\u0024`, "`", `\u0060`).Replace)
}

// writtenValue is foreignName for a value of a project's file that may contain variables. Variables alone need no quotes, because the user
// compares the value with the file, and does not paste it.
func writtenValue(s string) string {
	if bare := strings.NewReplacer("${", "", "}", "").Replace(s); foreignName(bare) == bare {
		return s
	}
	return foreignName(s)
}
