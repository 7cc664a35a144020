package main

import (
	"cmp"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/flow"
)

// survives checks the state of the machine after a command was killed. before contains the server's counters before the command. loggedIn
// is true if the machine had a login before the command. survives returns true if the grant is lost. It checks these rules:
//
//   - The next command works. If the server has redeemed the refresh token and the killed process did not store the answer, the next
//     command says so and exits with 4.
//   - If a login was killed, the credential that was stored before it still works.
//   - No lock remains, so the next command does not wait. After the next command there is no temporary file.
func (m *machine) survives(t *testing.T, before map[string]int, p *process, loggedIn bool) (lost bool) {
	t.Helper()
	next := m.start(t, "refresh", "SERVER")
	code := next.end(t)
	if code == exitDone {
		m.counts(t, map[string]int{"reuse": before["reuse"]})
		m.tidy(t, p)
		return false
	}
	said, killed := next.stderr.String(), p.args[0]
	spent := m.Count("refresh") > before["refresh"]
	switch {
	case code == exitAuth && killed != "logout" && killed != "login" && spent && strings.Contains(said, flow.ErrMaybeSpent.Error()):
		lost = true
	case code == exitAuth && killed == "logout": // the user wanted it gone
	case code == exitAuth && killed == "login" && !loggedIn && strings.Contains(said, flow.ErrLoginRequired.Error()):
	default:
		t.Errorf("killed %s: the next refresh: exit %d\n%s%s", killed, code, &p.stderr, said)
	}
	m.does(t, exitDone, "login", "SERVER", "--timeout", "20s")
	m.does(t, exitDone, "refresh", "SERVER")
	m.tidy(t, p)
	return lost
}

// tidy fails the test if there are temporary files or the record of an unfinished refresh.
func (m *machine) tidy(t *testing.T, killed *process) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(m.home, ".local"), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".tmp") || strings.HasSuffix(path, ".intent") {
			t.Errorf("%s is left\n%s", filepath.Base(path), &killed.stderr)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The process is killed while it waits for the answer, before or after the server carries out the request.
func TestKilledWhileTheServerAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault string
		kind  string // the counter that the server increments when it receives the request
		args  []string
	}{
		{"refresh, before it is carried out", "token:drop=before,delay=100ms,n=1", "token", []string{"refresh", "SERVER"}},
		{"refresh, carried out when nobody listens", "token:delay=100ms,n=1", "token", []string{"refresh", "SERVER"}},
		{"refresh, carried out, answer lost", "token:drop=after,n=1", "refresh", []string{"refresh", "SERVER"}},
		{"call that renews", "token:delay=100ms,n=1", "token", echo},
		{"login at the registration", "register:delay=100ms,n=1", "register", []string{"login", "SERVER", "--new-client"}},
		{"login in the browser", "authorize:delay=100ms,n=1", "authorize", []string{"login", "SERVER"}},
		{"login at the token", "token:delay=100ms,n=1", "token", []string{"login", "SERVER"}},
		{"login that has its tokens", "token:drop=after,n=1", "login", []string{"login", "SERVER"}},
		{"login that revokes what another client was granted", "revoke:delay=100ms,n=1", "revoke", []string{"login", "SERVER", "--new-client"}},
		{"login that deletes the former registration", "client:delay=100ms,n=1", "client", []string{"login", "SERVER", "--new-client"}},
		{"logout at the revocation", "revoke:delay=100ms,n=1", "revoke", []string{"logout", "SERVER"}},
		{"logout at the registration", "client:delay=100ms,n=1", "client", []string{"logout", "SERVER"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.does(t, exitDone, "login", "SERVER")
			if tt.args[0] == "call" {
				m.set(t, "expire")
			}
			m.set(t, tt.fault)
			before := m.Counts()
			p := m.start(t, tt.args...)
			until(t, "the server has the request", func() bool { return m.Count(tt.kind) > before[tt.kind] })
			p.kill(t)
			if !strings.Contains(tt.fault, "drop") {
				until(t, "the server has answered", m.idle)
			}
			m.survives(t, before, p, true)
		})
	}
}

// idle reports whether the server has answered every request. It first sends two requests on new connections. The server accepts
// connections in the order in which they arrive. After it has accepted these two, it has accepted the connections of killed processes too.
func (m *machine) idle() bool {
	fresh := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 2 {
		if res, err := fresh.Get(m.URL()); err == nil {
			res.Body.Close()
		}
	}
	return !slices.ContainsFunc(m.Requests("authorize", "register", "client", "token", "revoke"), func(e demo.Entry) bool { return e.Status == 0 })
}

// kill ends a process with SIGKILL.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	_ = p.Wait()
}

// TestRandomKills kills processes at random moments, one after another on the same store. Their number is MCPAUTH_TEST_KILLS, by default
// 30, or 5 with -short.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	randomKills(t)
}

func randomKills(t *testing.T, env ...string) {
	m := newMachine(t, env...)
	m.does(t, exitDone, "login", "SERVER")
	kills, spent, began := 0, 0, time.Now()
	m.does(t, exitDone, "refresh", "SERVER")
	usual := time.Since(began) // adapted below, because other tests make the machine slower or faster
	for total := killsWanted(t); kills < total && !t.Failed(); {
		args := [][]string{{"refresh", "SERVER"}, {"refresh", "SERVER"}, {"token", "SERVER", "--min-ttl", "2h"}, echo, {"login", "SERVER"}, {"logout", "SERVER"}}[rand.N(6)]
		if args[0] == "logout" && rand.N(4) > 0 {
			continue
		}
		m.set(t, "expire")
		before := m.Counts()
		p := m.start(t, args...)
		time.Sleep(rand.N(2*usual + 1)) // a random moment
		p.kill(t)
		if p.ProcessState.Success() { // it was faster
			usual /= 2
			m.does(t, exitDone, "login", "SERVER", "--if-needed")
			continue
		}
		kills++
		usual += usual / 5
		until(t, "the server has answered", m.idle)
		if m.survives(t, before, p, true) {
			spent++
		}
	}
	t.Logf("%d kills: %d cost a grant and were told so, none was lost", kills, spent)
}

func killsWanted(t *testing.T) int {
	t.Helper()
	usual := "30"
	if testing.Short() {
		usual = "5"
	}
	n, err := strconv.Atoi(cmp.Or(os.Getenv("MCPAUTH_TEST_KILLS"), usual))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
