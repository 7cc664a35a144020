package mcpclient

import (
	"slices"

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

// addUnsafe reports an entry whose name hides an argument, see httpx.HidesArgument. member is the member of the entry that contains the name.
func (o *omissions) addUnsafe(name, member string) {
	o.add(name, func() string {
		return "a command could read a part of its " + member + " as a flag, a file or a wildcard; to use it, type its " + member
	})
}

// add reports an entry. The reason is computed only for an entry that is reported with its name.
func (o *omissions) add(name string, reason func() string) {
	if o.count++; o.count <= maxOmitted {
		o.client.warn("the %s %s is omitted, because %s", o.kind, httpx.Quote(o.client.Clean(name), 100), reason())
	}
}

// end reports the number of the other entries.
func (o *omissions) end() {
	if o.count > maxOmitted {
		o.client.warn("… and %d more %ss are omitted", o.count-maxOmitted, o.kind)
	}
}

// withoutFlags returns the names that no command could read as a flag.
func withoutFlags(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), httpx.HidesArgument)
}
