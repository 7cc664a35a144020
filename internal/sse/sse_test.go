package sse

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// readEvents returns all events of a stream.
func readEvents(data []byte) []Event {
	r := NewReader(bytes.NewReader(data), 1<<20)
	var all []Event
	for {
		ev, err := r.Next()
		if err != nil {
			return all
		}
		all = append(all, ev)
	}
}

// Events that are read, written by Append and read again are the same.
func FuzzEvents(f *testing.F) {
	for _, s := range []string{"data: a\n\n", "event: message\nid: 1\nretry: 5\ndata: {}\ndata:x\n\n", ": c\r\ndata: a\r\n\r\n", "\ufeffdata\n\n", "data: half"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, ev := range readEvents(data) {
			var b bytes.Buffer
			ev.Append(&b)
			again := readEvents(b.Bytes())
			if len(again) == 0 && !ev.HasData && ev.Name == "" && ev.ID == "" && ev.Retry == "" {
				continue // a stream with only an empty field
			}
			if len(again) != 1 || again[0].HasData != ev.HasData || !ev.HasData && len(again[0].Data) > 0 {
				t.Fatalf("%q was written as %q and reads as %+v", data, b.Bytes(), again)
			}
			if want := bytes.ReplaceAll(append(ev.Data, '\n'), []byte("\r\n"), []byte("\n")); !bytes.HasPrefix(want, again[0].Data) {
				t.Errorf("data %q became %q", ev.Data, again[0].Data)
			}
		}
	})
}

// A Reader refuses a stream that has more than 1 MiB without data in less than a minute. A server may send as many bytes over a longer time,
// and any number of events with data.
func TestStreamWithoutData(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		lines      int           // number of times that text is sent
		pace       time.Duration // time between two of them
		ignored    bool          // the caller ignores the events
		want       error
	}{
		{"comments", ":\n", 1 << 20, 0, false, ErrTooLarge},
		{"empty lines", "\n", 2 << 20, 0, false, ErrTooLarge},
		{"event IDs", "id: 1\n\n", 1 << 20, 0, false, ErrTooLarge},
		{"comments in an event", "data: x\n" + strings.Repeat(":\n", 1<<20), 1, 0, false, ErrTooLarge},
		{"a long comment", strings.Repeat(":", 2<<20), 1, 0, false, ErrTooLarge},
		{"an ignored event of 2 MiB", "data: " + strings.Repeat("x", 2<<20) + "\n\ndata: x\n\n", 1, 0, true, ErrTooLarge},
		{"ignored events", "data: ping\n\n", 1 << 18, 0, true, ErrTooLarge},
		{"long comments each second", ":" + strings.Repeat(" ", 8<<10) + "\n\n", 3600, time.Second, false, io.EOF},
		{"comments, event of 2 bytes", strings.Repeat(":\n", 400<<10) + "data: {}\n\n", 20, 0, false, ErrTooLarge},
		{"padding, event of 50 bytes", ":" + strings.Repeat(" ", 2<<10) + "\nid: 1\ndata: " + strings.Repeat("x", 50) + "\n\n", 8 << 10, 0, false, io.EOF},
		{"an event of 8 MiB", ":" + strings.Repeat(" ", 2<<10) + "\n\ndata: " + strings.Repeat("x", 8<<20) + "\n\n", 4, 0, false, io.EOF},
		{"events with data", "data: " + strings.Repeat("x", 1<<10) + "\n\n: ping\n\n", 8 << 10, 0, false, io.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			r := NewReader(&repeated{text: tt.text, n: tt.lines, step: func() { now = now.Add(tt.pace) }}, 64<<20)
			r.now = func() time.Time { return now }
			r.since = now
			for {
				_, err := r.Next()
				if err != nil {
					if !errors.Is(err, tt.want) {
						t.Errorf("got %v, expected %v", err, tt.want)
					}
					return
				}
				if tt.ignored {
					r.Ignored()
				}
			}
		})
	}
}

// repeated is a reader of n times text. Before each of them, it calls step.
type repeated struct {
	text string
	n    int
	step func()
	rest string // the part of text that was not yet read
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.n == 0 {
			return 0, io.EOF
		}
		r.n--
		r.step()
		r.rest = r.text
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
