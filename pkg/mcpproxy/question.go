package mcpproxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

const (
	maxQuestions = 1000 // limit of the questions without an answer that a conversation remembers
	maxAnswers   = 100  // limit of the program's answers that the server has not accepted; a server can ask many questions and accept no answer
)

// question is a request of the server that the program has not answered. A server may number its requests per session, so an answer must
// reach only the session of its question. In another session, the same id may belong to another question.
type question struct {
	session *mcphttp.Session // session of the question; nil: the session that is being opened, or none (MCP 2026-07-28)
	id      json.RawMessage  // id that the server chose
	shown   json.RawMessage  // id that the program sees
	lost    bool             // the session is over

	plainID, plainShown string // plainID of both; decoding all ids for each message would take much time
}

// addQuestion remembers a question of a session, and returns the message for the program. If the program has not answered a question of
// another session with the same id, the new question gets another id, because otherwise nobody could tell which of the two an answer is for.
func (c *conversation) addQuestion(s *mcphttp.Session, m mcphttp.Message) mcphttp.Message {
	if s.Over() == nil && s.Version == "" {
		s = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	q := question{session: s, id: bytes.Clone(m.ID), plainID: plainID(m.ID)}
	q.shown, q.plainShown = q.id, q.plainID
	if slices.ContainsFunc(c.questions, func(earlier question) bool {
		return (earlier.lost || earlier.session != s) && earlier.plainShown == q.plainID
	}) {
		c.renamed++
		q.shown = fmt.Appendf(nil, `"mcpauth-question-%d"`, c.renamed)
		q.plainShown = plainID(q.shown)
		m = mcphttp.NewRequest(q.shown, m.Method, m.Params)
	}
	if len(c.questions) == maxQuestions {
		c.questions = slices.Delete(c.questions, 0, 1)
	}
	c.questions = append(c.questions, q)
	return m
}

// plainID returns an id without quotes and escapes. A program may write a string with other escapes than the server, a number as a string, or
// 1.0 as 1.
func plainID(id json.RawMessage) string {
	if jsonscan.Type(id) == "string" {
		return jsonscan.Unquote(id)
	}
	if n, err := strconv.ParseFloat(string(id), 64); err == nil && bytes.ContainsAny(id, ".eE") {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return string(id)
}

// takeQuestion returns the session to which the program's answer m belongs, and the answer with the id that the server chose. The session is
// nil if there is no such question, or if its session is over.
func (c *conversation) takeQuestion(m mcphttp.Message) (*mcphttp.Session, mcphttp.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	current := c.session
	if current == nil {
		current = &mcphttp.Session{}
	}
	i := slices.IndexFunc(c.questions, func(q question) bool { return string(q.shown) == string(m.ID) })
	if i < 0 {
		plain := plainID(m.ID)
		i = slices.IndexFunc(c.questions, func(q question) bool { return q.plainShown == plain })
	}
	if i < 0 && c.session == nil {
		return current, m // without sessions, no other question has this id
	} else if i < 0 {
		return nil, m
	}
	q := c.questions[i]
	c.questions = slices.Delete(c.questions, i, i+1)
	m = c.answerTo(mcphttp.Message{ID: q.id}, mcphttp.Outcome{Answer: m})
	switch {
	case q.lost:
		return nil, m
	case q.session == nil:
		return current, m
	}
	return q.session, m
}

// loseQuestions records that the current session is over. mu must be locked.
func (c *conversation) loseQuestions() {
	for i, q := range c.questions {
		if q.session == nil || q.session == c.session {
			c.questions[i].lost = true
		}
	}
}

// renameCancelled returns a notification with which the server cancels a question. If the program sees the question under another id, the
// notification gets this id.
func (c *conversation) renameCancelled(s *mcphttp.Session, m mcphttp.Message) mcphttp.Message {
	id := plainID(jsonscan.Member(m.Params, "requestId"))
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.questions {
		if q.session == s && q.plainID == id && q.plainShown != id {
			return mcphttp.NewRequest(nil, m.Method, fmt.Appendf(nil, `{"requestId":%s}`, q.shown))
		}
	}
	return m
}
