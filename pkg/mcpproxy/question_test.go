package mcpproxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpauth/internal/mcphttp"
)

// asking is a server whose tools ask the user a question. Each session counts its questions from 1, as the sessions of the TypeScript SDK do.
type asking struct {
	mu      sync.Mutex
	session int
	waiting map[string]chan string // the unanswered question of a session
	answers []string               // session and answer
}

func (a *asking) serve(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
	a.mu.Lock()
	id := fmt.Sprint("s", a.session)
	a.mu.Unlock()
	from := r.Header.Get("Mcp-Session-Id")
	switch {
	case m.Method == "initialize":
		greeted(w, m, id)
	case m.IsResponse():
		a.mu.Lock()
		a.answers = append(a.answers, from+" "+string(m.Raw))
		waiting := a.waiting[from]
		a.mu.Unlock()
		if from == id {
			waiting <- string(m.Raw)
		}
		w.WriteHeader(map[bool]int{true: http.StatusAccepted, false: http.StatusNotFound}[from == id])
	case from != id:
		w.WriteHeader(http.StatusNotFound)
	case m.Method == "tools/call":
		answer := make(chan string, 9)
		a.mu.Lock()
		a.waiting[id] = answer
		a.mu.Unlock()
		w.Header().Set("Content-Type", eventType)
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"elicitation/create\",\"params\":{\"message\":%q}}\n\n", param(m, "name"))
		if param(m, "name") == "cancelled" {
			io.WriteString(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1,\"reason\":\"late\"}}\n\n")
		}
		w.(http.Flusher).Flush()
		select {
		case text := <-answer:
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"answer\":%q}}\n\n", m.ID, text)
		case <-r.Context().Done():
		}
	default:
		greeted(w, m, id)
	}
}

// The program's answer to a question of a lost session does not reach the question of the new session that has the same id.
func TestAnswerOfALostSession(t *testing.T) {
	a := &asking{waiting: map[string]chan string{}}
	s := newServer(t, a.serve)
	p := s.proxy()
	var mu sync.Mutex
	var logged []string
	p.Log = func(text string) { mu.Lock(); logged = append(logged, text); mu.Unlock() }
	t.Cleanup(func() { // after the proxy has ended
		if got := strings.Join(a.answers, ", "); got != `s1 {"jsonrpc":"2.0","id":1,"result":{"action":"decline"}}` {
			t.Errorf("the server received %s", got)
		}
		if got := strings.Count(strings.Join(logged, "\n"), "dropped a response from the client"); got != 2 {
			t.Errorf("logged %q", logged)
		}
	})
	k := talk(t, p)
	k.greets()
	k.say(call("10", "show"))
	first, _ := mcphttp.Parse([]byte(k.hears(`"method":"elicitation/create","params":{"message":"show"}`)))
	a.mu.Lock()
	a.session++
	a.mu.Unlock()
	k.say(call("11", "cancelled"))
	second := k.hears(`"method":"elicitation/create","params":{"message":"cancelled"}`)
	m, _ := mcphttp.Parse([]byte(second))
	if string(m.ID) == string(first.ID) {
		t.Errorf("two questions have the same id: %s", second)
	}
	k.hears(fmt.Sprintf(`"method":"notifications/cancelled","params":{"requestId":%s,"reason":"late"}`, m.ID))
	k.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept"}}`, first.ID), fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"decline"}}`, m.ID))
	k.hears(`"id":11,"result":{"answer":"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"action\":\"decline\"}}"}`)
	k.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept"}}`, m.ID)) // a second answer to the same question
	a.waiting["s0"] <- "none"
	k.hears(`"id":10`)
}

// The program sees other ids than those of the server. Only an answer with such an id reaches the server, once, and with the id that the server chose.
func TestIDsOfQuestions(t *testing.T) {
	session := &mcphttp.Session{Version: "2025-11-25"}
	var shown []mcphttp.Message
	c := (&Proxy{URL: "https://mcp.example/mcp"}).converse(t.Context(), func(m mcphttp.Message) bool { shown = append(shown, m); return true })
	defer c.stop()
	c.session = session
	asked := []string{`1`, `"1"`, `1.0`, `"a\/b"`, `1`}
	for _, id := range asked {
		c.handleMessage(nil, session, mcphttp.NewRequest([]byte(id), "ping", nil))
	}
	for i, m := range shown {
		answer := mcphttp.NewResult(m.ID, []byte(`{}`))
		if s, m := c.takeQuestion(answer); s != session || string(m.ID) != asked[i] {
			t.Errorf("the answer to %s has the id %s", asked[i], m.ID)
		}
		if s, _ := c.takeQuestion(answer); s != nil {
			t.Errorf("a second answer to %s is sent", asked[i])
		}
	}
	for _, id := range []string{`1`, `"1"`, `null`, `"mcpauth-question-6"`} {
		if s, _ := c.takeQuestion(mcphttp.NewResult([]byte(id), []byte(`{}`))); s != nil {
			t.Errorf("an answer with the id %s is sent", id)
		}
	}
}

// The ids of unanswered questions take a limited amount of memory.
func TestQuestionsAreBounded(t *testing.T) {
	c := (&Proxy{URL: "https://mcp.example/mcp"}).converse(t.Context(), func(mcphttp.Message) bool { return true })
	defer c.stop()
	for i := range 2 * maxQuestions {
		c.addQuestion(&mcphttp.Session{Version: "2025-11-25"}, mcphttp.NewRequest(fmt.Append(nil, i), "ping", nil))
	}
	c.handleMessage(nil, &mcphttp.Session{}, mcphttp.NewRequest([]byte(strings.Repeat("1", mcphttp.MaxRequestID+1)), "ping", nil))
	if n := len(c.questions); n != maxQuestions || string(c.questions[n-1].id) != fmt.Sprint(2*maxQuestions-1) {
		t.Errorf("%d questions are remembered", n)
	}
}

// A server that accepts no response gets at most maxAnswers of them at once.
func TestAnswersAreBounded(t *testing.T) {
	ended := make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
		if m.IsResponse() {
			select {
			case <-ended:
			case <-r.Context().Done():
			}
		}
	})
	c := s.proxy().converse(t.Context(), func(mcphttp.Message) bool { return true })
	defer c.stop()
	session := &mcphttp.Session{Version: "2025-11-25"}
	c.session = session
	var answers sync.WaitGroup
	for i := range maxAnswers + 50 {
		c.handleMessage(nil, session, mcphttp.NewRequest(fmt.Append(nil, i), "ping", nil))
		answers.Go(func() {
			c.sendOneWay(t.Context(), mcphttp.NewResult(fmt.Appendf(nil, `"mcpauth-question-%d"`, i+1), []byte(`{}`)))
		})
	}
	for start := time.Now(); len(s.seen()) < maxAnswers && time.Since(start) < 10*time.Second; {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // for more responses, if they were sent
	if n := len(s.seen()); n != maxAnswers {
		t.Errorf("%d responses were sent at once, expected %d", n, maxAnswers)
	}
	close(ended)
	answers.Wait()
	c.handleMessage(nil, session, mcphttp.NewRequest([]byte(`"later"`), "ping", nil))
	c.sendOneWay(t.Context(), mcphttp.NewResult(fmt.Appendf(nil, `"mcpauth-question-%d"`, maxAnswers+51), []byte(`{}`)))
	if n := len(s.seen()); n != maxAnswers+1 {
		t.Errorf("%d responses were sent in all, expected %d", n, maxAnswers+1)
	}
}

// A question, its cancellation or an answer costs no work for each of the questions that are remembered, even if those are of a lost session.
func TestManyQuestionsOfALostSession(t *testing.T) {
	c := (&Proxy{URL: "https://mcp.example/mcp"}).converse(t.Context(), func(mcphttp.Message) bool { return true })
	defer c.stop()
	lost, current := &mcphttp.Session{Version: "2025-11-25"}, &mcphttp.Session{Version: "2025-11-25"}
	id := func(i int) []byte { return fmt.Appendf(nil, `"%s%d"`, strings.Repeat("a", 900), i) }
	for i := range maxQuestions {
		c.addQuestion(lost, mcphttp.NewRequest(id(i), "ping", nil))
	}
	for name, step := range map[string]func(){
		"question": func() { c.addQuestion(current, mcphttp.NewRequest(id(maxQuestions), "ping", nil)) },
		"cancellation": func() {
			c.cancelQuestion(lost, mcphttp.NewRequest(nil, "notifications/cancelled", []byte(`{"requestId":"x"}`)))
		},
		"answer": func() { c.takeQuestion(mcphttp.NewResult([]byte(`"x"`), []byte(`{}`))) },
	} {
		if n := testing.AllocsPerRun(10, step); n > 100 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
