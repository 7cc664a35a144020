// This file relays between a program that speaks MCP over standard streams and a server that speaks it over Streamable HTTP. Messages pass
// byte for byte, but for line ends between the members of an object; the two sides negotiate the revision with each other. What the relay
// does itself is what the program cannot: authorization, headers, sessions.

package mcpclient

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"mcpauth/internal/httpx"
)

const (
	notifyTimeout = time.Minute     // for what is sent in order, so that one that hangs does not hold up the rest for ever
	lastAnswers   = 3 * time.Second // for what is under way when the program has nothing more to say
	readAhead     = 100             // messages behind one that is sent in order
)

// relay is one run of Client.Relay.
type relay struct {
	c    *Client
	w    *wire
	base context.Context // of the whole run

	writing sync.Mutex // held while a line goes out
	out     io.Writer
	broken  context.CancelCauseFunc // ends the run: the program does not read any more

	requests sync.WaitGroup // under way; those that never end are not counted
	renewing sync.Mutex     // held while a lost session is replaced

	mu                  sync.Mutex                 // guards what follows
	opened, initialized []byte                     // initialize and notifications/initialized as the program sent them
	session, version    string                     // of the legacy session; version is empty where there is none
	listening           context.CancelFunc         // ends the stream of the session; nil: there is none
	old                 *oldSession                // with a server of 2024-11-05; nil: none
	pending             map[string]pending         // by id
	annotated           map[string]json.RawMessage // input schemas that want arguments in headers, by tool
}

// pending is a request under way.
type pending struct {
	modern bool
	cancel context.CancelFunc
}

// Relay passes messages, one a line, from in to the server and from the server to out, until in ends or ctx does; then it ends the
// session. Requests that come to nothing are answered with a JSON-RPC error. The error is that of ctx, of reading or of writing; a read
// of in that is under way when ctx ends is left alone.
//
// A program that speaks 2026-07-28 gets the refusal of an earlier server, and takes the older handshake by itself. With that, servers of
// 2024-11-05 (HTTP+SSE) are spoken to as well.
func (c *Client) Relay(ctx context.Context, in io.Reader, out io.Writer) error {
	w, err := c.wire()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &relay{c: c, w: w, base: ctx, out: out, broken: stop, pending: map[string]pending{}, annotated: map[string]json.RawMessage{}}
	begun, late := context.WithCancel(ctx)
	defer late()
	err = r.read(begun, in, func() { time.AfterFunc(lastAnswers, late) })
	if err == nil {
		r.drain(begun)
	}
	stop(nil)
	r.end()
	return err
}

// read takes one message after the other, until the last one or the end of the run. ended is called when there is nothing more to read,
// which is noticed behind a message that hangs as well.
func (r *relay) read(ctx context.Context, in io.Reader, ended func()) error {
	lines := make(chan []byte, readAhead)
	var reason error // set when lines is closed
	go func() {      // apart, because a read cannot be interrupted
		l := &lineReader{r: bufio.NewReaderSize(in, 64<<10), max: int(r.w.max())}
		for reason == nil {
			data, size, err := l.line()
			if size > l.max {
				err = fmt.Errorf("%w: a message has more than %d bytes", errTooLarge, l.max)
			}
			if len(bytes.TrimSpace(data)) > 0 && (err == nil || err == io.EOF) {
				select {
				case lines <- data:
				case <-r.base.Done():
					return
				}
			}
			reason = err
		}
		close(lines)
		ended()
	}()
	for {
		select {
		case <-r.base.Done():
			return context.Cause(r.base)
		case data, more := <-lines:
			switch {
			case more:
				r.take(ctx, bytes.TrimSpace(data))
			case reason == io.EOF:
				return nil
			default:
				return reason
			}
		}
	}
}

// take sends one message on. Requests are sent side by side; everything else in its order, which may matter to the server.
func (r *relay) take(ctx context.Context, data []byte) {
	m, ok := parseMessage(data)
	switch {
	case !valid(data):
		r.write(rpcFailure(nil, -32700, "the message is not JSON"))
	case m.method == "initialize" && m.id != nil:
		r.initialize(ctx, m, data)
	case m.method == "notifications/initialized":
		r.mu.Lock()
		r.initialized = data
		r.mu.Unlock()
		r.notify(ctx, m, data)
		r.listen(0)
	case m.method == "notifications/cancelled":
		r.cancelled(ctx, m, data)
	case ok && m.method != "" && m.id != nil:
		r.request(m, data)
	default: // notifications, responses, and the batches of 2025-03-26
		r.notify(ctx, m, data)
	}
}

// initialize opens a session, which the program may do again.
func (r *relay) initialize(ctx context.Context, m message, data []byte) {
	r.mu.Lock()
	r.opened, r.session, r.version = data, "", ""
	if r.old != nil {
		r.old.end(nil)
		r.old = nil
	}
	r.mu.Unlock()
	r.forward(ctx, m, data)
}

// request sends a request, and writes what comes back.
func (r *relay) request(m message, data []byte) {
	ctx, cancel := context.WithCancel(r.base)
	id := string(m.id)
	r.mu.Lock()
	r.pending[id] = pending{modern: requestVersion(m) != "", cancel: cancel}
	r.mu.Unlock()
	run := func() {
		defer cancel()
		r.forward(ctx, m, data)
		if r.base.Err() != nil {
			return // see cancelPending
		}
		r.mu.Lock()
		delete(r.pending, id)
		r.mu.Unlock()
	}
	if m.method == "subscriptions/listen" { // lasts for as long as the program does
		go run()
		return
	}
	r.requests.Go(run)
}

// cancelled passes a cancellation on: to a modern server by closing the stream of the request (2026-07-28, Streamable HTTP, Cancellation).
// An earlier one is told, and need not answer the request any more (2025-11-25, Cancellation).
func (r *relay) cancelled(ctx context.Context, m message, data []byte) {
	id := member(m.params, "requestId")
	r.mu.Lock()
	p, known := r.pending[string(id)]
	legacy := r.version != ""
	r.mu.Unlock()
	if known && !p.modern || !known && legacy {
		r.notify(ctx, m, data)
	}
	if known {
		p.cancel()
	}
}

// notify sends what has no answer.
func (r *relay) notify(ctx context.Context, m message, data []byte) {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	r.forward(ctx, m, data)
}

// drain waits for the answers that are under way: `printf … | mcpauth proxy` gets them.
func (r *relay) drain(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		r.requests.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// end ends the session (2025-11-25, Streamable HTTP, Session Management), and what is under way in it.
func (r *relay) end() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	r.mu.Lock()
	session, old := r.session, r.old
	r.mu.Unlock()
	if old != nil {
		return // its stream has ended, and the session with it
	}
	r.cancelPending(ctx)
	if session == "" {
		return
	}
	req, err := r.newRequest(ctx, http.MethodDelete, message{})
	if err != nil {
		return
	}
	if res, err := r.w.send(req, nil, true); err == nil {
		discard(res)
	}
}

// cancelPending tells a legacy server that nobody waits for its answers any more; the end of a connection does not say so (2025-11-25,
// Streamable HTTP, Sending Messages to the Server). A modern server saw its streams end.
func (r *relay) cancelPending(ctx context.Context) {
	var ids []string
	r.mu.Lock()
	for id, p := range r.pending {
		if !p.modern {
			ids = append(ids, id)
		}
	}
	r.mu.Unlock()
	var sent sync.WaitGroup
	for _, id := range ids {
		sent.Go(func() {
			data := fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s,"reason":"the program has ended"}}`, id)
			req, err := r.newRequest(ctx, http.MethodPost, message{})
			if err != nil {
				return
			}
			if res, err := r.w.send(req, data, true); err == nil {
				discard(res)
			}
		})
	}
	sent.Wait()
}

// write writes one message as a line. Line ends in it stand between members and become blanks; around it there are none, which not
// every reader takes.
func (r *relay) write(message []byte) {
	message = bytes.TrimSpace(message)
	line := make([]byte, 0, len(message)+1)
	for _, c := range message {
		if c == '\n' || c == '\r' {
			c = ' '
		}
		line = append(line, c)
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if r.base.Err() != nil {
		return // the writer is the caller's again
	}
	if _, err := r.out.Write(append(line, '\n')); err != nil {
		r.broken(fmt.Errorf("the program does not read any more: %w", err))
	}
}

// fail answers a request that came to nothing. Nobody waits for one that was cancelled, or for the answer to anything else.
func (r *relay) fail(ctx context.Context, m message, err error) {
	if m.id == nil || m.method == "" || ctx.Err() != nil {
		return
	}
	r.write(rpcFailure(m.id, -32000, httpx.Text(r.w.clean(err.Error()), 1000)))
}

// rpcFailure is a JSON-RPC error of the relay's own.
func rpcFailure(id json.RawMessage, code int, text string) []byte {
	if id == nil {
		id = json.RawMessage("null")
	}
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s}}`, id, code, quote(text))
}

var errNoAnswer = errors.New("the server gives no answer to the request")
