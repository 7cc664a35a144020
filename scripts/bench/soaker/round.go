package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
)

// models are the settings of a server: which logins share a grant, and whether a refresh revokes earlier access tokens.
var models = []string{"share=family,single=false", "share=family,single=true", "share=client,single=false", "share=client,single=true",
	"share=browser,single=false", "share=browser,single=true"}

// trouble is one fault of a round.
type trouble struct {
	name  string
	words string // setting of the demo server; empty if the fault is not in the server
	ends  bool   // the server ends the grant, so a new login is needed
	eats  bool   // a response with a new refresh token may be lost
	store bool   // the folder of the store is missing
	slow  bool   // a command may take 30 seconds, so this fault is rare
}

// troubles are the possible faults. Each fault also occurs with real servers and machines.
var troubles = []trouble{
	{name: "expired", words: "expire"},
	{name: "401 in mid-session", words: "mcp:deny,method=tools/call,n=2"},
	{name: "short lifetime", words: "token:set.expires_in=0.5,n=2"},
	{name: "no lifetime", words: "token:no-expires-in,n=2"},
	{name: "refresh refused", words: "token:grant=refresh_token,drop=before,n=2"},
	{name: "429", words: "token:grant=refresh_token,busy,n=2"},
	{name: "500", words: "token:grant=refresh_token,status=500,n=2"},
	{name: "503 with Retry-After", words: "token:grant=refresh_token,status=503,retry=1,n=2"},
	{name: "unknown error", words: `token:grant=refresh_token,status=400,type=application/json,body="{\"error\":\"unheard_of\"}",n=2`},
	{name: "403 of a firewall", words: "token:grant=refresh_token,forbidden,n=2"},
	{name: "slow", words: "token:delay=50ms,n=3"},
	{name: "client not known", words: "token:grant=refresh_token,invalid_client,n=1"},
	{name: "MCP 503", words: "mcp:status=503,n=2"},
	{name: "MCP connection lost", words: "mcp:drop=after,n=1"},
	{name: "metadata 500", words: "metadata:status=500,n=1"},
	{name: "answer lost", words: "token:grant=refresh_token,drop=after,n=1", eats: true},
	{name: "answer cut", words: "token:grant=refresh_token,drop=mid,n=1", eats: true},
	{name: "answer truncated", words: "token:grant=refresh_token,truncated,n=1", eats: true},
	{name: "HTML with 200", words: "token:grant=refresh_token,html,n=1", eats: true},
	{name: "answer late", words: "token:grant=refresh_token,late=300ms,n=2"},
	{name: "answer late and lost", words: "token:grant=refresh_token,late=2s,drop=after,n=1", eats: true},
	{name: "token endpoint gone", words: "token:grant=refresh_token,gone,n=2"},
	{name: "refused with another code", words: "token:grant=refresh_token,refused-code,n=1", ends: true},
	{name: "token endpoint hangs", words: "token:hang=before,n=1", slow: true},
	{name: "token endpoint hangs after the fact", words: "token:grant=refresh_token,hang=after,n=1", eats: true, slow: true},
	{name: "registration hangs", words: "register:hang=before,n=1", slow: true},
	{name: "revocation hangs", words: "revoke:hang=before,n=1", slow: true},
	{name: "metadata hangs", words: "metadata:hang=before,n=1", slow: true},
	{name: "invalid_grant", words: "token:grant=refresh_token,invalid_grant,n=1", ends: true},
	{name: "ok false, invalid_grant", words: "token:grant=refresh_token,slack,n=1", ends: true},
	{name: "revoked", words: "revoke", ends: true},
	{name: "clients forgotten", words: "forget", ends: true},
	{name: "another issuer", words: "migrate", ends: true},
	{name: "store away", store: true},
}

// round runs a few commands with faults, and checks the login afterwards.
func (u *user) round() error {
	u.tally.count(&u.tally.rounds)
	reuse := u.server.Count("reuse")
	model := models[u.rand.IntN(len(models))]
	if err := u.server.Set(model); err != nil {
		return err
	}
	m, err := u.pick()
	if err != nil {
		return err
	}
	m.shared = !strings.HasPrefix(model, "share=family")
	commands := u.commands()
	putBack := func() error { return nil }
	if m.store {
		if putBack, err = u.hideStore(); err != nil {
			return err
		}
	}
	endings, err := together(commands)
	if err != nil {
		return err
	}
	if err := putBack(); err != nil {
		return err
	}
	u.server.Clear()
	for _, e := range endings {
		m.note(e)
	}
	for _, e := range endings {
		if !m.explains(e) {
			u.tally.report(&u.tally.wrong, "%s, in a round with %s: %q ended with %d: %s", u.name, m, e.args, e.code, e.stderr)
		}
	}
	return u.judge(m, u.server.Count("reuse") > reuse)
}

// met records the faults, kills and logouts of a round, and the reports of the commands.
type met struct {
	trouble
	names  []string
	kills  int
	logout bool // a command logged out
	told   bool // a command reported that the refresh token may have been used up
	shared bool // if a refresh token is used twice, the server also ends other logins
}

func (m met) String() string {
	return fmt.Sprintf("[%s], %d kills, logout %v", strings.Join(m.names, ", "), m.kills, m.logout)
}

func (m *met) note(e ending) {
	if e.sent == os.Kill {
		m.kills++
	}
	m.logout = m.logout || e.args[0] == "logout"
	m.told = m.told || strings.Contains(e.stderr, flow.ErrMaybeSpent.Error())
}

// lostAnswer reports whether the loss of a response with new tokens explains that the login has ended. A single loss explains the end if
// mcpauth reported the loss. A single loss also explains the end if logins share a grant, because a new login may have ended together with
// the old login. After two losses, no report is required, because the command that would have reported the first loss may have been killed.
func (m met) lostAnswer() bool {
	losses := m.kills
	if m.eats {
		losses++
	}
	return losses > 1 || losses == 1 && (m.told || m.shared)
}

// pick chooses up to two faults and sets them in the server. pick does not choose two faults for the same endpoint. With two faults, an
// endpoint could execute a request and then answer that it rejected the request, and no client can detect such an answer.
func (u *user) pick() (met, error) {
	var m met
	var places []string
	for range u.rand.IntN(3) {
		t := troubles[u.rand.IntN(len(troubles))]
		if t.slow && u.rand.IntN(10) > 0 {
			continue
		}
		place, _, _ := strings.Cut(t.words, ":")
		if t.store && u.o.store != "file" || slices.Contains(places, place) {
			continue
		}
		places = append(places, place)
		m.names = append(m.names, t.name)
		m.ends, m.eats, m.store, m.slow = m.ends || t.ends, m.eats || t.eats, m.store || t.store, m.slow || t.slow
		u.tally.countIn(u.tally.faults, t.name)
		if t.words == "" {
			continue
		}
		if err := u.server.Set(t.words); err != nil {
			return m, err
		}
	}
	return m, nil
}

// commands returns the commands that run at the same time. Some of the commands receive a signal at a random moment, and some have a
// --timeout that is too short.
func (u *user) commands() []command {
	url := u.server.URL()
	choices := [][]string{
		{"call", url, "echo", "text=hello"}, {"call", url, "echo", "text=hello", "--reauth", "refresh"}, {"refresh", url}, {"refresh", url, "--min-ttl", "30m"},
		{"token", url}, {"tools", url}, {"status", url}, {"login", url, "--if-needed", "--timeout", "5s"},
		{"login", url, "--timeout", "5s"}, {"logout", url},
	}
	weights := []int{5, 5, 5, 3, 4, 2, 2, 1, 1, 1}
	var bag [][]string
	for i, n := range weights {
		bag = append(bag, slices.Repeat([][]string{choices[i]}, n)...)
	}
	var list []command
	for range 1 + u.rand.IntN(6) {
		c := u.mcpauth(bag[u.rand.IntN(len(bag))]...)
		switch u.rand.IntN(8) {
		case 0:
			c.signal = os.Kill
		case 1:
			c.signal = signals[u.rand.IntN(len(signals))]
		case 2:
			c.hurry = !slices.Contains(c.args, "--timeout")
		}
		moment := time.Duration(1 + u.rand.IntN(int(60*time.Millisecond)))
		if c.after = moment; c.hurry {
			c.args = append(slices.Clone(c.args), "--timeout", moment.String())
		}
		list = append(list, c)
	}
	return list
}

// signals are the signals that a command may receive: the signals that mcpauth handles, or Kill on Windows.
var signals = func() []os.Signal {
	if runtime.GOOS == "windows" {
		return []os.Signal{os.Kill}
	}
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
}()

// together runs commands at the same time.
func together(commands []command) ([]ending, error) {
	endings, errs := make([]ending, len(commands)), make([]error, len(commands))
	var wg sync.WaitGroup
	for i, c := range commands {
		wg.Go(func() { endings[i], errs[i] = c.finish() })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return endings, nil
}

// explains reports whether the faults of the round explain the exit code. A fault, a kill or a logout explains an authorization error or a
// network error. A missing store, or another command with the lock, explains an error of the store. Nothing explains the exit codes for a
// bug, a usage error and a security error.
func (m met) explains(e ending) bool {
	switch e.code {
	case 0:
		return true
	case -1, 130: // -1: the signal arrived before mcpauth handled signals
		return e.sent != nil
	case 4, 5:
		return len(m.names) > 0 || m.kills > 0 || m.logout || e.hurry && e.code == 5
	case 6: // A command that waits for another one fails at its own time limit. A login whose client is forgotten gets no answer from the browser, and holds the lock that long.
		waited := strings.Contains(e.stderr, keystore.ErrBusy.Error())
		return m.store || waited && (e.hurry || m.slow || (m.logout || m.ends) && e.args[0] == "login")
	}
	return false
}

// hideStore replaces the folder of the credentials with a file, so that mcpauth cannot open the store.
func (u *user) hideStore() (putBack func() error, err error) {
	aside := u.secrets() + ".aside"
	if err := os.Rename(u.secrets(), aside); err != nil {
		if os.IsNotExist(err) {
			return func() error { return nil }, nil // nobody has logged in
		}
		return nil, err
	}
	if err := os.WriteFile(u.secrets(), nil, 0o600); err != nil {
		return nil, err
	}
	return func() error {
		if err := os.Remove(u.secrets()); err != nil {
			return err
		}
		return os.Rename(aside, u.secrets())
	}, nil
}

// judge checks the login after the faults have ended.
func (u *user) judge(m met, sawTwice bool) error {
	reuse := u.server.Count("reuse")
	end, err := u.mcpauth("refresh", u.server.URL()).finish()
	if err != nil {
		return err
	}
	m.note(end)
	sawTwice = sawTwice || u.server.Count("reuse") > reuse
	switch {
	case end.code == 0:
		if left := u.leftovers(); len(left) > 0 {
			u.tally.report(&u.tally.wrong, "%s leaves %q", u.name, left)
		}
		return nil
	case end.code == 4 && m.lostAnswer() && sawTwice:
		u.tally.count(&u.tally.spent)
	case end.code == 4 && (m.ends || m.logout):
		u.tally.count(&u.tally.ended)
	default:
		u.tally.report(&u.tally.lost, "%s, after a round with %s: exit %d, reuse seen %v: %s", u.name, m, end.code, sawTwice, end.stderr)
	}
	// Register a new client. If the server has deleted the old client, only the browser would get the error.
	end, err = u.mcpauth("login", u.server.URL(), "--new-client").finish()
	if err == nil && end.code != 0 {
		u.tally.report(&u.tally.wrong, "%s cannot log in: exit %d: %s", u.name, end.code, end.stderr)
	}
	return err
}
