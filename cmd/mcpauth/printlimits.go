package main

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// maxNotifications limits what servers make a command print with --verbose, in bytes per minute.
const maxNotifications = 1 << 20

// minuteLimit counts the bytes of a minute.
type minuteLimit struct {
	mu    sync.Mutex
	since time.Time
	size  int
}

// add counts n bytes. show reports whether they are below the limit, and last whether they are the last ones in this minute.
func (l *minuteLimit) add(n int) (show, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.since) >= time.Minute {
		l.since, l.size = now, 0
	}
	show = l.size <= maxNotifications
	l.size += n
	return show, show && l.size > maxNotifications
}

// printNotification is printDetail for a text that a server can cause any number of times.
func (o *output) printNotification(format string, args ...any) {
	line := o.formatNote(format, args)
	show, last := o.notified.add(len(line))
	if show {
		o.printDetail("%s", line)
	}
	if last {
		o.printDetail(furtherDetails)
	}
}

const furtherDetails = "the server causes many messages: further ones are not shown for a minute"

// noteLimits are the numbers of elements about which one command prints notes, by the kind of the elements. Without a limit, a server's list of
// many elements would bury the other messages.
var noteLimits = map[string]int{"blocks": 100, "messages": 100, "questions": 20}

// isOneOfFirst counts an element of the given kind, and reports whether the command prints notes about it.
func (o *output) isOneOfFirst(kind string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.noted[kind]++
	return o.noted[kind] <= noteLimits[kind]
}

// printLimited is printNote for an element of the given kind; see noteLimits.
func (o *output) printLimited(kind, format string, args ...any) {
	if o.isOneOfFirst(kind) {
		o.printNote(format, args...)
	}
}

// printLeftOut prints the numbers of the elements about which the command has printed no notes.
func (o *output) printLeftOut() {
	o.mu.Lock()
	noted := maps.Clone(o.noted)
	o.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(noted)) {
		if n := noted[kind] - noteLimits[kind]; n > 0 {
			o.printNote("… and %d more %s", n, kind)
		}
	}
}
