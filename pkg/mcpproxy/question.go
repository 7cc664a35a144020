package mcpproxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

const (
	maxQuestions = 1000 // limit of the questions without an answer that a conversation remembers
	maxAnswers   = 100  // limit of the program's answers that the server has not accepted; a server can ask many questions and accept no answer
)

// question is a request of the server that the program has not answered. A server may number its requests per session, so an answer must
// reach only the session of its question. Therefore the program sees an id of the proxy, because in another session the server's id may
// belong to another question.
type question struct {
	session *mcphttp.Session // session of the question; nil: the session that is being opened, or none (MCP 2026-07-28)
	id      json.RawMessage  // id that the server chose
	shown   string           // id that the program sees, as JSON
	lost    bool             // the session is over
}

// addQuestion remembers a question of a session, and returns the message for the program.
func (c *conversation) addQuestion(s *mcphttp.Session, m mcphttp.Message) mcphttp.Message {
	if s.Over() == nil && s.Version == "" {
		s = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	q := question{session: s, id: bytes.Clone(m.ID), shown: fmt.Sprintf(`"mcpauth-question-%d"`, c.asked)}
	if len(c.questions) == maxQuestions {
		c.questions = slices.Delete(c.questions, 0, 1)
	}
	c.questions = append(c.questions, q)
	return mcphttp.NewRequest([]byte(q.shown), m.Method, m.Params)
}

// takeQuestion returns the session to which the program's answer m belongs, and the answer with the id that the server chose. The session is
// nil if there is no such question, or if its session is over.
func (c *conversation) takeQuestion(m mcphttp.Message) (*mcphttp.Session, mcphttp.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.questions, func(q question) bool { return q.shown == string(m.ID) })
	if i < 0 {
		return nil, m
	}
	q := c.questions[i]
	c.questions = slices.Delete(c.questions, i, i+1)
	m = c.answerTo(mcphttp.Message{ID: q.id}, mcphttp.Outcome{Answer: m})
	switch {
	case q.lost:
		return nil, m
	case q.session != nil:
		return q.session, m
	case c.session != nil:
		return c.session, m
	}
	return &mcphttp.Session{}, m
}

// loseQuestions records that the current session is over. mu must be locked.
func (c *conversation) loseQuestions() {
	for i, q := range c.questions {
		if q.session == nil || q.session == c.session {
			c.questions[i].lost = true
		}
	}
}

// cancelQuestion returns a notification with which the server cancels a question, with the id that the program sees. A notification about
// another id is not changed, because a server of MCP 2026-07-28 ends a subscription in this way.
func (c *conversation) cancelQuestion(s *mcphttp.Session, m mcphttp.Message) mcphttp.Message {
	id := jsonscan.Member(m.Params, "requestId")
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.questions {
		if q.session == s && string(q.id) == string(id) {
			params := fmt.Appendf(nil, `{"requestId":%s`, q.shown)
			if reason := jsonscan.Member(m.Params, "reason"); reason != nil {
				params = fmt.Appendf(params, `,"reason":%s`, reason)
			}
			return mcphttp.NewRequest(nil, m.Method, append(params, '}'))
		}
	}
	return m
}
