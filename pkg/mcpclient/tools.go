// This file knows the tools of a server: fetches the list (MCP, Tools, Listing Tools; Caching) and finds a definition in it.

package mcpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpauth/internal/toolargs"
)

// Tool is one tool of a server. All text is the server's and not safe to print as it is.
type Tool struct {
	Name, Title, Description string
	InputSchema              json.RawMessage // as sent
	Raw                      json.RawMessage // the whole definition as sent
	ReadOnly, Idempotent     bool            // readOnlyHint and idempotentHint: the server's word
}

// ToolList is all tools of a server that a client may use.
type ToolList struct {
	Raw   json.RawMessage // {"tools":[…]} with the tools as sent, all pages
	Tools []Tool
}

const maxPages = 1000

// toolList is a list as it came.
type toolList struct {
	pages    []json.RawMessage
	received time.Time
	ttl      time.Duration // 0: the server gives none
	live     bool          // fetched by this process
}

// Tools returns the tools of the server, from memory for as long as the server allows. Tools whose definition a client must reject are
// left out, and reported to Log.
func (c *Client) Tools(ctx context.Context) (ToolList, error) {
	list := c.remembered()
	if list == nil || c.known() != eraModern || !c.fresh(list) {
		var err error
		if list, err = c.fetchTools(ctx); err != nil {
			return ToolList{}, err
		}
	}
	var out ToolList
	var raw bytes.Buffer
	raw.WriteString(`{"tools":[`)
	for t := range list.tools() {
		tool := parseTool(t)
		if err := c.usable(tool); err != nil {
			if c.Log != nil {
				c.Log("warning", "mcpauth", fmt.Sprintf("tool %q is left out: %v", tool.Name, err))
			}
			continue
		}
		if len(out.Tools) > 0 {
			raw.WriteByte(',')
		}
		raw.Write(t)
		out.Tools = append(out.Tools, tool)
	}
	raw.WriteString("]}")
	out.Raw = raw.Bytes()
	return out, nil
}

// usable reports why a tool may not be used (2026-07-28, Tools, x-mcp-header). Earlier revisions know no such rule.
func (c *Client) usable(t Tool) error {
	if c.known() != eraModern {
		return nil
	}
	return checkHeaders(t.InputSchema)
}

// fetchTools asks the server for all pages of the list.
func (c *Client) fetchTools(ctx context.Context) (*toolList, error) {
	list := &toolList{ttl: maxTTL, live: true}
	seen := map[string]bool{}
	for cursor := ""; ; {
		x, err := c.request(ctx, "tools/list", true, func(ctx context.Context, s *session, _ *exchange) error {
			_, err := s.cs.ListTools(ctx, &mcp.ListToolsParams{Cursor: cursor})
			return err
		})
		if err != nil {
			return nil, err
		}
		list.pages = append(list.pages, x.result)
		var ms float64
		_ = json.Unmarshal(member(x.result, "ttlMs"), &ms)
		list.ttl = min(list.ttl, time.Duration(max(0, min(ms, float64(maxTTL.Milliseconds()))))*time.Millisecond)
		cursor = unquote(member(x.result, "nextCursor"))
		if cursor == "" || seen[cursor] || len(list.pages) == maxPages {
			break
		}
		seen[cursor] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list.received = c.clock()
	m := c.server()
	m.list, m.dirty = list, true
	return list, nil
}

// remembered returns the list as it was last seen, nil if there is none that is good for anything.
func (c *Client) remembered() *toolList {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.server()
	if m.list != nil && m.era != eraModern && !m.list.live && c.clock().Sub(m.list.received) > legacyUsable {
		return nil
	}
	return m.list
}

// fresh reports whether a list may be relied on: for the time the server gave, and for some minutes in the process that fetched it,
// which may make a thousand calls.
func (c *Client) fresh(l *toolList) bool {
	age := c.clock().Sub(l.received)
	return age < l.ttl || age < legacyFresh && (l.live || c.known() != eraModern)
}

// forgetTools makes the next call ask for the list.
func (c *Client) forgetTools() {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.server()
	m.dirty = m.dirty || m.list != nil
	m.list = nil
}

// revalidate fetches the list of a legacy server anew, after a call that relied on an old one: the next call finds a current list, and
// this one did not have to wait for it.
func (c *Client) revalidate() {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	list := c.remembered()
	if s == nil || s.era == eraModern || list == nil || c.fresh(list) || c.NoCache || c.CacheDir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, _ = c.fetchTools(quietly(ctx))
}

// tools yields the definitions in order.
func (l *toolList) tools() func(func(json.RawMessage) bool) {
	return func(yield func(json.RawMessage) bool) {
		for _, p := range l.pages {
			for t := range elements(member(p, "tools")) {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// find returns the definition of a tool, or the names of all where there is no such tool.
func (l *toolList) find(name string) (def json.RawMessage, names []string) {
	for t := range l.tools() {
		n := unquote(member(t, "name"))
		if n == name {
			return t, nil
		}
		names = append(names, n)
	}
	return nil, names
}

func parseTool(raw json.RawMessage) Tool {
	t := Tool{Raw: raw}
	for name, v := range members(raw) {
		switch name {
		case "name":
			t.Name = unquote(v)
		case "title":
			t.Title = unquote(v)
		case "description":
			t.Description = unquote(v)
		case "inputSchema":
			t.InputSchema = v
		case "annotations":
			t.ReadOnly = string(member(v, "readOnlyHint")) == "true"
			t.Idempotent = string(member(v, "idempotentHint")) == "true"
			if t.Title == "" {
				t.Title = unquote(member(v, "title"))
			}
		}
	}
	return t
}

// unknownTool is the error for a name that the list lacks.
func unknownTool(name string, names []string) *ArgumentError {
	e := &ArgumentError{Tool: name, Reason: "the server has no such tool"}
	if near := toolargs.Nearest(name, names); len(near) > 0 {
		e.Nearest = near[0]
	}
	return e
}

// lookUp returns the list as it is remembered, and whether a call with these arguments needs a new one.
func (c *Client) lookUp(a Arguments) (list *toolList, fetch bool) {
	list = c.remembered()
	known := c.known()
	switch {
	case known == eraUnknown:
		return list, true
	case list == nil:
		return list, known == eraModern || a.NeedSchema() || !c.NoValidate
	case known == eraModern:
		return list, a.NeedSchema() && !c.fresh(list)
	}
	return list, false
}

// fetchOnce fetches the list, unless another call has done so meanwhile: old is the one that was not good enough.
func (c *Client) fetchOnce(ctx context.Context, a Arguments, old *toolList, refetch bool) (*toolList, error) {
	c.fetching.Lock()
	defer c.fetching.Unlock()
	list, fetch := c.lookUp(a)
	if list != old && list != nil && list.live && (refetch || !fetch) {
		return list, nil
	}
	return c.fetchTools(ctx)
}

// justFetched reports whether what a list lacks is not there: a batch with a thousand wrong lines asks for it no more than once a minute.
func (c *Client) justFetched(l *toolList) bool {
	return l.live && c.clock().Sub(l.received) < time.Minute
}

// definition finds the tool of a call. It asks the server only where it must: for the era of a server nobody knows; for the schema
// where an argument needs it; for the Mcp-Param headers of a modern server's tool that was never seen. A definition past its
// time serves calls whose arguments need no schema, for the server refuses headers that do not fit (-32020) and the
// call is then made anew. live says that the list was fetched just now, so that what it says is final.
func (c *Client) definition(ctx context.Context, tool string, a Arguments, refetch bool) (t Tool, live bool, err error) {
	list, fetch := c.lookUp(a)
	if fetch || refetch {
		list, err = c.fetchOnce(ctx, a, list, refetch)
		if err != nil {
			var rpc *RPCError
			if errors.As(err, &rpc) && c.known() != eraUnknown {
				return Tool{Name: tool}, true, nil // no list to be had; the server has the last word
			}
			return t, true, err
		}
	}
	if list == nil {
		return Tool{Name: tool}, false, nil
	}
	live = c.justFetched(list)
	def, names := list.find(tool)
	switch {
	case def != nil:
		t = parseTool(def)
		if err := c.usable(t); err != nil {
			return t, live, &ArgumentError{Tool: tool, Reason: "its definition is invalid and must not be used: " + err.Error()}
		}
		return t, live, nil
	case c.NoValidate:
		return Tool{Name: tool}, live, nil
	}
	return t, live, unknownTool(tool, names)
}
