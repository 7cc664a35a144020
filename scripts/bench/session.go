package main

import (
	"net/http"
	"strings"
)

// session opens a legacy session for curl and returns the session ID. If the server returns no ID, the result is "", and curl's call fails.
func (b *bench) session(s *site) string {
	post := func(body, session string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, s.URL(), strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		for name, value := range map[string]string{"Authorization": "Bearer " + s.token, "Content-Type": "application/json",
			"Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": s.era, "Mcp-Session-Id": session} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		res, err := b.client.Do(req)
		if err != nil {
			return nil, err
		}
		return res, res.Body.Close()
	}
	res, err := post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+s.era+`","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}`, "")
	if err != nil {
		return ""
	}
	id := res.Header.Get("Mcp-Session-Id")
	if _, err := post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, id); err != nil {
		return ""
	}
	return id
}
