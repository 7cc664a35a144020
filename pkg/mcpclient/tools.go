package mcpclient

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/toolargs"
)

// Tool is a tool of a server. The texts of a Tool come from the server and are not safe to print.
type Tool struct {
	Name, Title, Description string
	InputSchema              json.RawMessage // as sent
	Raw                      json.RawMessage // the whole definition as sent
	ReadOnly, Idempotent     bool            // readOnlyHint and idempotentHint, which the server may set wrongly

	schema      *toolargs.Schema // parsed InputSchema; nil if the server sent none, or if the tool was read for a list of tools and not for a call
	invalid     error            // why the tool must not be called; nil: it may be called
	taskSupport string           // required, optional or forbidden; empty means forbidden (2025-11-25, Tasks, Tool-Level Negotiation)
}

// ToolList contains all tools of a server that a client may use.
type ToolList struct {
	Raw   json.RawMessage // {"tools":[…]} with the tools as sent, all pages
	Tools []Tool
}

// patience limits how long further pages are fetched after the tool of a call was found.
const patience = 5 * time.Second

// toolList contains the definitions of tools as the server sent them.
type toolList struct {
	names    []string
	defs     []json.RawMessage
	received time.Time
	ttl      time.Duration // 0: no ttlMs
	live     bool          // fetched by this process
	partial  bool          // not cached, because it is incomplete or its login is uncertain
	grant    string        // the login that the list was fetched with
	parsed   sync.Map      // tools that were found, by name; a batch calls the same tool many times
}

// Tools returns the tools of the server. A cached list is used for as long as the server allows. A tool whose definition is invalid is
// omitted and reported to Warn.
func (c *Client) Tools(ctx context.Context) (ToolList, error) {
	if err := c.prepare(ctx); err != nil {
		return ToolList{}, err
	}
	list := c.remembered()
	if list == nil || c.known() != eraModern || !c.fresh(list) {
		var err error
		if list, err = c.fetchTools(ctx, ""); err != nil {
			return ToolList{}, err
		}
	}
	var out ToolList
	var kept []json.RawMessage
	for _, t := range list.defs {
		tool := parseTool(t)
		if err := checkHeaders(tool.InputSchema); err != nil && c.known() == eraModern { // earlier revisions have no rules for header annotations
			c.warn("the tool %q is omitted, because its definition is invalid: %v", httpx.Text(tool.Name, 100), err)
			continue
		}
		kept, out.Tools = append(kept, t), append(out.Tools, tool)
	}
	out.Raw = append(append([]byte(`{"tools":`), array(kept)...), '}')
	return out, nil
}

// fetchTools requests all pages of the list. wanted is the tool to be called, or empty. After fetchTools has found wanted, it ignores
// errors on later pages, and requests no more pages when the time patience has passed.
func (c *Client) fetchTools(ctx context.Context, wanted string) (*toolList, error) {
	list := &toolList{ttl: maxTTL, live: true}
	login, _ := c.login(ctx)
	began, found := c.clock(), false
	whole, err := c.fetchPages(ctx, "tools/list", "tools", func(page json.RawMessage) bool {
		list.add(page)
		found = found || wanted != "" && slices.Contains(list.names, wanted)
		return found && c.clock().Sub(began) > patience
	})
	if err != nil && !found {
		return nil, err
	}
	after, err := c.login(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	list.received, list.grant = c.clock(), after
	list.partial = !whole || err != nil || login != after // if the login changed during the requests, the list may contain tools of both logins
	c.memory.list, c.memory.dirty = list, true
	return list, nil
}

// add adds the tools of a page, and limits the lifetime of the list to that of the page. Tools of earlier pages are skipped, because pages
// may overlap if the server's list changes between two requests.
func (l *toolList) add(page json.RawMessage) {
	var ms float64
	_ = json.Unmarshal(jsonscan.Member(page, "ttlMs"), &ms)
	l.ttl = min(l.ttl, time.Duration(max(0, min(ms, float64(maxTTL.Milliseconds()))))*time.Millisecond)
	known := map[string]bool{} // tools of earlier pages
	for _, name := range l.names {
		known[name] = true
	}
	for def := range jsonscan.Elements(jsonscan.Member(page, "tools")) {
		name := jsonscan.Unquote(jsonscan.Member(def, "name"))
		if known[name] {
			continue
		}
		l.names, l.defs = append(l.names, name), append(l.defs, def)
	}
}

// remembered returns the cached list, or nil if it cannot be used.
func (c *Client) remembered() *toolList {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.memory
	if m.list != nil && m.era != eraModern && !m.list.live && c.clock().Sub(m.list.received) > legacyUsable {
		return nil
	}
	return m.list
}

// fresh reports whether a list counts as current. Every list counts as current for the lifetime that the server gave. A list of a legacy
// server, and a list that this process has fetched, also counts as current for legacyFresh, so that a batch does not fetch the list
// repeatedly.
func (c *Client) fresh(l *toolList) bool {
	age := c.clock().Sub(l.received)
	return age < l.ttl || age < legacyFresh && (l.live || c.known() != eraModern)
}

// forgetTools makes the next call fetch the list.
func (c *Client) forgetTools() {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.memory
	m.dirty = m.dirty || m.list != nil
	m.list = nil
}

// revalidate fetches the list of a legacy server again if a call used an old list. revalidate runs after the call, so that the call need
// not wait for the new list.
func (c *Client) revalidate() {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil || s.era == eraModern || c.NoCache || c.CacheDir == "" || c.gaveUp.Load() {
		return
	}
	if list := c.remembered(); list == nil || c.fresh(list) {
		return
	}
	ctx, cancel := context.WithTimeout(c.life, closeTimeout)
	defer cancel()
	c.quiet.Store(true)
	_, _ = c.fetchTools(ctx, "")
}

// find returns the tool with this name, with its schema parsed.
func (l *toolList) find(name string) (Tool, bool) {
	if known, ok := l.parsed.Load(name); ok {
		t := known.(Tool)
		t.schema = t.schema.Again()
		return t, true
	}
	i := slices.Index(l.names, name)
	if i < 0 {
		return Tool{}, false
	}
	t := parseTool(l.defs[i])
	if t.invalid = checkHeaders(t.InputSchema); t.InputSchema != nil {
		t.schema = toolargs.Parse(t.InputSchema)
	}
	l.parsed.Store(name, t)
	t.schema = t.schema.Again()
	return t, true
}

func parseTool(raw json.RawMessage) Tool {
	t := Tool{Raw: raw}
	for name, v := range jsonscan.Members(raw) {
		switch name {
		case "name":
			t.Name = jsonscan.Unquote(v)
		case "title":
			t.Title = jsonscan.Unquote(v)
		case "description":
			t.Description = jsonscan.Unquote(v)
		case "inputSchema":
			t.InputSchema = v
		case "execution":
			t.taskSupport = jsonscan.Unquote(jsonscan.Member(v, "taskSupport"))
		case "annotations":
			t.ReadOnly = string(jsonscan.Member(v, "readOnlyHint")) == "true"
			t.Idempotent = string(jsonscan.Member(v, "idempotentHint")) == "true"
			if t.Title == "" {
				t.Title = jsonscan.Unquote(jsonscan.Member(v, "title"))
			}
		}
	}
	return t
}

// unknownTool returns the error for a name that is not in the list.
func unknownTool(name string, names []string) *ArgumentError {
	e := &ArgumentError{Tool: name, Reason: "the server has no such tool"}
	if near := toolargs.Nearest(name, names); len(near) > 0 {
		e.Nearest = near[0]
	}
	return e
}

// lookUp returns the cached list, and whether a call with these arguments needs a new list.
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

// fetchOnce fetches the list, unless another call has done so in the meantime. old is the list that was not sufficient for the caller.
func (c *Client) fetchOnce(ctx context.Context, tool string, a Arguments, old *toolList, refetch bool) (*toolList, error) {
	if err := c.fetching.enter(ctx); err != nil {
		return nil, err
	}
	defer c.fetching.leave()
	list, fetch := c.lookUp(a)
	if list != old && list != nil && list.live && (refetch || !fetch) {
		return list, nil
	}
	return c.fetchTools(ctx, tool)
}

// justFetched reports whether the list is recent enough that a tool missing from it can be assumed not to exist. A batch with many wrong
// names fetches the list at most once a minute.
func (c *Client) justFetched(l *toolList) bool {
	return l.live && c.clock().Sub(l.received) < time.Minute
}

// definition returns the definition of the tool to be called. The list is requested if the era of the server is unknown or an argument
// needs the schema. For a modern server, whose tools may need Mcp-Param headers, the list is also requested if none is cached. If no
// argument needs the schema, definition accepts an expired list. If the required headers have changed since then, the server refuses the
// call with -32020, and the call is repeated. live is true if the list is so recent that fetching it again would not help.
func (c *Client) definition(ctx context.Context, tool string, a Arguments, refetch bool) (t Tool, live bool, err error) {
	list, fetch := c.lookUp(a)
	if fetch || refetch {
		list, err = c.fetchOnce(ctx, tool, a, list, refetch)
		if err != nil {
			if isRPC(err) != nil && c.known() != eraUnknown {
				return Tool{Name: tool}, true, nil // the server refuses to list its tools, so the call is sent without a definition
			}
			return t, true, err
		}
	}
	if list == nil {
		return Tool{Name: tool}, false, nil
	}
	live = c.justFetched(list)
	t, found := list.find(tool)
	switch {
	case found && t.invalid != nil && c.known() == eraModern:
		return t, live, &ArgumentError{Tool: tool, Reason: "its definition is invalid and must not be used: " + t.invalid.Error()}
	case found:
		return t, live, nil
	case c.NoValidate:
		return Tool{Name: tool}, live, nil
	}
	return t, live, unknownTool(tool, list.names)
}
