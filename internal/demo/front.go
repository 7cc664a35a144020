package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// maxRequest limits the body of a request, in bytes.
const maxRequest = 8 << 20

// front is the HTTP handler of one port. A request is logged and counted before front applies faults and calls the endpoint.
type front struct {
	s       *Server
	onlyMCP bool // the authorization server is on another port
	onlyAS  bool
}

// request is a request with its log entry and the fault that applies to it.
type request struct {
	*http.Request
	s     *Server
	entry *Entry
	fault Fault
	body  []byte
}

// handler responds to a request.
type handler func(http.ResponseWriter, *request)

// quiet returns a logger that discards the messages of net/http about dropped connections, which the faults cause.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !localHost(r.Host) {
		http.Error(w, "this server is for loopback only", http.StatusForbidden) // protects against DNS rebinding
		return
	}
	if strings.HasPrefix(r.URL.Path, "/_demo/") && !f.onlyAS {
		f.s.control(w, r)
		return
	}
	name, h := f.s.route(r.URL.Path, f)
	if h == nil {
		name, h = "other", func(w http.ResponseWriter, r *request) { http.NotFound(w, r.Request) }
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	req := &request{Request: r, s: f.s, body: body, entry: newEntry(name, r, body)}
	f.s.log(req.entry)
	req.fault = f.s.meet(req)
	f.s.perform(w, req, h)
}

// localHost reports whether a Host header names this machine.
func localHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// perform applies the fault of a request and calls the endpoint.
func (s *Server) perform(w http.ResponseWriter, r *request, h handler) {
	f := r.fault
	s.pause(r.Context(), f.Delay)
	if f.Hang == "before" {
		s.hang(r.Context())
	}
	if f.Drop == "before" {
		panic(http.ErrAbortHandler)
	}
	if r.entry.Endpoint == "mcp" && !f.instead() && (f.untouched() || r.Method == http.MethodGet) {
		if f.Drop != "" || f.Hang != "" { // Drop and Hang act in the middle or at the end of a response, and an endless stream has neither
			panic(http.ErrAbortHandler)
		}
		f.addHeader(w.Header())
		out := &watcher{ResponseWriter: w}
		h(out, r)
		s.answered(r.entry, out.status)
		return
	}
	rec := newRecorder()
	if !f.instead() {
		h(rec, r)
		rec.edit(f)
	}
	s.pause(r.Context(), f.Late)
	switch {
	case f.Hang == "after":
		s.hang(r.Context())
	case f.Hang == "mid":
		writeHalf(w, rec)
		s.hang(r.Context())
	case f.Drop == "after":
		panic(http.ErrAbortHandler)
	case f.Drop == "mid":
		writeHalf(w, rec)
		panic(http.ErrAbortHandler)
	}
	s.answered(r.entry, f.status(rec.status))
	f.write(w, rec)
}

// untouched reports whether the response is sent as the endpoint writes it. Only an unchanged response can be streamed.
func (f Fault) untouched() bool {
	return f.Drop == "" && f.Hang == "" && f.Late == 0 && f.Status == 0 && f.Body == "" && f.Cut == 0
}

// hang keeps the connection open until the client closes it or the server is closed.
func (s *Server) hang(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.done:
	}
	panic(http.ErrAbortHandler)
}

// writeHalf sends the header and the first half of the body.
func writeHalf(w http.ResponseWriter, rec *recorder) {
	for k, v := range rec.header {
		w.Header()[k] = v
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.status)
	w.Write(rec.body.Bytes()[:rec.body.Len()/2])
	http.NewResponseController(w).Flush()
}

// recorder buffers a response.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) Flush()              {}
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}
func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

// edit changes members of a JSON response or parameters of a redirect.
func (r *recorder) edit(f Fault) {
	if len(f.Edit) == 0 {
		return
	}
	if at := r.header.Get("Location"); at != "" {
		r.header.Set("Location", editQuery(at, f))
		return
	}
	d := json.NewDecoder(bytes.NewReader(r.body.Bytes()))
	d.UseNumber()
	var members map[string]any
	if d.Decode(&members) != nil || members == nil {
		return
	}
	f.apply(members)
	r.body.Reset()
	json.NewEncoder(&r.body).Encode(members)
}

func editQuery(address string, f Fault) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	q := u.Query()
	for name, value := range f.Edit {
		if value == nil {
			q.Del(name)
		} else {
			q.Set(name, textOf(value))
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// textOf converts the value of an edit to text.
func textOf(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	data, _ := json.Marshal(value)
	return string(data)
}

// watcher records the status of a streamed response.
type watcher struct {
	http.ResponseWriter
	status int
}

func (w *watcher) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watcher) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

func (w *watcher) Flush()                      { http.NewResponseController(w.ResponseWriter).Flush() }
func (w *watcher) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// writeJSON sends a JSON value that must not be cached.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
