// This file opens a legacy session for curl, which cannot read an answer's header into its next request.

package main

import (
	"net/http"
	"strings"
)

// session returns the id of a fresh session, empty when the server gives none; the call then fails and says so.
func (b *bench) session(era string) string {
	post := func(body, session string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, b.servers[era].URL(), strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		for name, value := range map[string]string{"Authorization": "Bearer " + b.tokens[era], "Content-Type": "application/json",
			"Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": era, "Mcp-Session-Id": session} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		return res, res.Body.Close()
	}
	res, err := post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+era+`","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}`, "")
	if err != nil {
		return ""
	}
	id := res.Header.Get("Mcp-Session-Id")
	if _, err := post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, id); err != nil {
		return ""
	}
	return id
}
