package demo

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxLog limits the number of entries in the log. Older entries are dropped.
const maxLog = 20000

// Entry is one request in the log. In its JSON form, secrets in Header, Query and Form are replaced by "[redacted]".
type Entry struct {
	Seq      int         `json:"seq"`
	Time     time.Time   `json:"time"`
	Endpoint string      `json:"endpoint"` // one of Endpoints; "other" if the path has no endpoint
	Method   string      `json:"method"`
	Path     string      `json:"path"`
	Query    url.Values  `json:"query,omitempty"`
	Grant    string      `json:"grant,omitempty"` // grant_type, at the token endpoint
	RPC      string      `json:"rpc,omitempty"`   // method of the JSON-RPC message, for an MCP endpoint
	Tool     string      `json:"tool,omitempty"`
	Header   http.Header `json:"header,omitempty"`
	Form     url.Values  `json:"form,omitempty"`   // OAuth endpoints
	Body     string      `json:"body,omitempty"`   // for registration and MCP, at most 64 kB
	Shown    string      `json:"shown,omitempty"`  // subject of the client's TLS certificate; empty: none
	Status   int         `json:"status,omitempty"` // 0: no response yet, or the connection was dropped
	Error    string      `json:"error,omitempty"`  // code of the OAuth error in the response
}

// MarshalJSON redacts the secrets.
func (e Entry) MarshalJSON() ([]byte, error) {
	type plain Entry
	p := plain(e)
	p.Header, p.Query, p.Form = p.Header.Clone(), redact(p.Query), redact(p.Form)
	for _, name := range []string{"Authorization", "Dpop", "Cookie", "X-Api-Key"} {
		if v := p.Header.Get(name); v != "" {
			scheme, _, _ := strings.Cut(v, " ")
			if name != "Authorization" {
				scheme = ""
			}
			p.Header.Set(name, strings.TrimSpace(scheme+" [redacted]"))
		}
	}
	return json.Marshal(p)
}

func redact(form url.Values) url.Values {
	safe := url.Values{}
	for name, values := range form {
		if slices.Contains(secretFields(), name) {
			values = []string{"[redacted]"}
		}
		safe[name] = values
	}
	return safe
}

// record contains the counters and the log.
type record struct {
	mu      sync.Mutex
	seq     int
	counts  map[string]int
	entries []*Entry
	changed chan struct{} // closed at each change of a counter, and replaced by a new channel
}

func (r *record) init() { r.counts, r.changed = map[string]int{}, make(chan struct{}) }

// newEntry describes a request.
func newEntry(endpoint string, r *http.Request, body []byte) *Entry {
	e := &Entry{Endpoint: endpoint, Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header.Clone(), Shown: subject(r)}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case kind == "application/x-www-form-urlencoded":
		e.Form, _ = url.ParseQuery(string(body))
		e.Grant = e.Form.Get("grant_type")
	case kind == "application/json":
		e.Body = string(body[:min(len(body), 64<<10)])
	}
	if endpoint == "mcp" {
		e.RPC, e.Tool = rpcOf(body)
	}
	return e
}

// rpcOf returns the method and the tool of a JSON-RPC message or, for a batch, those of the first message.
func rpcOf(body []byte) (method, tool string) {
	type message struct {
		Method string
		Params struct{ Name string }
	}
	var m message
	body = bytes.TrimSpace(body)
	if bytes.HasPrefix(body, []byte("[")) {
		var batch []message
		if json.Unmarshal(body, &batch) == nil && len(batch) > 0 {
			m = batch[0]
		}
	} else {
		json.Unmarshal(body, &m)
	}
	if m.Method == "tools/call" {
		tool = m.Params.Name
	}
	return m.Method, tool
}

// log adds a request to the log and counts it.
func (s *Server) log(e *Entry) {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.seq++
	e.Seq, e.Time = s.record.seq, s.now().UTC()
	s.record.entries = append(s.record.entries, e)
	if len(s.record.entries) > 2*maxLog {
		s.record.entries = slices.Clone(s.record.entries[maxLog:])
	}
	s.record.add("requests", e.Endpoint)
	if e.Grant != "" {
		s.record.add(e.Endpoint + "/" + e.Grant)
	}
	if e.RPC != "" {
		s.record.add("mcp/" + e.RPC)
	}
}

// answered records the status of a response.
func (s *Server) answered(e *Entry, status int) {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	e.Status = status
	s.record.add()
}

// note records the OAuth error code of a response.
func (s *Server) note(e *Entry, code string) {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	e.Error = code
}

// count increments counters.
func (s *Server) count(kinds ...string) {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.add(kinds...)
}

func (r *record) add(kinds ...string) {
	for _, k := range kinds {
		r.counts[k]++
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// Count returns the value of a counter. Requests are counted on arrival: by endpoint ("token", "mcp", "metadata", …; "requests" counts
// all), by grant ("token/refresh_token") and by MCP method ("mcp/tools/call"). Other counters count events: "login" (redeemed codes),
// "approve" (approved authorization requests), "pushed" (pushed authorization requests), "refresh" (successful refreshes), "reuse" (refresh
// tokens used twice, which revoked the grant), "grace" (refresh tokens used twice within Settings.Grace), "registered", "unregistered",
// "revoked" (grants that a revocation ended), "401" and "403" (refused MCP requests), and "tool/NAME" (executed calls of a tool).
func (s *Server) Count(kind string) int {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return s.record.counts[kind]
}

// Counts returns all counters.
func (s *Server) Counts() map[string]int {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	all := map[string]int{}
	for k, n := range s.record.counts {
		all[k] = n
	}
	return all
}

// Requests returns the log entries of some endpoints. Without endpoints, Requests returns all entries.
func (s *Server) Requests(endpoints ...string) []Entry {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	entries := []Entry{}
	for _, e := range s.record.entries {
		if len(endpoints) == 0 || slices.Contains(endpoints, e.Endpoint) {
			entries = append(entries, *e)
		}
	}
	return entries
}

// Reset sets all counters to 0 and clears the log.
func (s *Server) Reset() {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	clear(s.record.counts)
	s.record.entries = nil
}

// changes returns the value of a counter, and a channel that is closed at the next change of any counter.
func (s *Server) changes(kind string) (int, <-chan struct{}) {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return s.record.counts[kind], s.record.changed
}
