package mcpproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

const (
	maxLine     = 512 << 20        // limit of one message of the program in bytes
	lastAnswers = 60 * time.Second // how long Stdio waits for pending requests after the end of the input
)

// stdio is a program on standard input and output, with one message per line (2025-11-25, Transports, stdio).
type stdio struct {
	*conversation
	queue queue
	sent  sync.WaitGroup          // running calls of send, except those for subscriptions/listen
	gone  context.CancelCauseFunc // ends Stdio with an error; called if writing to the program fails

	over    atomic.Bool // out must not be used any more
	writing sync.Mutex  // held while a line is written
	out     io.Writer
}

// Stdio forwards messages from in to the server and from the server to out, until in or ctx ends. When in ends, Stdio waits up to one
// minute for pending requests, and answers the rest with an error. The returned error is that of ctx, of reading or of writing. If ctx ends
// first, a read of in may still be blocked when Stdio returns.
func (p *Proxy) Stdio(ctx context.Context, in io.Reader, out io.Writer) error {
	run, gone := context.WithCancelCause(ctx)
	s := &stdio{gone: gone, out: out}
	s.conversation = p.converse(context.Background(), s.write) // the conversation does not end with ctx, so that pending requests can still be answered
	err := s.read(run, in)
	if err == nil {
		s.drain(run)
		err = context.Cause(run) // the error of the context or of a failed write
	}
	s.end()
	s.over.Store(true)
	gone(nil)
	return err
}

// read handles messages until the input or the run ends.
func (s *stdio) read(ctx context.Context, in io.Reader) error {
	lines := make(chan []byte)
	var reason error // why reading ended; read it only after lines has been closed
	go func() {      // in a goroutine of its own, because a read cannot be interrupted
		defer close(lines)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, maxLine)
		for scanner.Scan() {
			select {
			case lines <- bytes.Clone(scanner.Bytes()):
			case <-ctx.Done():
				return
			}
		}
		if reason = scanner.Err(); errors.Is(reason, bufio.ErrTooLong) {
			reason = fmt.Errorf("a message from the client has more than %d bytes", maxLine)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case line, more := <-lines:
			if !more {
				return reason
			}
			if line = bytes.TrimSpace(line); len(line) > 0 {
				s.take(line)
			}
		}
	}
}

// take forwards one message. The messages of a batch of 2025-03-26 are sent one by one.
func (s *stdio) take(line []byte) {
	m, ok := mcphttp.Parse(line)
	switch {
	case !jsonscan.Valid(line):
		s.write(mcphttp.NewError(nil, -32700, "the message is not JSON"))
	case jsonscan.Type(line) == "array":
		for each := range jsonscan.Elements(line) {
			s.take(each)
		}
	case !ok || !proper(m):
		s.write(mcphttp.NewError(m.ID, -32600, "the message is not a JSON-RPC request, notification or response"))
	case m.Method == "notifications/cancelled" && !s.cancelled(m):
	default:
		s.send(m)
	}
}

// send sends a message when the queue allows it.
func (s *stdio) send(m mcphttp.Message) {
	place := s.queue.enter(m)
	ctx, r := s.base, (*request)(nil)
	if m.IsRequest() {
		r = &request{Message: m, answer: func(m mcphttp.Message, _ int) { s.write(m) }}
		ctx = s.begin(ctx, r)
	}
	run := func() {
		defer place.leave()
		place.wait(ctx)
		switch {
		case r != nil:
			s.run(ctx, r)
		case m.Method == "notifications/initialized":
			s.greet(ctx, m)
		default:
			s.tell(ctx, m)
		}
	}
	if m.Method == "subscriptions/listen" { // the response to this request ends only when the program ends
		go run()
		return
	}
	s.sent.Go(run)
}

// drain waits for pending answers, so that `printf … | mcpauth proxy` prints them.
func (s *stdio) drain(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		s.sent.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(lastAnswers):
	}
}

// write writes one message as a line.
func (s *stdio) write(m mcphttp.Message) {
	line := append(oneLine(m.Raw), '\n')
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.over.Load() {
		return
	}
	if _, err := s.out.Write(line); err != nil {
		s.gone(fmt.Errorf("a message for the client cannot be written: %w", err))
	}
}

// oneLine returns a copy of a message on one line, with capacity for a line end. Line breaks between members become spaces.
func oneLine(message []byte) []byte {
	message = bytes.TrimSpace(message)
	line := append(make([]byte, 0, len(message)+1), message...)
	for i, c := range line {
		if c == '\n' || c == '\r' {
			line[i] = ' '
		}
	}
	return line
}
