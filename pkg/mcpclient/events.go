// This file reads and writes server-sent events (HTML, "Server-sent events" §9.2.5 and 9.2.6). It is more patient than the SDK's reader,
// which ends the connection at a line without a colon, and hands out data as it was sent.

package mcpclient

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// event is one server-sent event. One without data only moves the last event id.
type event struct {
	name, id, retry string
	data            []byte
	hasData         bool
}

// errTooLarge says that an answer is longer than Client.MaxResult.
var errTooLarge = errors.New("the answer is larger than allowed")

// events reads a stream. Lines end in LF or CR LF.
type events struct {
	r    *bufio.Reader
	max  int64 // bytes of one event
	size int64 // bytes of this one so far
	data pieces
	any  bool // a line was read: a byte order mark may stand at the beginning only
}

func newEvents(r io.Reader, max int64) *events {
	return &events{r: bufio.NewReader(r), max: max}
}

// next returns the next event, io.EOF at the end. An event that the end cuts off is dropped, as the standard says: half a result is none.
func (s *events) next() (event, error) {
	var ev event
	found := false
	s.size = 0
	for {
		field, err := s.line(&ev)
		if err != nil {
			return event{}, err
		}
		switch {
		case field == "" && found:
			ev.data = s.data.join()
			return ev, nil
		case field == "":
			s.size = 0
		case field != ":":
			found = true
		}
	}
}

// line reads one line into ev and returns the name of its field: "" for the empty line that ends an event, ":" for what is ignored.
func (s *events) line(ev *event) (string, error) {
	chunk, more, err := s.chunk()
	if err != nil {
		return "", err
	}
	if !s.any {
		s.any = true
		chunk = bytes.TrimPrefix(chunk, []byte("\ufeff"))
	}
	if len(chunk) == 0 && !more {
		return "", nil
	}
	name, value, _ := bytes.Cut(chunk, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	field := string(name)
	if field == "data" {
		if ev.hasData {
			s.data.Write([]byte{'\n'})
		}
		ev.hasData = true
		s.data.Write(value)
	}
	rest := append([]byte(nil), value...) // value lives in the reader's buffer
	for more {
		if chunk, more, err = s.chunk(); err != nil {
			return "", err
		}
		if field == "data" {
			s.data.Write(chunk)
		} else if len(rest) < 4096 {
			rest = append(rest, chunk...)
		}
	}
	switch field {
	case "data":
		s.data.last = bytes.TrimSuffix(s.data.last, []byte("\r"))
	case "event":
		ev.name = string(rest)
	case "id":
		if !bytes.ContainsRune(rest, 0) {
			ev.id = string(rest)
		}
	case "retry":
		ev.retry = string(rest)
	default:
		return ":", nil
	}
	return field, nil
}

// chunk returns the next piece of a line without its end, and whether more of the line follows.
func (s *events) chunk() ([]byte, bool, error) {
	b, err := s.r.ReadSlice('\n')
	if s.size += int64(len(b)); s.size > s.max {
		return nil, false, fmt.Errorf("%w: an event has more than %d bytes", errTooLarge, s.max)
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

// append writes the event as a stream has it.
func (ev event) append(b *bytes.Buffer) {
	for _, f := range [][2]string{{"event", ev.name}, {"id", ev.id}, {"retry", ev.retry}} {
		if f[1] != "" {
			fmt.Fprintf(b, "%s: %s\n", f[0], strings.NewReplacer("\r", "", "\n", "").Replace(f[1]))
		}
	}
	if ev.hasData {
		for line := range bytes.SplitSeq(ev.data, []byte("\n")) {
			b.WriteString("data: ")
			b.Write(line)
			b.WriteByte('\n')
		}
	}
	b.WriteByte('\n')
}
