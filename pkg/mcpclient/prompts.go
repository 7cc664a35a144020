package mcpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"mcpauth/internal/jsonscan"
	"mcpauth/internal/toolargs"
)

// Prompt is a prompt of a server. Its texts come from the server and are not safe to print.
type Prompt struct {
	Name, Title, Description string
	Arguments                []PromptArgument
	Raw                      json.RawMessage // the whole definition as sent
}

// PromptArgument is an argument of a prompt. Its value is a string.
type PromptArgument struct {
	Name, Description string
	Required          bool
}

// PromptList contains all prompts of a server.
type PromptList struct {
	Raw     json.RawMessage // {"prompts":[…]} with the prompts as sent, all pages
	Prompts []Prompt
}

// Prompts returns the prompts of the server. The list is empty if the server does not support prompts.
func (c *Client) Prompts(ctx context.Context) (PromptList, error) {
	raw, err := c.offers(ctx, ".prompts", promptLists)
	return PromptList{Raw: raw, Prompts: parsePrompts(raw)}, err
}

var promptLists = []offer{{"prompts/list", "prompts", "name"}}

// KnownPrompts returns the cached prompts of this login, or none. It sends no request and reads no credential.
func (c *Client) KnownPrompts() []Prompt { return parsePrompts(c.keptList(".prompts")) }

func parsePrompts(raw json.RawMessage) []Prompt {
	var out []Prompt
	for e := range jsonscan.Elements(jsonscan.Member(raw, "prompts")) {
		out = append(out, parsePrompt(e))
	}
	return out
}

func parsePrompt(raw json.RawMessage) Prompt {
	text := func(v json.RawMessage, name string) string { return jsonscan.Unquote(jsonscan.Member(v, name)) }
	p := Prompt{Name: text(raw, "name"), Title: text(raw, "title"), Description: text(raw, "description"), Raw: raw}
	for a := range jsonscan.Elements(jsonscan.Member(raw, "arguments")) {
		p.Arguments = append(p.Arguments, PromptArgument{Name: text(a, "name"), Description: text(a, "description"),
			Required: string(jsonscan.Member(a, "required")) == "true"})
	}
	return p
}

// Messages is the result of a prompt.
type Messages struct {
	Raw      json.RawMessage // the GetPromptResult, byte for byte
	Messages []Message
}

// Message is one message of a prompt.
type Message struct {
	Role  string // user or assistant
	Block Block
}

// Prompt returns the messages of a prompt.
func (c *Client) Prompt(ctx context.Context, name string, args map[string]string) (Messages, error) {
	if err := c.prepare(ctx); err != nil {
		return Messages{}, err
	}
	own := append([]byte(`"name":`), jsonscan.Quote(name)...)
	if len(args) > 0 {
		object := bytes.NewBufferString("{")
		for _, name := range slices.Sorted(maps.Keys(args)) {
			addMember(object, name, jsonscan.Quote(args[name]))
		}
		own = append(append(append(own, `,"arguments":`...), object.Bytes()...), '}')
	}
	raw, err := c.converse(ctx, "prompt", name, want{method: "prompts/get", own: own, safe: true})
	if err != nil {
		return Messages{}, c.unknown(ctx, "prompt", name, err)
	}
	m := Messages{Raw: raw}
	for e := range jsonscan.Elements(jsonscan.Member(raw, "messages")) {
		if len(m.Messages) == maxListed {
			return Messages{}, c.tooMany("messages")
		}
		m.Messages = append(m.Messages, Message{Role: jsonscan.Unquote(jsonscan.Member(e, "role")), Block: decodeBlock(jsonscan.Member(e, "content"))})
	}
	return m, nil
}

// UnknownError reports a resource or prompt that the server refuses or does not list.
type UnknownError struct {
	Kind      string // resource or prompt
	Name      string
	Nearest   string // a listed name that is similar to Name; may be empty
	Arguments bool   // the prompt is listed, so the server refuses the arguments
	Err       error  // the server's refusal, an *RPCError; nil if only the list was requested
}

func (e *UnknownError) Error() string {
	text := e.Kind + " " + quoted(e.Name) + ": "
	if e.Err != nil {
		text += e.Err.Error()
	} else {
		text += "the server has no such " + e.Kind
	}
	if e.Nearest != "" {
		text += "; the nearest is " + quoted(e.Nearest)
	}
	return text
}

func (e *UnknownError) Unwrap() error { return e.Err }

// Error codes for unknown names. Earlier revisions use codeResourceNotFound for resources. Revision 2026-07-28 uses codeInvalidParams for
// resources, and every revision uses it for prompts and tasks.
const (
	codeResourceNotFound = -32002
	codeInvalidParams    = -32602
)

// unknown handles an error of a server that has refused a name. It searches the server's list for similar names. If the list contains the
// resource, or cannot be fetched, unknown returns the error unchanged.
func (c *Client) unknown(ctx context.Context, kind, name string, err error) error {
	rpc := isRPC(err)
	if rpc == nil || rpc.Code != codeResourceNotFound && rpc.Code != codeInvalidParams {
		return err
	}
	l := resourceLists[0]
	if kind == "prompt" {
		l = promptLists[0]
	}
	entries, failed := c.list(ctx, l)
	if failed != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, jsonscan.Unquote(jsonscan.Member(e, l.key)))
	}
	u := &UnknownError{Kind: kind, Name: name, Err: err}
	switch near := toolargs.Nearest(name, names); {
	case !slices.Contains(names, name):
		u.Nearest = strings.Join(near[:min(1, len(near))], "")
	case kind == "prompt":
		u.Arguments = true
	default:
		return err
	}
	return u
}
