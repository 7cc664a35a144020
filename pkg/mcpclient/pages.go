package mcpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

const (
	maxListed = mcphttp.MaxListed
	maxEntry  = mcphttp.MaxEntry
	maxPages  = 250
	listLimit = mcphttp.MaxList
)

// fetchPages requests the pages of a list until the last page, or until done returns true. listName is the name of the list in the results.
// reachedEnd is true if the last page was reached.
func (c *Client) fetchPages(ctx context.Context, method, listName string, done func(page json.RawMessage) bool) (reachedEnd bool, err error) {
	seen := map[string]bool{}
	pages, size, elements := 0, 0, 0
	for cursor := json.RawMessage(nil); ; seen[string(cursor)] = true {
		w := requestSpec{method: method, idempotent: true}
		if cursor != nil {
			w.members = append([]byte(`"cursor":`), cursor...)
		}
		page, err := c.plainResult(ctx, w)
		if err != nil {
			return false, err
		}
		if pages, size = pages+1, size+len(page); size > listLimit { // the last page counts too
			return false, c.protocolError(fmt.Sprintf("its answer to %s has more than %d bytes", method, listLimit))
		}
		if jsonscan.Type(jsonscan.Member(page, listName)) != "array" {
			return false, c.protocolError(fmt.Sprintf("its answer to %s contains no list of %s", method, listName))
		}
		for e := range jsonscan.Elements(jsonscan.Member(page, listName)) {
			if elements++; elements > maxListed {
				return false, c.tooMany(listName)
			}
			if len(e) > maxEntry {
				return false, c.protocolError(fmt.Sprintf("its answer to %s has an entry of more than %d bytes", method, maxEntry))
			}
		}
		stop := done(page)
		if cursor = jsonscan.Member(page, "nextCursor"); cursor == nil || string(cursor) == "null" {
			return true, nil // an empty cursor is valid (Pagination, Implementation Guidelines)
		}
		if len(cursor) > maxEntry {
			return false, c.protocolError(fmt.Sprintf("its answer to %s has a cursor of more than %d bytes", method, maxEntry))
		}
		if reason := cutReason(seen[string(cursor)], pages); reason != "" {
			c.warn("the answer to %s is incomplete: %s", method, reason)
			return false, nil
		}
		if stop {
			return false, nil
		}
	}
}

// tooMany returns the error for an answer with more elements than allowed.
func (c *Client) tooMany(what string) error {
	return c.protocolError(fmt.Sprintf("the answer contains more than %d %s", maxListed, what))
}

// plainResult sends a request, and refuses a result that is a task or a request for input.
func (c *Client) plainResult(ctx context.Context, w requestSpec) (json.RawMessage, error) {
	o, err := c.requestWithRetries(ctx, w)
	if err != nil {
		return nil, err
	}
	kind, err := c.resultType(o.Answer.Result)
	return o.Answer.Result, c.checkComplete(w.method, kind, err)
}

// cutReason returns the reason why no further page is fetched, or "".
func cutReason(repeated bool, pages int) string {
	switch {
	case repeated:
		return "the server repeats a cursor"
	case pages >= maxPages:
		return fmt.Sprintf("it has more than %d pages", maxPages)
	}
	return ""
}

// listSpec describes a list of resources, resource templates or prompts. method is the request for the list, member is the name of the list
// in the result, key is the member that identifies an entry, and kind describes an entry in messages.
type listSpec struct{ method, member, key, kind string }

// fetchLists returns a JSON object with all pages of the lists, and caches the object for shell completion.
func (c *Client) fetchLists(ctx context.Context, suffix string, lists []listSpec, named ...string) (json.RawMessage, error) {
	if err := c.prepare(ctx); err != nil {
		return nil, err
	}
	b := bytes.NewBufferString("{")
	var all []json.RawMessage
	for _, l := range lists {
		entries, err := c.fetchList(ctx, l, named...)
		if err != nil {
			return nil, err
		}
		addMember(b, l.member, jsonArray("", entries, ""))
		all = append(all, entries...)
	}
	b.WriteByte('}')
	c.keepList(ctx, suffix, b.Bytes(), all)
	return b.Bytes(), nil
}

// fetchList returns the entries of all pages in order. A second entry with the same key is dropped, because pages may overlap if the
// server's list changes between two requests. An entry whose key looks like a flag is omitted, unless it is named. If the server does not
// support the method, fetchList returns no entries.
func (c *Client) fetchList(ctx context.Context, l listSpec, named ...string) ([]json.RawMessage, error) {
	var entries []json.RawMessage
	seen, omitted := map[string]bool{}, omissions{client: c, kind: l.kind}
	defer omitted.end()
	_, err := c.fetchPages(ctx, l.method, l.member, func(page json.RawMessage) bool {
		for e := range jsonscan.Elements(jsonscan.Member(page, l.member)) {
			name := jsonscan.Unquote(jsonscan.Member(e, l.key))
			switch {
			case seen[name]:
			case httpx.HidesArgument(name) && !slices.Contains(named, name):
				omitted.addUnsafe(name, l.key)
			default:
				entries = append(entries, e)
			}
			seen[name] = true
		}
		return false
	})
	if rpc := asRPCError(err); rpc != nil && rpc.Code == mcphttp.CodeMethodNotFound {
		return entries, nil
	}
	return entries, err
}
