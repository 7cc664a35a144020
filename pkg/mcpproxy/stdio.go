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
	maxLine       = 512 << 20        // limit of one message of the program in bytes
	answerTimeout = 60 * time.Second // how long Stdio waits for pending requests after the end of the input
)

// stdioProgram is a program on standard input and output, with one message per line (2025-11-25, Transports, stdio).
type stdioProgram struct {
	*conversation
	queue messageQueue
	sent  sync.WaitGroup          // running calls of sendInOrder, except those for subscriptions/listen
	abort context.CancelCauseFunc // ends Stdio with an error; called if writing to the program fails

	outputClosed atomic.Bool // out must no longer be used
	writing      sync.Mutex  // held while a line is written
	out          io.Writer
}

// Stdio forwards messages from input to the server and from the server to output, until input or ctx ends. At the end of input, Stdio waits
// up to one minute for pending requests, and answers the rest with an error. The returned error is the error of ctx, of reading or of
// writing. If ctx ends first, a read of input may still be blocked when Stdio returns.
func (p *Proxy) Stdio(ctx context.Context, input io.Reader, output io.Writer) error {
	run, gone := context.WithCancelCause(ctx)
	s := &stdioProgram{abort: gone, out: output}
	s.conversation = p.converse(context.Background(), s.writeMessage) // the conversation does not end with ctx, so that pending requests can still be answered
	err := s.readInput(run, input)
	if err == nil {
		s.awaitAnswers(run)
		err = context.Cause(run) // the error of the context or of a failed write
	}
	s.endConversation()
	s.outputClosed.Store(true)
	gone(nil)
	return err
}

// readInput forwards messages until the input or ctx ends.
func (s *stdioProgram) readInput(ctx context.Context, in io.Reader) error {
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
				s.forwardLine(line)
			}
		}
	}
}

// forwardLine forwards one message. The messages of a JSON-RPC batch (MCP 2025-03-26) are sent one by one.
func (s *stdioProgram) forwardLine(line []byte) {
	m, ok := mcphttp.Parse(line)
	switch {
	case !jsonscan.Valid(line):
		s.writeMessage(mcphttp.NewError(nil, -32700, "the message is not JSON"))
	case jsonscan.Type(line) == "array":
		for each := range jsonscan.Elements(line) {
			s.forwardLine(each)
		}
	case !ok || !isValidMessage(m):
		s.writeMessage(mcphttp.NewError(m.ID, -32600, "the message is not a JSON-RPC request, notification or response"))
	case m.Method == "notifications/cancelled" && !s.cancelRequest(m):
	default:
		s.sendInOrder(m)
	}
}

// sendInOrder sends a message when the queue allows it.
func (s *stdioProgram) sendInOrder(m mcphttp.Message) {
	waitTurn, accepted := s.queue.addMessage(m)
	ctx, r := s.base, (*pendingRequest)(nil)
	if m.IsRequest() {
		r = &pendingRequest{Message: m, answer: func(m mcphttp.Message, _ int) { s.writeMessage(m) }}
		ctx = s.addRequest(ctx, r)
	}
	run := func() {
		defer close(accepted)
		waitTurn(ctx)
		switch {
		case r != nil:
			s.runRequest(ctx, r)
		case m.Method == "notifications/initialized":
			s.finishHandshake(ctx, m)
		default:
			s.sendOneWay(ctx, m)
		}
	}
	if m.Method == "subscriptions/listen" { // the response to this request ends only when the program ends
		go run()
		return
	}
	s.sent.Go(run)
}

// awaitAnswers waits for pending answers, so that `printf … | mcpauth proxy` prints them.
func (s *stdioProgram) awaitAnswers(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		s.sent.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(answerTimeout):
	}
}

// writeMessage writes one message as a line, and reports whether the program can receive it.
func (s *stdioProgram) writeMessage(m mcphttp.Message) bool {
	line := append(oneLine(m.Raw), '\n')
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.outputClosed.Load() {
		return false
	}
	_, err := s.out.Write(line)
	if err != nil {
		s.abort(fmt.Errorf("a message for the client cannot be written: %w", err))
	}
	return err == nil
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
