package sse

import (
	"bytes"
	"testing"
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
