package mcpclient

import (
	"bytes"
	"encoding/json"

	"mcpauth/internal/jsonscan"
)

// addMember adds a member to a JSON object that is being written. The buffer already contains the opening brace and the previous members.
func addMember(b *bytes.Buffer, name string, value []byte) {
	if b.Bytes()[b.Len()-1] != '{' {
		b.WriteByte(',')
	}
	b.Write(jsonscan.Quote(name))
	b.WriteByte(':')
	b.Write(value)
}

// jsonArray returns a JSON array between two texts. The result is allocated once, because the entries can have many megabytes.
func jsonArray(before string, entries []json.RawMessage, after string) []byte {
	raw := make([]byte, 0, len(before)+sizeOf(entries)+len(entries)+len("[]")+len(after))
	raw = append(append(raw, before...), '[')
	for i, e := range entries {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = append(raw, e...)
	}
	return append(append(raw, ']'), after...)
}

func sizeOf(entries []json.RawMessage) int {
	size := 0
	for _, e := range entries {
		size += len(e)
	}
	return size
}
