package mcpproxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/mcphttp"
)

const (
	maxBody          = 64 << 20 // limit of one message of the program in bytes
	maxConversations = 64       // limit of open sessions; at the limit, a new session ends the session that has been unused for the longest time
	sessionHeader    = "Mcp-Session-Id"
	strangerTime     = time.Second // limit for the body of a request that is refused
)

// Listener serves Streamable HTTP on the loopback interface with the login of a Proxy. The URL contains a secret of 256 bits. A request
// whose URL lacks the secret gets status 404, and so does a request that a web page sends (2025-11-25, Streamable HTTP, Security Warning).
type Listener struct {
	URL string

	proxy  *Proxy
	server *http.Server
	host   string   // the only accepted Host
	secret [32]byte // SHA-256 of the path
	base   context.Context
	stop   context.CancelFunc

	strangers httpx.Strangers

	mu       sync.Mutex
	sessions map[string]*httpProgram
}

// httpProgram is a program that has opened a session.
type httpProgram struct {
	*conversation
	lastUsed time.Time

	mu     sync.Mutex
	stream *eventWriter // the stream that the program opened by GET; nil: none
}

// Listen listens at addr, whose host must be 127.0.0.1. Port 0 chooses a free port. The Listener serves requests until Close.
func (p *Proxy) Listen(addr string) (*Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host != "127.0.0.1" {
		return nil, fmt.Errorf("%q is not 127.0.0.1", host)
	}
	socket, err := net.Listen("tcp4", addr)
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails
	l := &Listener{proxy: p, host: socket.Addr().String(), sessions: map[string]*httpProgram{}}
	path := "/" + hex.EncodeToString(key) + "/mcp"
	l.URL, l.secret = "http://"+l.host+path, sha256.Sum256([]byte(path))
	l.base, l.stop = context.WithCancel(context.Background())
	l.server = &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		DisableGeneralOptionsHandler: true, ErrorLog: log.New(io.Discard, "", 0)}
	l.strangers.Watch(l.server)
	go l.server.Serve(socket)
	return l, nil
}

// Close ends the sessions and stops serving, within two seconds.
func (l *Listener) Close() {
	l.mu.Lock()
	var ended sync.WaitGroup
	for _, c := range l.sessions {
		ended.Go(c.endConversation)
	}
	l.mu.Unlock()
	ended.Wait()
	l.stop()
	l.server.Close()
}

// accepts reports whether a request is allowed. Even if a web page knows the URL, its request is refused, because the browser adds Origin
// or Sec-Fetch-Site. If a page has bound its own domain name to the loopback address (DNS rebinding), the browser sends that name as Host.
func (l *Listener) accepts(r *http.Request) bool {
	path := sha256.Sum256([]byte(r.URL.EscapedPath()))
	site := r.Header.Get("Sec-Fetch-Site")
	return subtle.ConstantTimeCompare(path[:], l.secret[:]) == 1 && r.URL.RawQuery == "" && r.Host == l.host &&
		r.Header["Origin"] == nil && (site == "" || site == "none")
}

func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !l.accepts(r) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(strangerTime)) // net/http reads the body before it answers
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !l.strangers.Admit(r) {
		return // nothing may run whose response cannot arrive
	}
	c, known := l.findProgram(r.Header.Get(sessionHeader))
	switch {
	case r.Method == http.MethodPost:
		l.handlePost(w, r, c, known)
	case !known && r.Header.Get(sessionHeader) != "":
		writeError(w, http.StatusNotFound, mcphttp.Message{}, -32001, "there is no such session")
	case !known:
		w.Header().Set("Allow", "POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.Method == http.MethodGet:
		c.serveStream(w, r)
	case r.Method == http.MethodDelete:
		l.dropSession(r.Header.Get(sessionHeader))
		w.WriteHeader(http.StatusOK)
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// writeError answers with a JSON-RPC error of the proxy.
func writeError(w http.ResponseWriter, status int, m mcphttp.Message, code int64, text string) {
	writeJSON(w, status, mcphttp.NewError(m.ID, code, text))
}

func writeJSON(w http.ResponseWriter, status int, m mcphttp.Message) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(m.Raw)
}

// findProgram returns the program that has the session with this id.
func (l *Listener) findProgram(id string) (*httpProgram, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.sessions[id]
	if ok {
		c.lastUsed = time.Now()
	}
	return c, ok
}

// openSession creates a session for a program that sends initialize.
func (l *Listener) openSession() (string, *httpProgram) {
	c := &httpProgram{lastUsed: time.Now()}
	c.conversation = l.proxy.converse(l.base, c.sendUnrelated)
	c.overHTTP = true
	id := rand.Text()
	l.mu.Lock()
	oldest := ""
	for id, other := range l.sessions {
		if oldest == "" || other.lastUsed.Before(l.sessions[oldest].lastUsed) {
			oldest = id
		}
	}
	full := len(l.sessions) == maxConversations
	l.sessions[id] = c
	l.mu.Unlock()
	if full {
		l.dropSession(oldest)
	}
	return id, c
}

// dropSession ends a session.
func (l *Listener) dropSession(id string) {
	l.mu.Lock()
	c := l.sessions[id]
	delete(l.sessions, id)
	l.mu.Unlock()
	if c != nil {
		c.endConversation()
	}
}

// handlePost handles one message of a program. handlePost refuses a JSON-RPC batch, because the program can send the messages one by one.
func (l *Listener) handlePost(w http.ResponseWriter, r *http.Request, c *httpProgram, known bool) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/json" {
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if errors.As(err, new(*http.MaxBytesError)) {
			status = http.StatusRequestEntityTooLarge
		}
		w.WriteHeader(status)
		return
	}
	m, ok := mcphttp.Parse(bytes.TrimSpace(body))
	session := r.Header.Get(sessionHeader)
	var talk *conversation
	switch {
	case !ok || !isValidMessage(m):
		writeError(w, http.StatusBadRequest, m, -32600, "the message is not a JSON-RPC request, notification or response")
		return
	case m.Method == "initialize" && m.IsRequest():
		session, c = l.openSession()
		w.Header().Set(sessionHeader, session)
		talk = c.conversation
	case session == "" && (m.Version() != "" || !m.IsRequest()): // a message of MCP 2026-07-28
		talk = l.proxy.converse(l.base, func(mcphttp.Message) bool { return false })
		talk.overHTTP = true
		defer talk.stop()
	case !known && session == "":
		writeError(w, http.StatusBadRequest, m, -32000, "the request has no session: send initialize first")
		return
	case !known:
		writeError(w, http.StatusNotFound, m, -32001, "there is no such session")
		return
	default:
		talk = c.conversation
	}
	if m.IsRequest() {
		talk.serveRequest(w, r, m)
		if m.Method == "initialize" && talk.current() == nil {
			l.dropSession(session) // the server refused initialize
		}
		return
	}
	switch {
	case m.Method == "notifications/cancelled" && !talk.cancelRequest(m):
	case m.Method == "notifications/initialized":
		talk.finishHandshake(r.Context(), m)
	default:
		talk.sendOneWay(r.Context(), m)
	}
	w.WriteHeader(http.StatusAccepted)
}

// serveRequest answers one request with JSON, or with an event stream if messages precede the answer. A program with MCP 2026-07-28 cancels
// a request by closing the connection. Programs of earlier revisions send notifications/cancelled instead (2025-11-25, Cancellation).
func (c *conversation) serveRequest(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
	ctx := c.base
	if m.Version() != "" {
		ctx = r.Context()
	}
	out := &eventWriter{w: w}
	answered := make(chan struct{})
	q := &pendingRequest{Message: m, header: paramsOf(r.Header), receive: out.sendMessage, answer: func(a mcphttp.Message, status int) {
		out.writeAnswer(a, statusOf(a, status))
		close(answered)
	}}
	ctx = c.addRequest(ctx, q)
	go c.runRequest(ctx, q)
	select {
	case <-answered:
	case <-ctx.Done(): // cancelled, or answered at the same time
	case <-r.Context().Done():
	}
	out.stopWriting()
}

// statusOf returns the HTTP status of an answer. The status of an error from the server is passed on, because clients recognize the
// server's revision by the status. A status that would make the client start a login is replaced by 502.
func statusOf(a mcphttp.Message, status int) int {
	switch {
	case a.Result != nil:
		return http.StatusOK
	case status == 0:
		return http.StatusBadGateway
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return http.StatusBadGateway
	}
	return status
}

// paramsOf returns the Mcp-Param headers of the program.
func paramsOf(h http.Header) http.Header {
	params := http.Header{}
	for name, values := range h {
		if strings.HasPrefix(name, "Mcp-Param-") {
			params[name] = values
		}
	}
	return params
}
