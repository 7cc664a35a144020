package sse

import (
	"bytes"
	"runtime"
)

// Pieces collects data of unknown length. Pieces needs at most twice the memory of the data; a growing buffer would need three times.
type Pieces struct {
	full [][]byte
	last []byte
}

// Write implements io.Writer and never fails.
func (p *Pieces) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if len(p.last) == cap(p.last) {
			if p.last != nil {
				p.full = append(p.full, p.last)
			}
			p.last = make([]byte, 0, min(1<<20, max(512, 2*cap(p.last))))
		}
		k := min(len(b), cap(p.last)-len(p.last))
		p.last, b = append(p.last, b[:k]...), b[k:]
	}
	return n, nil
}

// Join returns the written data as one slice and empties p.
func (p *Pieces) Join() []byte {
	data := p.last
	if len(p.full) > 0 {
		data = bytes.Join(append(p.full, p.last), nil)
	}
	*p = Pieces{}
	if len(data) >= 16<<20 {
		runtime.GC() // frees the memory of the pieces now, because the caller is about to allocate the same amount again
	}
	return data
}

// trimCR removes a final carriage return, because a piece can end between the CR and the LF of a line end.
func (p *Pieces) trimCR() { p.last = bytes.TrimSuffix(p.last, []byte("\r")) }
