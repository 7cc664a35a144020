package config

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"mcpauth/internal/httpx"
)

// maxDepth limits the nesting of a file.
const maxDepth = 100

// nestedDeeper reports whether JSON with comments has more than max levels of nesting.
func nestedDeeper(data []byte, max int) bool {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch rest := data[i:]; {
		case data[i] == '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case bytes.HasPrefix(rest, []byte("//")):
			i += lengthUntil(rest, "\n")
		case bytes.HasPrefix(rest, []byte("/*")):
			i += 2 + lengthUntil(rest[2:], "*/") + 1
		case data[i] == '[' || data[i] == '{':
			if depth++; depth > max {
				return true
			}
		case data[i] == ']' || data[i] == '}':
			depth--
		}
	}
	return false
}

// lengthUntil returns the number of bytes in rest before end. end is the text that ends a comment.
func lengthUntil(rest []byte, end string) int {
	if i := bytes.Index(rest, []byte(end)); i >= 0 {
		return i
	}
	return len(rest)
}

// document is a file that is being parsed.
type document struct {
	path string
	data []byte
}

func parse(path string, data []byte) (*File, error) {
	d := &document{path: path, data: bytes.TrimPrefix(data, []byte("\ufeff"))}
	if nestedDeeper(d.data, maxDepth) {
		return nil, d.fault(0, "nested deeper than %d", maxDepth) // the parser is recursive, and a stack overflow would end the program
	}
	root, err := hujson.Parse(d.data)
	if err != nil {
		return nil, d.syntaxError(err)
	}
	top, ok := root.Value.(*hujson.Object)
	if !ok {
		return nil, d.fault(0, "not a JSON object")
	}
	f := &File{Path: path, Servers: map[string]Entry{}}
	for _, m := range top.Members {
		if err := d.checkSpelling(m.Name, []string{"mcpServers", "servers"}); err != nil {
			return nil, err
		}
		if name := memberName(m.Name); name != "mcpServers" && name != "servers" {
			continue
		}
		servers, ok := m.Value.Value.(*hujson.Object)
		if !ok {
			return nil, d.fault(m.Value.StartOffset, "%s is not an object", memberName(m.Name))
		}
		if err := d.servers(f, servers); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (d *document) servers(f *File, servers *hujson.Object) error {
	for _, m := range servers.Members {
		name := memberName(m.Name)
		if _, twice := f.Servers[name]; twice {
			return d.fault(m.Name.StartOffset, "the server %q appears twice", name)
		}
		e, err := d.readEntry(name, m.Value)
		if err != nil {
			return err
		}
		e.Path, e.doc, e.offset = d.path, d, m.Name.StartOffset
		f.Servers[name] = e
	}
	return nil
}

// readEntry reads one server. Members that only other MCP clients use are ignored.
func (d *document) readEntry(name string, v hujson.Value) (Entry, error) {
	e := Entry{Name: name}
	members, err := d.membersOf(fmt.Sprintf("the server %q", name), v)
	if err != nil {
		return e, err
	}
	if off, err := d.isDisabled(members); off || err != nil {
		e.Skipped = "it is disabled"
		return e, err
	}
	if _, ok := members["command"]; ok {
		e.Skipped, e.local = "it is a local program", true
		return e, nil
	}
	for _, m := range v.Value.(*hujson.Object).Members {
		if err := d.checkSpelling(m.Name, entryKeys); err != nil {
			return e, err
		}
		if word := memberName(m.Name); word != "scope" && slices.Contains(authKeys, word) { // other clients may use scope for something else
			return e, d.fault(m.Name.StartOffset, "%s is a member of auth, not of the entry", word)
		}
	}
	if name == "" || strings.HasPrefix(name, "-") || strings.Contains(name, "://") { // on the command line, mcpauth would take such a name for a flag, a URL or a missing argument
		e.Skipped, e.Odd = "its name is empty, begins with - or looks like a URL", true
		return e, nil
	}
	if strings.ContainsFunc(name, httpx.IsInvisible) || strings.Join(strings.Fields(name), " ") != name { // messages and hints would show the name of another server
		e.Skipped, e.Odd = "its name has invisible characters or needless blanks", true
		return e, nil
	}
	for _, key := range []string{"url", "httpUrl", "serverUrl"} {
		if v, ok := members[key]; ok && e.URL == "" {
			if e.URL, err = d.string(key, v); err != nil {
				return e, err
			}
		}
	}
	if e.URL == "" {
		e.Skipped, e.Odd = "it has no url", true
		if v, ok := members["type"]; ok { // other clients have types of their own, such as sdk
			kind, _ := d.string("type", v)
			e.Odd = slices.Contains([]string{"http", "sse", "streamable-http", "streamableHttp"}, kind)
		}
		return e, nil
	}
	if v, ok := members["headers"]; ok {
		if e.Headers, err = d.headers(v); err != nil {
			return e, err
		}
	}
	e.Auth, err = d.readAuthMember(members)
	return e, err
}

// entryKeys are the names of the members of an entry that mcpauth reads.
var entryKeys = []string{"command", "disabled", "enabled", "url", "httpUrl", "serverUrl", "headers", "auth", "oauth"}

// checkSpelling returns an error for a name that differs from a known name only in letter case. Such a setting must not count as absent.
func (d *document) checkSpelling(name hujson.Value, known []string) error {
	for _, word := range known {
		if got := memberName(name); got != word && strings.EqualFold(got, word) {
			return d.fault(name.StartOffset, "%q is spelt %q", got, word)
		}
	}
	return nil
}

// isDisabled reports whether the entry is disabled: `disabled: true` (Cline, Windsurf, Kiro) or `enabled: false` (Codex, Goose).
func (d *document) isDisabled(members map[string]hujson.Value) (bool, error) {
	for key, off := range map[string]string{"disabled": "true", "enabled": "false"} {
		v, ok := members[key]
		if !ok {
			continue
		}
		word, ok := v.Value.(hujson.Literal)
		if !ok || word.Kind() != 't' && word.Kind() != 'f' {
			return false, d.fault(v.StartOffset, "%s is not true or false", key)
		}
		if string(word) == off {
			return true, nil
		}
	}
	return false, nil
}

// membersOf returns the members of an object. A duplicate member is an error, because JSON parsers differ in which one they use.
func (d *document) membersOf(what string, v hujson.Value) (map[string]hujson.Value, error) {
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil, d.fault(v.StartOffset, "%s is not an object", what)
	}
	all := map[string]hujson.Value{}
	for _, m := range o.Members {
		if _, twice := all[memberName(m.Name)]; twice {
			return nil, d.fault(m.Name.StartOffset, "%q appears twice", memberName(m.Name))
		}
		all[memberName(m.Name)] = m.Value
	}
	return all, nil
}

// maxHeaders is the maximum number of headers of an entry. Each message is searched for all of their values.
const maxHeaders = 100

func (d *document) headers(v hujson.Value) (map[string]string, error) {
	members, err := d.membersOf("headers", v)
	if err != nil {
		return nil, err
	}
	if len(members) > maxHeaders {
		return nil, d.fault(v.StartOffset, "headers has %d members; an entry can have at most %d headers", len(members), maxHeaders)
	}
	headers := map[string]string{}
	for name, v := range members {
		if headers[name], err = d.string("headers."+name, v); err != nil {
			return nil, err
		}
	}
	return headers, nil
}

func (d *document) string(what string, v hujson.Value) (string, error) {
	lit, ok := v.Value.(hujson.Literal)
	if !ok || lit.Kind() != '"' {
		return "", d.fault(v.StartOffset, "%s is not a string", what)
	}
	return lit.String(), nil
}

func memberName(v hujson.Value) string { return v.Value.(hujson.Literal).String() }

func (d *document) fault(offset int, format string, args ...any) *Error {
	e := &Error{Path: d.path, Reason: shorten(fmt.Sprintf(format, args...))}
	e.Line, e.Column = d.lineAndColumn(offset)
	return e
}

// shorten limits the length of an error message, which may quote the file.
func shorten(reason string) string { return strings.ToValidUTF8(reason[:min(len(reason), 300)], "") }

// lineAndColumn returns the line and column of an offset, both counted from 1. Columns count bytes.
func (d *document) lineAndColumn(offset int) (line, column int) {
	before := d.data[:min(max(offset, 0), len(d.data))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// badLiteral is the reason of a syntax error for a value that is neither a string nor a number nor one of the three words.
const badLiteral = "not a string, a number, true, false or null; text needs quotes, and a backslash in it is written twice"

// syntaxReasons maps the ends of the parser's messages to reasons that quote nothing of the file.
var syntaxReasons = []struct{ end, reason string }{
	{io.ErrUnexpectedEOF.Error(), "unexpected end of the file"},
	{"after object name", `expected ":" after a name`},
	{"after object value (expecting ',' or '}')", `expected "," or "}"`},
	{"after array value (expecting ',' or ']')", `expected "," or "]"`},
	{"at start of object name", "expected a name in quotes"},
	{"at start of value", "expected a value"},
	{"after top-level value", "unexpected text after the JSON value"},
	{"in line comment", "a comment contains an invalid character"},
	{"in comment", "a comment contains an invalid character"},
}

// syntaxError converts an error of the JSON parser. The parser's text begins with the line and the column, and may quote the file. The file
// may be a key that somebody has named by mistake, or that a project's symbolic link leads to, so that no part of it may appear in an error.
func (d *document) syntaxError(err error) *Error {
	e := &Error{Path: d.path, Line: 1, Column: 1, Reason: badLiteral}
	text := err.Error()
	_, _ = fmt.Sscanf(text, "hujson: line %d, column %d:", &e.Line, &e.Column)
	for _, known := range syntaxReasons {
		if strings.HasSuffix(text, known.end) && !strings.Contains(text, "invalid literal") {
			e.Reason = known.reason
			break
		}
	}
	return e
}
