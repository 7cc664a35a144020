// Package sse reads and writes server-sent events (HTML Living Standard §9.2). The Reader ignores unknown fields, as the standard requires,
// and returns the data of an event byte for byte.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Event is one server-sent event. An event without data sets only the last event id or the retry time.
type Event struct {
	Name, ID, Retry string
	Data            []byte
	HasData         bool
}

const (
	maxIdle    = 1 << 20 // maximum number of bytes without data that a stream may contain in idleTime
	idleTime   = time.Minute
	dataWeight = 64 // number of bytes without data that a stream may contain for each byte of data; some servers fill each event up with a comment
)

// ErrTooLarge reports an event that is longer than the limit of its Reader, or a stream that has too many bytes without data.
var ErrTooLarge = errors.New("larger than allowed")

// Reader reads a stream of events. Lines end in LF or CR LF.
type Reader struct {
	r     *bufio.Reader
	max   int64 // limit of one event in bytes
	size  int64 // bytes of the current event so far
	data  Pieces
	begun bool // the first line, which may begin with a byte order mark, was read

	now       func() time.Time
	since     time.Time // when idle began to count
	idle      int64     // bytes of lines that are not data, less those that the data allows
	ifIgnored int64     // value of idle if the last event counts as an event without data
}

// NewReader returns a Reader that refuses events of more than max bytes. Comments, empty lines and events without data may have at most 1 MiB
// in a minute, and 64 bytes more for each byte of data, because a server can compress them to a thousandth of their size and so keep the
// client busy.
func NewReader(r io.Reader, max int64) *Reader {
	return &Reader{r: bufio.NewReader(r), max: max, now: time.Now, since: time.Now()}
}

// Ignored tells the Reader that the data of the last event is of no use to the caller. The event then counts as an event without data.
func (s *Reader) Ignored() { s.idle = s.ifIgnored }

func (s *Reader) checkIdle() error {
	if s.idle <= maxIdle {
		return nil
	}
	now := s.now()
	if now.Sub(s.since) < idleTime {
		return fmt.Errorf("%w: more than %d bytes without a message in %s", ErrTooLarge, maxIdle, idleTime)
	}
	s.since, s.idle = now, 0
	return nil
}

// Next returns the next event, or io.EOF at the end of the stream. An incomplete event at the end is dropped, as the standard requires.
func (s *Reader) Next() (Event, error) {
	var ev Event
	found := false
	s.size = 0
	var data int64 // size of the lines of data
	for {
		before := s.size
		field, err := s.readLine(&ev)
		if err != nil {
			return Event{}, err
		}
		if field == "data" {
			data += s.size - before
		} else {
			s.idle += s.size - before
		}
		if err := s.checkIdle(); err != nil {
			return Event{}, err
		}
		switch {
		case field == "" && found:
			ev.Data = s.data.Join()
			if s.ifIgnored = s.idle + data; len(ev.Data) > 0 {
				s.idle = max(0, s.idle-dataWeight*data)
			}
			return ev, nil
		case field == "":
			s.size = 0
		case field != ":":
			found = true
		}
	}
}

// readLine reads one line into ev and returns the name of its field. The result is "" for an empty line, which ends an event, and ":" for
// an ignored line.
func (s *Reader) readLine(ev *Event) (string, error) {
	chunk, more, err := s.readChunk()
	if err != nil {
		return "", err
	}
	if !s.begun {
		s.begun = true
		chunk = bytes.TrimPrefix(chunk, []byte("\ufeff"))
	}
	if len(chunk) == 0 && !more {
		return "", nil
	}
	name, value, _ := bytes.Cut(chunk, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	field := string(name)
	if field == "data" {
		if ev.HasData {
			s.data.Write([]byte{'\n'})
		}
		ev.HasData = true
		s.data.Write(value)
	}
	begin := s.size
	rest := append([]byte(nil), value...) // a copy, because value is part of the reader's buffer
	for more {
		if chunk, more, err = s.readChunk(); err != nil {
			return "", err
		}
		if field == "data" {
			s.data.Write(chunk)
			continue
		}
		if s.size-begin > maxIdle {
			return "", fmt.Errorf("%w: a line of more than %d bytes that is not data", ErrTooLarge, maxIdle)
		}
		if len(rest) < 4096 {
			rest = append(rest, chunk...)
		}
	}
	switch field {
	case "data":
		s.data.trimCR()
	case "event":
		ev.Name = string(rest)
	case "id":
		if !bytes.ContainsRune(rest, 0) {
			ev.ID = string(rest)
		}
	case "retry":
		ev.Retry = string(rest)
	default:
		return ":", nil
	}
	return field, nil
}

// readChunk returns the next piece of a line without the line end, and whether more of the line follows.
func (s *Reader) readChunk() ([]byte, bool, error) {
	b, err := s.r.ReadSlice('\n')
	if s.size += int64(len(b)); s.size > s.max {
		return nil, false, fmt.Errorf("%w: an event of more than %d bytes", ErrTooLarge, s.max)
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return b, true, nil
	case err != nil:
		return nil, false, err
	}
	b = b[:len(b)-1]
	return bytes.TrimSuffix(b, []byte("\r")), false, nil
}

// Append writes the event in the format of a stream.
func (ev Event) Append(b *bytes.Buffer) {
	for _, f := range [][2]string{{"event", ev.Name}, {"id", ev.ID}, {"retry", ev.Retry}} {
		if f[1] != "" {
			fmt.Fprintf(b, "%s: %s\n", f[0], strings.NewReplacer("\r", "", "\n", "").Replace(f[1]))
		}
	}
	if ev.HasData {
		for line := range bytes.SplitSeq(ev.Data, []byte("\n")) {
			b.WriteString("data: ")
			b.Write(line)
			b.WriteByte('\n')
		}
	}
	b.WriteByte('\n')
}
