package mcpclient

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"mcpauth/internal/jsonscan"
)

// Result is the result of a tool. The texts of a Result come from the server and are not safe to print.
type Result struct {
	Raw        json.RawMessage // the CallToolResult, byte for byte
	IsError    bool            // the tool reports a failure, which Content describes
	Content    []Block
	Structured json.RawMessage // structuredContent as sent; nil if absent

	Task   *Task  // the task that the call became, if Client.Detach is set; Raw then describes the task
	TaskID string // id of the task that produced the result; empty if the call was no task
}

// Block is one content block of a result.
type Block struct {
	Type     string // text, image, audio, resource, resource_link, or a type of a later revision
	Text     string // text of a block of type text, or of a resource with text
	MIMEType string
	Name     string // name of a resource_link
	URI      string // URI of a resource or a resource_link
	Data     []byte // decoded bytes of an image, an audio block, or a resource with binary contents
	Broken   error  // why the block cannot be decoded, in which case Data is nil; nil if the block was decoded
}

// decodeResult parses a result without copying large parts twice.
func decodeResult(raw json.RawMessage) Result {
	r := Result{Raw: raw}
	for name, v := range jsonscan.Members(raw) {
		switch name {
		case "isError":
			r.IsError = string(v) == "true"
		case "structuredContent":
			r.Structured = v
		case "content":
			r.Content = nil
			for b := range jsonscan.Elements(v) {
				if len(r.Content) == maxListed {
					r.Content = append(r.Content, Block{Broken: fmt.Errorf("the answer has more than %d blocks", maxListed)})
					break
				}
				r.Content = append(r.Content, decodeBlock(b))
			}
		}
	}
	return r
}

func decodeBlock(raw json.RawMessage) Block { return decodeContent(raw, true) }

// decodeContent decodes a block, or the member resource of a block. In a resource, decodeContent ignores the member resource: the protocol
// does not nest resources, and to decode many levels would take quadratic time.
func decodeContent(raw json.RawMessage, block bool) Block {
	var b Block
	var data json.RawMessage
	text := false
	for name, v := range jsonscan.Members(raw) {
		switch name {
		case "type":
			b.Type = jsonscan.Unquote(v)
		case "text":
			b.Text, text = jsonscan.Unquote(v), jsonscan.Type(v) == "string"
		case "mimeType":
			b.MIMEType = jsonscan.Unquote(v)
		case "name":
			b.Name = jsonscan.Unquote(v)
		case "uri":
			b.URI = jsonscan.Unquote(v)
		case "data", "blob":
			data = v
		case "resource":
			if !block {
				continue
			}
			inner := decodeContent(v, false)
			b.Text, b.MIMEType, b.URI, b.Data, b.Broken = inner.Text, inner.MIMEType, inner.URI, inner.Data, inner.Broken
			if jsonscan.Member(v, "text") == nil && jsonscan.Member(v, "blob") == nil {
				b.Broken = errors.New("it has neither text nor data")
			}
		}
	}
	switch {
	case data != nil:
		if b.Data, b.Broken = decodeBase64(data); b.Broken != nil {
			b.Data = nil
		}
	case b.Type == "image" || b.Type == "audio":
		b.Broken = errors.New("it has no data")
	case b.Type == "text" && !text:
		b.Broken = errors.New("its text is not a string")
	}
	return b
}

// decodeBase64 decodes a JSON string of base64 in the standard or the URL alphabet, with or without padding.
func decodeBase64(raw json.RawMessage) ([]byte, error) {
	text := []byte(raw)
	if len(text) < 2 || text[0] != '"' {
		return nil, errors.New("its data is not a string")
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		text = []byte(jsonscan.Unquote(raw))
	} else {
		text = text[1 : len(text)-1]
	}
	encoding := base64.RawStdEncoding
	if bytes.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	text = bytes.TrimRight(text, "=\r\n ")
	out := make([]byte, encoding.DecodedLen(len(text)))
	n, err := encoding.Decode(out, text)
	if err != nil {
		return nil, fmt.Errorf("its data is not base64: %w", err)
	}
	return out[:n], nil
}

// Kinds of results (2026-07-28, Base Protocol, Result Types; SEP-2663, Polymorphic Results).
const (
	complete      = "complete"
	inputRequired = "input_required"
	taskCreated   = "task"
)

// resultType returns the kind of a result. A result without resultType is complete, as in earlier revisions. If this client does not
// support the kind, resultType returns an error.
func (c *Client) resultType(result json.RawMessage) (string, error) {
	if jsonscan.Type(result) != "object" {
		return "", c.protocolError("the result is not an object")
	}
	raw := jsonscan.Member(result, "resultType")
	if raw == nil || c.serverEra() != eraModern {
		return complete, nil
	}
	switch kind := jsonscan.Unquote(raw); kind {
	case complete, inputRequired, taskCreated:
		return kind, nil
	}
	return "", c.protocolError(fmt.Sprintf("the result is of type %s, which this client does not support", c.shown(c.cleanJSON(raw), 60)))
}

// checkComplete returns err or, if err is nil, an error if the result of a request is a task or a request for input.
func (c *Client) checkComplete(method, kind string, err error) error {
	if err == nil && kind != complete {
		err = c.protocolError(fmt.Sprintf("the result of %s is of type %q, which the protocol does not allow", method, kind))
	}
	return err
}
