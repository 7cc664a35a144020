package mcpclient

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
)

const (
	defaultParallel = 4
	maxLine         = 16 << 20 // limit of one line in bytes
)

// Batch configures Client.Batch.
type Batch struct {
	Parallel int           // number of concurrent calls; 0: 4
	Timeout  time.Duration // time limit of each call; 0: none

	// Done is called after each call, in order of completion, never concurrently. id is the id of the line, byte for byte, or the line number
	// if the line has no id. Only Raw, IsError and TaskID of the result are set. If Done returns an error, no more calls begin, and Batch
	// returns after the running calls.
	Done func(id json.RawMessage, r Result, err error) error
}

// LineError reports a line of a batch that is not a valid call. No request was sent for the line.
type LineError struct {
	Line   int // counted from 1
	Reason string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Batch reads lines such as {"tool":…,"arguments":{…},"id":…} from input, calls a tool for each line, and returns after all calls have
// ended. The returned error comes from reading the input, from Done, or from the context. Errors of calls are passed only to Done. If the
// context ends first, a read of the input may still be blocked when Batch returns.
func (c *Client) Batch(ctx context.Context, input io.Reader, b Batch) error {
	n := b.Parallel
	if n == 0 {
		n = defaultParallel
	}
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	slots := make(chan struct{}, n)
	lines := readLines(reading, stop, input, slots)
	var calls sync.WaitGroup
	var telling sync.Mutex
	var told error
	call := func(l batchLine) {
		defer func() { <-slots }()
		r, err := c.callLine(ctx, l, b.Timeout)
		telling.Lock()
		defer telling.Unlock()
		switch err := b.Done(l.id, r, err); {
		case err == nil:
			c.ForgetTask(r.TaskID)
		case told == nil:
			told = err
			stop(err)
		}
	}
	for range n {
		calls.Go(func() { // a goroutine makes many calls, so that its stack grows only once
			for reading.Err() == nil {
				select {
				case <-reading.Done():
				case l := <-lines:
					call(l)
				}
			}
		})
	}
	calls.Wait()
	err := context.Cause(reading)
	switch {
	case told != nil:
		return told
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", c.plainURL(), context.Cause(ctx))
	case err == errEndOfBatch:
		return nil
	}
	return err
}

var errEndOfBatch = errors.New("end of the batch")

// readLines reads the batch in a goroutine of its own, because a read cannot be interrupted. Before the goroutine reads a line, it waits
// for a free slot. If a read fails or the input ends, the goroutine passes the error to stop.
func readLines(reading context.Context, stop context.CancelCauseFunc, in io.Reader, slots chan<- struct{}) <-chan batchLine {
	lines := make(chan batchLine)
	go func() {
		for r := newLineReader(in, maxLine); ; {
			select {
			case slots <- struct{}{}:
			case <-reading.Done():
				return
			}
			l, err := r.nextLine()
			if err != nil {
				stop(err)
				return
			}
			select {
			case lines <- l:
			case <-reading.Done():
				return
			}
		}
	}()
	return lines
}

// callLine calls the tool of one line.
func (c *Client) callLine(ctx context.Context, l batchLine, limit time.Duration) (Result, error) {
	if l.err != nil {
		return Result{}, l.err
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	raw, task, err := c.callRaw(ctx, l.tool, Arguments{Object: l.arguments, Private: true})
	if err != nil {
		return Result{}, err
	}
	r := Result{Raw: raw, IsError: string(jsonscan.Member(raw, "isError")) == "true"}
	if task != nil && task.Ended() {
		r.TaskID = task.ID
	}
	return r, nil
}

// batchLine is one line of a batch.
type batchLine struct {
	id, arguments json.RawMessage
	tool          string
	err           error // why the line is invalid; nil: it is valid
}

// parseLine parses a line. Even for an invalid line, parseLine returns the id if the line has one.
func parseLine(data []byte, number int) batchLine {
	l := batchLine{id: json.RawMessage(strconv.Itoa(number))}
	wrong := func(format string, a ...any) batchLine {
		l.err = &LineError{Line: number, Reason: fmt.Sprintf(format, a...)}
		return l
	}
	if !utf8.Valid(data) {
		return wrong("it is not UTF-8 text")
	}
	if !jsonscan.Valid(data) || jsonscan.Type(bytes.TrimSpace(data)) != "object" {
		return wrong(`it is not a JSON object: {"tool": "name", "arguments": {…}}`)
	}
	if id := jsonscan.Member(data, "id"); id != nil {
		l.id = id
	}
	seen := map[string]bool{}
	var tool json.RawMessage
	for name, v := range jsonscan.Members(data) {
		switch {
		case seen[name]:
			return wrong("it has two members %s", httpx.Quote(name, 60))
		case name == "tool":
			tool = v
		case name == "arguments" && string(v) != "null":
			l.arguments = v
		case name != "arguments" && name != "id":
			return wrong(`it has a member %s; expected are "tool", "arguments" and "id"`, httpx.Quote(name, 60))
		}
		seen[name] = true
	}
	if l.tool = jsonscan.Unquote(tool); l.tool == "" {
		return wrong(`"tool" is not the name of a tool`)
	}
	if l.arguments != nil && jsonscan.Type(l.arguments) != "object" {
		return wrong(`"arguments" is not an object`)
	}
	return l
}

// lineReader reads lines of limited length.
type lineReader struct {
	r      *bufio.Reader
	max    int
	number int
}

func newLineReader(in io.Reader, max int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(in, 32<<10), max: max}
}

// nextLine returns the next line that is not blank, or errEndOfBatch.
func (r *lineReader) nextLine() (batchLine, error) {
	for {
		r.number++
		data, size, err := r.readLine()
		switch {
		case err != nil && err != io.EOF:
			return batchLine{}, err
		case size > r.max:
			return batchLine{id: json.RawMessage(strconv.Itoa(r.number)),
				err: &LineError{Line: r.number, Reason: fmt.Sprintf("it has %d bytes, at most %d are read", size, r.max)}}, nil
		case len(bytes.TrimSpace(data)) > 0:
			return parseLine(data, r.number), nil
		case err == io.EOF:
			return batchLine{}, errEndOfBatch
		}
	}
}

// readLine returns the next line and its full size in bytes. A line longer than the limit is cut off.
func (r *lineReader) readLine() (data []byte, size int, err error) {
	for {
		chunk, err := r.r.ReadSlice('\n')
		size += len(bytes.TrimSuffix(chunk, []byte("\n")))
		if room := r.max + 1 - len(data); room > 0 {
			data = append(data, chunk[:min(len(chunk), room)]...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return data, size, err
		}
	}
}
