package main

import (
	"fmt"
	"strings"

	"mcpauth/internal/httpx"
)

// showProgress shows the progress of a call as a bar on a terminal, or as lines with --verbose.
func (o *output) showProgress(done, total float64, message string) {
	message = shorten(httpx.Text(o.secrets.MaskValues(message), 100), 40)
	switch {
	case o.quiet:
	case o.errTerminal && !o.verbose:
		o.mu.Lock()
		defer o.mu.Unlock()
		fmt.Fprintf(o.stderr, "\r\x1b[K%s %s", progressBar(done, total, o.barCount), message)
		o.barCount++
		o.barShown = true
	case total > 0:
		o.printNotification("progress: %g of %g %s", done, total, message)
	default:
		o.printNotification("progress: %s", message)
	}
}

// progressBar draws a progress bar. If the total is unknown, the bar is a mark that moves with each call.
func progressBar(done, total float64, times int) string {
	const cells = 24
	from, filled := times%(cells-2), 3
	if total > 0 {
		from, filled = 0, int(max(0, min(1, done/total))*cells)
	}
	return "[" + strings.Repeat(".", from) + strings.Repeat("#", filled) + strings.Repeat(".", cells-from-filled) + "]"
}

// clearBar removes a progress bar before anything else is written.
func (o *output) clearBar() {
	if o.barShown {
		fmt.Fprint(o.stderr, "\r\x1b[K")
		o.barShown = false
	}
}
