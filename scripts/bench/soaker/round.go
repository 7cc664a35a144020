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

// models are what a server takes for one grant, and what a refresh ends.
var models = []string{"share=family,single=false", "share=family,single=true", "share=client,single=false", "share=client,single=true",
	"share=browser,single=false", "share=browser,single=true"}

// trouble is one thing that goes wrong in a round.
type trouble struct {
	name  string
	words string // for the server; empty: it is not the server's
	ends  bool   // the server says that the grant is dead: a login is needed, and no one's fault
	eats  bool   // an answer that carries a new refresh token may get lost
	store bool   // the store's folder is not there
	slow  bool   // a command may take 30 seconds: picked seldom
}

// troubles are all that may be picked. None of them is anything that real servers and machines do not do.
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

// round lets a few commands run into some trouble, and looks at what is left.
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

// met is the trouble of a round, put together, and what came of it.
type met struct {
	trouble
	names  []string
	kills  int
	logout bool // somebody logged out
	told   bool // somebody was told that the refresh token may have been spent
	shared bool // the server ends other logins with the one whose refresh token came twice
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

// lostAnswer says whether in this round an answer with new tokens may have got lost, to a fault or a kill, and the program said so. Who
// was to say it may have been killed as well. It may also have logged in again instead; if the server shares grants, that new login may
// have ended with the old one, which nobody here can know.
func (m met) lostAnswer() bool {
	losses := m.kills
	if m.eats {
		losses++
	}
	return losses > 1 || losses == 1 && (m.told || m.shared)
}

// pick chooses up to two kinds of trouble and tells the server. Two at one endpoint would be put together into a server that carries a
// request out and says that it refused it: there is none, and nobody could tell the truth about it.
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

// commands are what the user and its scripts do at once. Some get a signal at a random moment, some too little time.
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

// signals end the program in order, where the system has them.
var signals = func() []os.Signal {
	if runtime.GOOS == "windows" {
		return []os.Signal{os.Kill}
	}
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
}()

// together runs commands side by side.
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

// explains says whether a command may end so in such a round: authorization and network may fail where there is trouble, and beside a
// logout; the store only when it is away, or busy with another command. A bug, a usage error or a false alarm of security never has an
// explanation.
func (m met) explains(e ending) bool {
	switch e.code {
	case 0:
		return true
	case -1, 130: // -1: the signal came before the program could take it
		return e.sent != nil
	case 4, 5:
		return len(m.names) > 0 || m.kills > 0 || m.logout || e.hurry && e.code == 5
	case 6: // whoever waits for another command gives up after its own time
		waited := strings.Contains(e.stderr, keystore.ErrBusy.Error())
		return m.store || waited && (e.hurry || m.slow || m.logout && e.args[0] == "login")
	}
	return false
}

// hideStore puts a file where the folder of the credentials was: a disk that is not mounted, or somebody's mistake.
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

// judge finds out what is left of the login, now that all is well again.
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
	// A server that has forgotten the client says so to the browser alone.
	end, err = u.mcpauth("login", u.server.URL(), "--new-client").finish()
	if err == nil && end.code != 0 {
		u.tally.report(&u.tally.wrong, "%s cannot log in: exit %d: %s", u.name, end.code, end.stderr)
	}
	return err
}
