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
	schemaErr   *annotationError // why the tool must not be called; nil: it may be called
	taskSupport string           // required, optional or forbidden; empty means forbidden (2025-11-25, Tasks, Tool-Level Negotiation)
}

// ToolList contains all tools of a server that a client may use.
type ToolList struct {
	Raw   json.RawMessage // {"tools":[…]} with the tools as sent, all pages
	Tools []Tool
}

// extraPagesTime is the time limit for the rest of the tool list, after the page with the called tool.
const extraPagesTime = 5 * time.Second

// toolList contains the definitions of tools as the server sent them.
type toolList struct {
	names    []string
	defs     []json.RawMessage
	received time.Time
	ttl      time.Duration // 0: no ttlMs
	fetched  bool          // fetched by this process
	partial  bool          // the list is not cached, because it is incomplete or the login has changed
	grant    string        // the login that the list was fetched with
	parsed   sync.Map      // tools that were found, by name; a batch calls the same tool many times
}

// Tools returns the tools of the server. A cached list is used for as long as the server allows. A tool with an invalid definition is omitted, and
// so is a tool whose name looks like a flag, unless the name is the parameter named, because the user typed it. Warn gets a message for each of the
// first ten omitted tools, and the number of the others.
func (c *Client) Tools(ctx context.Context, named ...string) (ToolList, error) {
	if err := c.prepare(ctx); err != nil {
		return ToolList{}, err
	}
	list := c.cachedTools()
	if list == nil || c.serverEra() != eraModern || !c.isCurrent(list) {
		var err error
		if list, err = c.fetchTools(ctx, ""); err != nil {
			return ToolList{}, err
		}
	}
	var out ToolList
	var kept []json.RawMessage
	omitted := omissions{client: c, kind: "tool"}
	defer omitted.end()
	for _, t := range list.defs {
		tool := parseTool(t)
		if httpx.HidesArgument(tool.Name) && !slices.Contains(named, tool.Name) {
			omitted.addUnsafe(tool.Name, "name")
			continue
		}
		if err := checkHeaders(tool.InputSchema); err != nil && c.serverEra() == eraModern { // earlier revisions have no rules for header annotations
			omitted.add(tool.Name, func() string { return "its definition is invalid: " + err.text(c.Clean) })
			continue
		}
		kept, out.Tools = append(kept, t), append(out.Tools, tool)
	}
	out.Raw = jsonArray(`{"tools":`, kept, "}")
	return out, nil
}

// fetchTools requests all pages of the list. calledTool is the tool to be called, or empty. After calledTool was found, errors on later
// pages are ignored, and no more pages are requested when extraPagesTime has passed.
func (c *Client) fetchTools(ctx context.Context, calledTool string) (*toolList, error) {
	list := &toolList{ttl: maxTTL, fetched: true}
	login, _ := c.loginID(ctx)
	began, found := c.clock(), false
	whole, err := c.fetchPages(ctx, "tools/list", "tools", func(page json.RawMessage) bool {
		list.addPage(page)
		found = found || calledTool != "" && slices.Contains(list.names, calledTool)
		return found && c.clock().Sub(began) > extraPagesTime
	})
	if err != nil && !found {
		return nil, err
	}
	after, err := c.loginID(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	list.received, list.grant = c.clock(), after
	list.partial = !whole || err != nil || login != after // if the login changed during the requests, the list may contain tools of both logins
	c.cache.list, c.cache.changed = list, true
	return list, nil
}

// addPage adds the tools of a page. The lifetime of the list is at most the lifetime of the page. Tools of earlier pages are skipped,
// because pages may overlap if the server's list changes between two requests.
func (l *toolList) addPage(page json.RawMessage) {
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

// cachedTools returns the cached list, or nil if it cannot be used.
func (c *Client) cachedTools() *toolList {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.cache
	if m.list != nil && m.era != eraModern && !m.list.fetched && c.clock().Sub(m.list.received) > legacyUsable {
		return nil
	}
	return m.list
}

// isCurrent reports whether the client can use a list without fetching it again. A list is current until its ttlMs has passed. A list of a
// legacy server, and a list that this process has fetched, is also current for legacyFresh. A batch therefore does not fetch the list for
// every call.
func (c *Client) isCurrent(l *toolList) bool {
	age := c.clock().Sub(l.received)
	return age < l.ttl || age < legacyFresh && (l.fetched || c.serverEra() != eraModern)
}

// forgetTools makes the next call fetch the list.
func (c *Client) forgetTools() {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.cache
	m.changed = m.changed || m.list != nil
	m.list = nil
}

// refreshTools fetches the list of a legacy server again if a call used an old list. Close calls refreshTools, because the call should not
// wait for the new list.
func (c *Client) refreshTools() {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil || s.era == eraModern || c.NoCache || c.CacheDir == "" || c.gaveUp.Load() {
		return
	}
	if list := c.cachedTools(); list == nil || c.isCurrent(list) {
		return
	}
	ctx, cancel := context.WithTimeout(c.life, closeTimeout)
	defer cancel()
	c.quiet.Store(true)
	_, _ = c.fetchTools(ctx, "")
}

// findTool returns the tool with this name, with its schema parsed.
func (l *toolList) findTool(name string) (Tool, bool) {
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
	if t.schemaErr = checkHeaders(t.InputSchema); t.InputSchema != nil {
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

// lookUpTools returns the cached list, and whether a call with these arguments needs a new list.
func (c *Client) lookUpTools(a Arguments) (list *toolList, fetch bool) {
	list = c.cachedTools()
	known := c.serverEra()
	switch {
	case known == eraUnknown:
		return list, true
	case list == nil:
		return list, known == eraModern || a.NeedSchema() || !c.NoValidate
	case known == eraModern:
		return list, a.NeedSchema() && !c.isCurrent(list)
	}
	return list, false
}

// fetchToolsOnce fetches the list, unless another call has fetched it meanwhile. rejected is the list that did not suffice for the caller.
func (c *Client) fetchToolsOnce(ctx context.Context, tool string, a Arguments, rejected *toolList, refetch bool) (*toolList, error) {
	if err := c.fetching.enter(ctx); err != nil {
		return nil, err
	}
	defer c.fetching.leave()
	list, fetch := c.lookUpTools(a)
	if list != rejected && list != nil && list.fetched && (refetch || !fetch) {
		return list, nil
	}
	return c.fetchTools(ctx, tool)
}

// justFetched reports whether the list is so recent that a tool missing from it does not exist. A batch with many wrong names fetches the
// list at most once a minute.
func (c *Client) justFetched(l *toolList) bool {
	return l.fetched && c.clock().Sub(l.received) < time.Minute
}

// toolDefinition returns the definition of the tool to be called. The list is requested if the server's era is unknown or an argument needs
// the schema. For a modern server, whose tools may need Mcp-Param headers, the list is also requested if no list is cached. If no argument
// needs the schema, toolDefinition accepts an expired list. If the required headers have changed since then, the server refuses the call
// with -32020, and the call is sent again. recent is true if fetching the list again would not help.
func (c *Client) toolDefinition(ctx context.Context, tool string, a Arguments, refetch bool) (t Tool, recent bool, err error) {
	list, fetch := c.lookUpTools(a)
	if fetch || refetch {
		list, err = c.fetchToolsOnce(ctx, tool, a, list, refetch)
		if err != nil {
			if asRPCError(err) != nil && c.serverEra() != eraUnknown {
				return Tool{Name: tool}, true, nil // the server refuses to list its tools, so the call is sent without a definition
			}
			return t, true, err
		}
	}
	if list == nil {
		return Tool{Name: tool}, false, nil
	}
	recent = c.justFetched(list)
	t, found := list.findTool(tool)
	switch {
	case found && t.schemaErr != nil && c.serverEra() == eraModern:
		return t, recent, &ArgumentError{Tool: tool, Reason: "its definition is invalid and must not be used: " + t.schemaErr.text(c.Clean)}
	case found:
		return t, recent, nil
	case c.NoValidate:
		return Tool{Name: tool}, recent, nil
	}
	return t, recent, &ArgumentError{Tool: tool, Reason: "the server has no such tool", Nearest: c.Clean(toolargs.NearestOne(tool, withoutFlags(list.names)))}
}
