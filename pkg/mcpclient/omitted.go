package mcpclient

import (
	"slices"
	"strings"

	"mcpauth/internal/httpx"
)

// maxOmitted is the number of omitted entries of a list that are reported with their names.
const maxOmitted = 10

// omissions reports the entries that are omitted from a list.
type omissions struct {
	client *Client
	kind   string // for example tool
	count  int
}

// add reports an entry. The reason is computed only for an entry that is reported with its name.
func (o *omissions) add(name string, reason func() string) {
	if o.count++; o.count <= maxOmitted {
		o.client.warn("the %s %q is omitted, because its definition is invalid: %s", o.kind, o.client.shown(name, 100), reason())
	}
}

// end reports the number of the other entries.
func (o *omissions) end() {
	if o.count > maxOmitted {
		o.client.warn("… and %d more %ss are omitted", o.count-maxOmitted, o.kind)
	}
}

// looksLikeFlag reports whether a command could read a name, or a word of it, as a flag. A flag such as --header=NAME:@FILE sends a file to
// the server, and a user may copy the name from a list, or a script may pass it on. Shells and xargs can split the name at blanks and remove
// quotation marks and backslashes. The tables leave out invisible characters.
func looksLikeFlag(name string) bool {
	words := strings.FieldsFunc(name, func(r rune) bool { return httpx.IsBlank(r) || httpx.IsInvisible(r) })
	return strings.HasPrefix(name, "-") || slices.ContainsFunc(words, func(word string) bool {
		word = strings.TrimLeft(word, `"'\`)
		return len(word) > 1 && word[0] == '-'
	})
}

// withoutFlags returns the names that no command could read as a flag.
func withoutFlags(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), looksLikeFlag)
}
