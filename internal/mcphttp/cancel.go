package mcphttp

import "fmt"

// Cancel sends notifications/cancelled for a request to a server of an earlier revision, which does not treat a closed connection as a
// cancellation (2025-11-25, Cancellation). Cancel sends nothing for initialize, because initialize must not be cancelled. In revision
// 2026-07-28, Cancel sends nothing, because a closed stream cancels the request.
func (l *Link) Cancel(s *Session, m Message) {
	if !s.stateful() || !m.IsRequest() || m.Method == "initialize" {
		return
	}
	ctx, cancel := closingContext()
	defer cancel()
	params := fmt.Appendf(nil, `{"requestId":%s,"reason":"canceled by the user"}`, m.ID)
	l.Exchange(ctx, s, Request{Message: NewRequest(nil, "notifications/cancelled", params), Quiet: true})
}
