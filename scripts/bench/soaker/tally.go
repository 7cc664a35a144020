package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"mcpauth/internal/demo"
)

// tally counts the events of all users.
type tally struct {
	o     options
	began time.Time
	took  time.Duration

	mu          sync.Mutex
	rounds      int
	commands    map[string]int // operations, by name
	faults      map[string]int // by kind
	killed      int
	interrupted int // commands that received SIGINT, SIGTERM or SIGHUP
	hurried     int // commands whose --timeout was too short
	spent       int // grants that ended after mcpauth had reported that a lost response may have used up the refresh token
	ended       int // grants that the server ended
	refreshes   int // refreshes that the servers executed
	logins      int
	reuse       int
	lost        []string // lost credentials, with a description
	wrong       []string // exit codes that no fault explains, and files that are left in the store
}

func newTally(o options) *tally {
	return &tally{o: o, began: time.Now(), commands: map[string]int{}, faults: map[string]int{}}
}

func (t *tally) count(what *int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*what++
}

func (t *tally) countIn(what map[string]int, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	what[name]++
}

// report records a message and prints the message at once, because the run may be long.
func (t *tally) report(where *[]string, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	story := fmt.Sprintf(format, args...)
	*where = append(*where, story)
	fmt.Fprintln(os.Stderr, "soak:", story)
}

// server adds the counts of a server to the tally.
func (t *tally) server(s *demo.Server) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refreshes += s.Count("refresh")
	t.logins += s.Count("login")
	t.reuse += s.Count("reuse")
}

func (t *tally) clean() bool {
	return len(t.lost)+len(t.wrong) == 0 && t.rounds > 0 && t.refreshes > 0 && t.killed > 0 && len(t.faults) > 0
}

func (t *tally) print(w io.Writer) {
	rows := []struct {
		what  string
		n     int
		notes string
	}{
		{"rounds", t.rounds, fmt.Sprintf("%s, %d users, %s store, seed %d", t.took.Round(time.Second), t.o.users, t.o.store, t.o.seed)},
		{"operations", sum(t.commands), list(t.commands)},
		{"killed", t.killed, "of these, by SIGKILL at a random moment"},
		{"interrupted", t.interrupted, "by SIGINT, SIGTERM or SIGHUP at a random moment"},
		{"hurried", t.hurried, "with a --timeout of at most 60ms"},
		{"faults", sum(t.faults), list(t.faults)},
		{"logins", t.logins, "through the browser"},
		{"refreshes", t.refreshes, "carried out by the servers"},
		{"ended", t.ended, "grants that the server was told to end, or the user"},
		{"spent", t.spent, fmt.Sprintf("grants whose new token got lost on its way, by a kill or a fault: told so each time; %d reuses seen by the servers", t.reuse)},
		{"wrong", len(t.wrong), "commands that ended otherwise than the round explains, or left something behind"},
		{"lost", len(t.lost), "credentials"},
	}
	for _, r := range rows {
		fmt.Fprintf(w, "%-11s %7d  %s\n", r.what, r.n, r.notes)
	}
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func list(counts map[string]int) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprint(name, " ", counts[name]))
	}
	return strings.Join(words, ", ")
}
