package mcphttp

import "fmt"

// Cancel tells a server of an earlier revision that the answer to a request is no longer needed, because there the end of a connection does
// not mean that (2025-11-25, Cancellation). initialize must not be cancelled, and 2026-07-28 needs no message.
func (l *Link) Cancel(s *Session, m Message) {
	if !s.stateful() || !m.IsRequest() || m.Method == "initialize" {
		return
	}
	ctx, cancel := outlive()
	defer cancel()
	params := fmt.Appendf(nil, `{"requestId":%s,"reason":"canceled by the user"}`, m.ID)
	l.Exchange(ctx, s, Request{Message: NewRequest(nil, "notifications/cancelled", params), Quiet: true})
}
