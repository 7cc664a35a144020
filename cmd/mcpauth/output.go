// output.go writes all output of the program by these rules:
//
//   - stdout contains only data. With --json, stdout is one JSON document.
//   - stderr contains progress, warnings, hints and errors. With --quiet, stderr contains only errors.
//   - With --json, an error is one line of JSON.
//   - Colours, progress bars and shortened tables appear only on a terminal. NO_COLOR turns off the colours.
//   - On a terminal, control characters in text from a server are removed. In a pipe or a file, data is not changed.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/flow"
)

// An output writes to stdout and stderr.
type output struct {
	stdout, stderr           io.Writer
	json, quiet, verbose     bool
	outTerminal, errTerminal bool
	outColour, errColour     bool
	width                    int // columns of the terminal; 0 if stdout is not a terminal

	secrets httpx.Secrets               // the user's headers and variables; no server can choose them, so all output except a tool's data and hints may mask them
	logins  atomic.Pointer[flow.Client] // the logins of the command, whose tokens messages mask; nil: none yet

	mu       sync.Mutex // guards stderr and the progress bar
	barShown bool       // whether a progress bar is shown
	barCount int        // number of progress bars so far

	noted         map[string]int // elements counted by isOneOfFirst; guarded by mu
	notified      minuteLimit    // what servers have made the command print with --verbose
	lasting       atomic.Bool    // the command has no time limit, so notified also limits the exchanges that --verbose prints
	stdoutWriters atomic.Int32   // number of goroutines that write to stdout now
}

// hideSecrets records the user's secrets. Messages mask these secrets, and no child process gets them.
func (p *program) hideSecrets(secrets ...string) {
	p.secrets = append(p.secrets, secrets...)
	p.out.secrets.AddValues(secrets...)
}

// hideVariables records environment variables that contain secrets. No child process gets these variables. Messages mask a value only if it
// has at least 8 bytes, because a shorter value, such as "true", often occurs in text that is not secret.
func (p *program) hideVariables(names ...string) {
	for _, name := range names {
		value := p.getenv(name)
		p.secretEntries = append(p.secretEntries, name+"="+value)
		if len(value) >= 8 {
			p.hideSecrets(value)
		}
	}
}

func newOutput(stdout, stderr io.Writer, env func(string) (string, bool)) *output {
	noColour, _ := env("NO_COLOR")
	kind, _ := env("TERM")
	colour := noColour == "" && kind != "dumb"
	o := &output{stdout: stdout, stderr: stderr, noted: map[string]int{}}
	o.outTerminal, o.width = isTerminal(stdout)
	o.errTerminal, _ = isTerminal(stderr)
	o.outColour, o.errColour = colour && o.outTerminal, colour && o.errTerminal
	return o
}

// isTerminal reports whether w is a terminal, and returns the width of the terminal.
func isTerminal(w any) (bool, int) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false, 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	return true, width
}

// printNote prints a message for the user on one line. Line breaks become blanks, because a server could begin a new line and imitate a
// message of mcpauth. For the same reason, format must not begin with text from a server.
func (o *output) printNote(format string, args ...any) {
	if !o.quiet {
		o.printLine(o.formatNote(format, args))
	}
}

func (o *output) printDetail(format string, args ...any) {
	if o.verbose && !o.quiet {
		o.printLine(o.formatNote(format, args))
	}
}

func (o *output) printWarning(format string, args ...any) {
	if !o.quiet {
		o.printLine(paint(o.errColour, yellow, "warning:") + " " + o.formatNote(format, args))
	}
}

func (o *output) formatNote(format string, args []any) string {
	return o.cleanMessage(fmt.Sprintf(format, args...))
}

// cleanMessage returns a message as one line of limited length in which secrets are masked and blanks are folded; see httpx.Text.
func (o *output) cleanMessage(text string) string {
	return httpx.Text(inert(o.mask(oneLine(text))), 4000)
}

// The method mask replaces the user's secrets and those of the logins in a text of the program.
func (o *output) mask(text string) string {
	text = o.secrets.MaskValues(text)
	if c := o.logins.Load(); c != nil {
		text = c.MaskIssued(text)
	}
	return text
}

// printLine writes a line to stderr, even with --quiet.
func (o *output) printLine(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clearBar()
	fmt.Fprintln(o.stderr, line)
}

// writeDocument writes a value to stdout as JSON in which secrets are masked.
func (o *output) writeDocument(v any) error {
	data, err := encodeJSON(v, "  ")
	if err != nil {
		return err
	}
	return o.writeData(o.secrets.MaskJSON(data))
}

// writeUnmasked writes a value to stdout as JSON. Secrets are not masked, because the user asked for the value. Without indent, the JSON is one line.
func (o *output) writeUnmasked(v any, indent string) error {
	data, err := encodeJSON(v, indent)
	if err != nil {
		return err
	}
	return o.writeData(data)
}

// encodeJSON returns a value as JSON, followed by a line end. The characters <, > and & are not escaped.
func encodeJSON(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// writeRaw writes JSON as a server sent it, followed by a line end.
func (o *output) writeRaw(data json.RawMessage) error {
	if o.outTerminal || len(data) < manyBytes {
		return o.writeText(string(data))
	}
	if err := o.write(data); err != nil { // the line end is written separately, because appending it would copy data
		return err
	}
	return o.write([]byte("\n"))
}

// manyBytes is the size at which two writes become faster than one copy.
const manyBytes = 1 << 20

// writeText writes text from a server, followed by a line end.
func (o *output) writeText(s string) error {
	if strings.HasSuffix(s, "\n") {
		return o.writeString(s)
	}
	if len(s) < manyBytes {
		return o.writeString(s + "\n")
	}
	if err := o.writeString(s); err != nil {
		return err
	}
	return o.writeString("\n")
}

// writeString writes text to stdout. If stdout is a terminal, control characters are removed.
func (o *output) writeString(s string) error {
	if o.outTerminal {
		s = removeControls(s)
	}
	o.mu.Lock()
	o.clearBar()
	o.mu.Unlock()
	o.stdoutWriters.Add(1)
	defer o.stdoutWriters.Add(-1)
	_, err := io.WriteString(o.stdout, s)
	return stdoutError(err)
}

// stdoutError wraps an error of a write to stdout in an *outputError.
func stdoutError(err error) error {
	if err == nil {
		return nil
	}
	return &outputError{"stdout", err}
}

// writeData writes bytes to stdout. If stdout is a terminal, control characters are removed.
func (o *output) writeData(b []byte) error {
	if o.outTerminal {
		b = []byte(removeControls(string(b)))
	}
	return o.write(b)
}

func (o *output) write(data []byte) error {
	o.mu.Lock()
	o.clearBar()
	o.mu.Unlock()
	o.stdoutWriters.Add(1)
	defer o.stdoutWriters.Add(-1)
	_, err := o.stdout.Write(data)
	return stdoutError(err)
}

// closeStdout closes stdout, so that a program that reads stdout from a pipe need not wait for the last requests of mcpauth.
func (o *output) closeStdout() error {
	c, ok := o.stdout.(io.Closer)
	if !ok {
		return nil
	}
	o.stdout = io.Discard
	return stdoutError(c.Close())
}

// shorten cuts a text to a width in terminal cells.
func shorten(s string, cells int) string {
	if runewidth.StringWidth(s) <= cells {
		return s
	}
	return runewidth.Truncate(s, cells, "…")
}

// removeControls removes control, format and private-use characters, because they could control a terminal or reorder its text. Tabs and
// line ends are kept.
func removeControls(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// foldLine is oneLine for a text of a server: each run of blanks becomes one blank.
func foldLine(s string) string { return httpx.Text(s, len(s)) }

// oneLine removes control and other invisible characters, and replaces line breaks and characters that look like blanks by blanks.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case httpx.IsBlank(r):
			return ' '
		case httpx.IsInvisible(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// The colours, as SGR parameters.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func paint(on bool, colour, s string) string {
	if !on || s == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// quote puts a word in quotation marks, which are those of the shell if a shell would expand the word otherwise. Control characters are removed,
// and a long word is shortened to 80 columns.
func quote(s string) string {
	s = shorten(removeControls(s), 80)
	if strings.ContainsAny(s, "$`!") {
		return foreignName(s)
	}
	return strconv.Quote(s)
}
