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
	"strings"
	"sync"
	"sync/atomic"
	"unicode"

	"github.com/mattn/go-runewidth"
	"github.com/olekukonko/tablewriter"
	"golang.org/x/term"

	"mcpauth/internal/httpx"
)

// output is stdout and stderr of one run.
type output struct {
	stdout, stderr           io.Writer
	json, quiet, verbose     bool
	outTerminal, errTerminal bool
	outColour, errColour     bool
	width                    int // columns of the terminal; 0 if stdout is not a terminal

	secrets httpx.Secrets // masked in all output, except in a tool's data and in the lines that a login needs

	mu   sync.Mutex // other goroutines report progress
	bar  bool       // whether a progress bar is shown
	bars int        // number of progress bars so far

	writing atomic.Int32 // number of goroutines that write to stdout now
}

// hide records secrets of the user. Messages mask these secrets, and no child process gets them.
func (p *program) hide(secrets ...string) {
	p.secrets = append(p.secrets, secrets...)
	p.out.secrets.Hide(secrets...)
}

// hideVariables records environment variables that contain secrets, which no child process gets. Messages mask a value only if it has at
// least 8 bytes. A shorter value, such as "true", often occurs in text that is not secret.
func (p *program) hideVariables(names ...string) {
	for _, name := range names {
		value := p.getenv(name)
		p.entries = append(p.entries, name+"="+value)
		if len(value) >= 8 {
			p.hide(value)
		}
	}
}

func newOutput(stdout, stderr io.Writer, env func(string) (string, bool)) *output {
	noColour, _ := env("NO_COLOR")
	kind, _ := env("TERM")
	colour := noColour == "" && kind != "dumb"
	o := &output{stdout: stdout, stderr: stderr}
	o.outTerminal, o.width = terminal(stdout)
	o.errTerminal, _ = terminal(stderr)
	o.outColour, o.errColour = colour && o.outTerminal, colour && o.errTerminal
	return o
}

// terminal reports whether w is a terminal, and its width.
func terminal(w any) (bool, int) {
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

// note prints a message for the user on one line. On a line of its own, text from a server could imitate a message of mcpauth.
func (o *output) note(format string, args ...any) {
	if !o.quiet {
		o.say(o.noteLine(format, args))
	}
}

// detail prints a message if --verbose is set.
func (o *output) detail(format string, args ...any) {
	if o.verbose && !o.quiet {
		o.say(o.noteLine(format, args))
	}
}

// warn prints a warning.
func (o *output) warn(format string, args ...any) {
	if !o.quiet {
		o.say(paint(o.errColour, yellow, "warning:") + " " + o.noteLine(format, args))
	}
}

// noteLine returns a message on one line of limited length, with secrets masked.
func (o *output) noteLine(format string, args []any) string {
	const most = 4000 // runes
	line := o.secrets.Mask(oneLine(fmt.Sprintf(format, args...)))
	if len(line) > most {
		line = httpx.Text(line, most)
	}
	return line
}

// say writes a line to stderr, even with --quiet.
func (o *output) say(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clearBar()
	fmt.Fprintln(o.stderr, line)
}

// progress shows the progress of a call as a bar on a terminal, or as lines with --verbose.
func (o *output) progress(done, total float64, message string) {
	message = cut(o.secrets.Mask(httpx.Text(message, 100)), 40)
	switch {
	case o.quiet:
	case o.errTerminal && !o.verbose:
		o.mu.Lock()
		defer o.mu.Unlock()
		fmt.Fprintf(o.stderr, "\r\x1b[K%s %s", progressBar(done, total, o.bars), message)
		o.bars++
		o.bar = true
	case total > 0:
		o.detail("progress: %g of %g %s", done, total, message)
	default:
		o.detail("progress: %s", message)
	}
}

// progressBar draws a progress bar. If the total is unknown, the bar is a mark that moves with each call.
func progressBar(done, total float64, times int) string {
	const cells = 24
	from, filled := times%(cells-2), 3
	if total > 0 {
		from, filled = 0, int(max(0, min(1, done/total))*cells)
	}
	return "[" + strings.Repeat(".", from) + strings.Repeat("#", filled) + strings.Repeat(".", cells-from-filled) + "]"
}

// clearBar removes a progress bar before anything else is written.
func (o *output) clearBar() {
	if o.bar {
		fmt.Fprint(o.stderr, "\r\x1b[K")
		o.bar = false
	}
}

// document writes a value to stdout as the JSON document, with secrets masked.
func (o *output) document(v any) error {
	data, err := encode(v, "  ")
	if err != nil {
		return err
	}
	return o.data(o.secrets.MaskJSON(data))
}

// exact writes a value to stdout as the JSON document. Secrets are not masked, because the user asked for them.
func (o *output) exact(v any) error {
	data, err := encode(v, "  ")
	if err != nil {
		return err
	}
	return o.data(data)
}

// line writes a value as one line of JSON.
func (o *output) line(v any) error {
	data, err := encode(v, "")
	if err != nil {
		return err
	}
	return o.data(data)
}

// encode returns a value as JSON and a line end. <, > and & are not escaped.
func encode(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// raw writes JSON as a server sent it, and a line end.
func (o *output) raw(data json.RawMessage) error {
	if o.outTerminal || len(data) < manyBytes {
		return o.text(string(data))
	}
	if err := o.write(data); err != nil { // the line end is written separately, because appending it would copy data
		return err
	}
	return o.write([]byte("\n"))
}

// manyBytes is the size from which two writes are faster than one copy.
const manyBytes = 1 << 20

// text writes text from a server and a line end.
func (o *output) text(s string) error {
	if strings.HasSuffix(s, "\n") {
		return o.string(s)
	}
	if len(s) < manyBytes {
		return o.string(s + "\n")
	}
	if err := o.string(s); err != nil {
		return err
	}
	return o.string("\n")
}

// string writes text to stdout. If stdout is a terminal, control characters are removed.
func (o *output) string(s string) error {
	if o.outTerminal {
		s = harmless(s)
	}
	o.mu.Lock()
	o.clearBar()
	o.mu.Unlock()
	o.writing.Add(1)
	defer o.writing.Add(-1)
	_, err := io.WriteString(o.stdout, s)
	return unwritten(err)
}

// unwritten wraps a write error of stdout in an *outputError.
func unwritten(err error) error {
	if err == nil {
		return nil
	}
	return &outputError{"stdout", err}
}

// data writes bytes to stdout. If stdout is a terminal, control characters are removed.
func (o *output) data(b []byte) error {
	if o.outTerminal {
		b = []byte(harmless(string(b)))
	}
	return o.write(b)
}

func (o *output) write(data []byte) error {
	o.mu.Lock()
	o.clearBar()
	o.mu.Unlock()
	o.writing.Add(1)
	defer o.writing.Add(-1)
	_, err := o.stdout.Write(data)
	return unwritten(err)
}

// finish closes stdout, so that a program that reads stdout from a pipe need not wait for the last requests of mcpauth.
func (o *output) finish() error {
	c, ok := o.stdout.(io.Closer)
	if !ok {
		return nil
	}
	o.stdout = io.Discard
	return unwritten(c.Close())
}

// table writes rows under a header. If stdout is a terminal, long rows are shortened to its width.
func (o *output) table(head []string, rows [][]string, colour func(column int, cell string) string) error {
	if o.width > 0 {
		fit(head, rows, o.width)
	}
	if o.outColour && colour != nil {
		for _, row := range rows {
			for i := range row {
				row[i] = colour(i, row[i])
			}
		}
	}
	var b bytes.Buffer
	t := tablewriter.NewWriter(&b)
	t.SetBorder(false)
	t.SetHeaderLine(false)
	t.SetColumnSeparator("")
	t.SetCenterSeparator("")
	t.SetNoWhiteSpace(true)
	t.SetTablePadding("  ")
	t.SetAutoWrapText(false)
	t.SetAutoFormatHeaders(false)
	t.SetHeaderAlignment(tablewriter.ALIGN_LEFT)
	t.SetAlignment(tablewriter.ALIGN_LEFT)
	t.SetHeader(head)
	t.AppendBulk(rows)
	t.Render()
	var out strings.Builder
	for line := range strings.Lines(b.String()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return o.write([]byte(out.String()))
}

// fit shortens the widest columns until the table fits into width. Two blanks separate the columns.
func fit(head []string, rows [][]string, width int) {
	widths := make([]int, len(head))
	total := 2 * (len(head) - 1)
	for i := range head {
		widths[i] = runewidth.StringWidth(head[i])
		for _, row := range rows {
			widths[i] = max(widths[i], runewidth.StringWidth(row[i]))
		}
		total += widths[i]
	}
	for ; total > width; total-- {
		widest := 0
		for i := range widths {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= 8 {
			break
		}
		widths[widest]--
	}
	for _, row := range rows {
		for i := range row {
			row[i] = cut(row[i], widths[i])
		}
	}
}

// cut shortens a text to a number of terminal cells.
func cut(s string, cells int) string {
	if runewidth.StringWidth(s) <= cells {
		return s
	}
	return runewidth.Truncate(s, cells, "…")
}

// harmless removes control, format and private-use characters, which could control a terminal or reorder its text. Tabs and line ends stay.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// oneLine removes control characters and replaces line breaks by blanks.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, harmless(s))
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

// quote returns a word in quotation marks, without control characters, and shortened to 80 columns.
func quote(s string) string { return fmt.Sprintf("%q", cut(harmless(s), 80)) }
