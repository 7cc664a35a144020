// Encoding and decoding of records, as pure functions. A record has a head, which is one line of JSON, and a payload. The payload follows
// the head. If a keychain item is too small for both, the payload is split into parts, and each part has its own item. The head is written
// last. The head and the names of the parts contain the same random tag, which prevents a mixture of parts from two writes. The checksum in
// the head covers key, generation and payload, so it detects a part that is missing, incomplete or from another record.

package keystore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	formatVersion = 1
	maxSecret     = 4 << 20 // maximum size of a secret in bytes
	maxParts      = 1 << 14
)

// Values of recordHead.Encoding.
const (
	encodedRaw    = ""       // the payload is UTF-8 text and is stored unchanged
	encodedBase64 = "base64" // the payload is base64, because some keychains change binary data
	encodedAge    = "age"    // encrypted
)

// recordHead describes a stored record.
type recordHead struct {
	Version    int    `json:"mcpauth"`
	Generation uint64 `json:"generation"`
	Tag        string `json:"tag,omitempty"`   // random text that is part of the names of the parts
	Parts      int    `json:"parts,omitempty"` // number of parts; 0 = the payload follows the head
	Size       int    `json:"size"`            // length of the payload in bytes
	Sum        string `json:"sum"`
	Encoding   string `json:"encoding,omitempty"`

	// In files only:
	Key    *Key            `json:"key,omitempty"`
	Public json.RawMessage `json:"public,omitempty"`
}

// encodePayload converts a secret to text.
func encodePayload(secret []byte) (payload, encoding string) {
	if text := string(secret); utf8.ValidString(text) && !strings.ContainsRune(text, 0) && strings.TrimSpace(text) == text {
		return text, encodedRaw
	}
	return base64.StdEncoding.EncodeToString(secret), encodedBase64
}

func checksum(name string, h recordHead, payload string) string {
	text := "mcpauth record\n" + name + "\n" + strconv.FormatUint(h.Generation, 10) + "\n" + h.Encoding + "\n"
	if h.Public != nil {
		text += "public " + strconv.Itoa(len(h.Public)) + "\n" + string(h.Public) + "\n"
	}
	sum := sha256.Sum256([]byte(text + payload))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// splitPayload returns the stored form of a payload. If head and payload fit in one item of maxSize(account) bytes, value contains both. If
// they do not fit, value contains the head, and parts contains the payload.
func splitPayload(name, account string, h recordHead, payload string, maxSize func(account string) int) (value string, parts []string, err error) {
	h.Version, h.Size, h.Sum = formatVersion, len(payload), checksum(name, h, payload)
	tag := h.Tag
	h.Tag = ""
	if value = encodeHead(h) + payload; len(value) <= maxSize(account) {
		return value, nil, nil
	}
	for i := 1; payload != ""; i++ {
		part := prefixThatFits(payload, maxSize(partAccount(name, h.Generation, tag, i)))
		if part == "" || i > maxParts {
			return "", nil, fmt.Errorf("%w: the record of %d bytes does not fit", ErrUnwritable, h.Size)
		}
		parts, payload = append(parts, part), payload[len(part):]
	}
	h.Tag, h.Parts = tag, len(parts)
	if value = encodeHead(h); len(value) > maxSize(account) {
		return "", nil, fmt.Errorf("%w: the head of the record does not fit", ErrUnwritable)
	}
	return value, parts, nil
}

// prefixThatFits returns as much of s as fits in maxSize bytes, without cutting a character.
func prefixThatFits(s string, maxSize int) string {
	if len(s) <= maxSize {
		return s
	}
	for maxSize > 0 && !utf8.RuneStart(s[maxSize]) {
		maxSize--
	}
	return s[:max(maxSize, 0)]
}

// partAccount returns the item name of part number i, counted from 1.
func partAccount(name string, generation uint64, tag string, i int) string {
	return name + "#g" + strconv.FormatUint(generation, 10) + "." + tag + "." + strconv.Itoa(i)
}

func encodeHead(h recordHead) string {
	line, _ := json.Marshal(h) // cannot fail: the fields are numbers, strings and valid JSON
	return string(line) + "\n"
}

// parseHead parses the value that splitPayload returns. The payload is checked later, by joinParts.
func parseHead(value string) (recordHead, string, error) {
	line, payload, ok := strings.Cut(value, "\n")
	var h recordHead
	// If a newer version of mcpauth has changed a later member, Unmarshal fails, but it has already set h.Version.
	err := json.Unmarshal([]byte(line), &h)
	if h.Version > formatVersion {
		return recordHead{}, "", newer(h.Version, formatVersion)
	}
	if !ok || err != nil || h.Version < 1 {
		return recordHead{}, "", fmt.Errorf("%w: not a record of mcpauth", ErrCorrupt)
	}
	switch {
	case h.Generation == 0, h.Size < 0, h.Parts < 0, h.Parts > maxParts,
		h.Parts > 0 && (payload != "" || !plainTag(h.Tag)), h.Parts == 0 && h.Tag != "",
		h.Encoding != encodedRaw && h.Encoding != encodedBase64 && h.Encoding != encodedAge:
		return recordHead{}, "", fmt.Errorf("%w: its head is inconsistent", ErrCorrupt)
	}
	return h, payload, nil
}

func plainTag(tag string) bool { return tag != "" && len(tag) <= 32 && sanitize(tag, 32) == tag+"-" }

// joinParts joins the parts of a payload, and checks that the payload is complete and belongs to this key.
func joinParts(name string, h recordHead, inline string, parts []string) (string, error) {
	payload := inline
	if h.Parts > 0 {
		payload = strings.Join(parts, "")
	}
	if len(parts) != h.Parts || len(payload) != h.Size || checksum(name, h, payload) != h.Sum {
		return "", fmt.Errorf("%w: incomplete, changed or copied from another credential (generation %d, %d of %d bytes)", ErrCorrupt, h.Generation, len(payload), h.Size)
	}
	return payload, nil
}

// decodePayload is the reverse of encodePayload.
func decodePayload(payload, encoding string) ([]byte, error) {
	switch encoding {
	case encodedRaw:
		return []byte(payload), nil
	case encodedBase64:
		secret, err := base64.StdEncoding.DecodeString(payload)
		if err != nil {
			return nil, fmt.Errorf("%w: its payload cannot be decoded", ErrCorrupt)
		}
		return secret, nil
	}
	return nil, fmt.Errorf("%w: unexpected encoding %q", ErrCorrupt, encoding)
}
