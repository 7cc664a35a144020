package sse

import (
	"bytes"
	"runtime"
)

// Pieces collects data of unknown length. A growing buffer needs three times its size for a moment; Pieces needs twice.
type Pieces struct {
	full [][]byte
	last []byte
}

// Write implements io.Writer. It never fails.
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

// Join returns everything that was written and releases the pieces.
func (p *Pieces) Join() []byte {
	data := p.last
	if len(p.full) > 0 {
		data = bytes.Join(append(p.full, p.last), nil)
	}
	*p = Pieces{}
	if len(data) >= 16<<20 {
		runtime.GC() // before as much again is made of it
	}
	return data
}

// trimCR drops a carriage return at the end: the line end of an event may be cut between CR and LF.
func (p *Pieces) trimCR() { p.last = bytes.TrimSuffix(p.last, []byte("\r")) }
