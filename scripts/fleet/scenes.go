package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"mcpauth/pkg/flow"
)

// play runs the scenes in order and stops at the first one that fails.
func (l *lab) play(keystore string, soak time.Duration) error {
	for _, s := range []struct {
		name string
		do   func() (string, error)
	}{
		{"the contract of a store, what the database sees, poolers; and a killed holder elsewhere", func() (string, error) {
			return beside(func() (string, error) { return l.contract(keystore) }, l.killedElsewhere)
		}},
		{"cost of a call and of a refresh, beside the file store", l.cost},
		{"100 processes on 4 machines, one expired login", l.hundred},
		{"kill -9 of holders", l.kills},
		{"the database restarts while a token is renewed", func() (string, error) { return l.database(l.db.restart) }},
		{"the database fails over while a token is renewed", func() (string, error) { return l.database(l.db.failOver) }},
		{"a machine is cut off for 4 s while it renews", l.shortCut},
		{"a machine is cut off for good while it renews", l.longCut},
		{"TLS to the database, sslmode=verify-full", l.encrypted},
		{"soak for " + soak.String(), func() (string, error) { return l.soak(soak) }},
	} {
		fmt.Printf("%-90s", s.name)
		began := time.Now()
		said, err := s.do()
		if err != nil {
			fmt.Println("FAIL")
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("ok %4.0f s\n     %s\n", time.Since(began).Seconds(), said)
	}
	return nil
}

// beside runs two scenes at the same time. Most of the time, one of the scenes only waits.
func beside(one, other func() (string, error)) (string, error) {
	var said string
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { said, err = one() })
	also, otherErr := other()
	wg.Wait()
	return said + "; " + also, errors.Join(err, otherErr)
}

// contract runs the tests of packages keystore and flow that need this database.
func (l *lab) contract(folder string) (string, error) {
	transaction, err := l.db.pooler(l, "transaction")
	if err != nil {
		return "", err
	}
	session, err := l.db.pooler(l, "session")
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{{"keystore.test"}, {"flow.test", "-test.run", "TestBindingsAreKeptTwice|TestPendingAnswerOnTwoMachines"}} {
		cmd := exec.Command(l.work+"/"+args[0], append(args[1:], "-test.timeout", "300s")...)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "MCPAUTH_TEST_POSTGRES="+fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/postgres", password, l.db.primary.port),
			"MCPAUTH_TEST_POSTGRES_LOG="+l.db.log(), "MCPAUTH_TEST_POOLER_TRANSACTION="+transaction, "MCPAUTH_TEST_POOLER_SESSION="+session,
			"PATH="+l.db.bin+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
	}
	return "go test -tags postgres ./pkg/keystore ./pkg/flow", nil
}

// login logs in on machine i. All machines share this login.
func (l *lab) login(i int) error {
	_, err := l.machines[i].does(0, "login", "SERVER")
	return err
}

// counts contains the number of requests of each kind that the server has received.
type counts struct{ refresh, reuse, login, token int }

func (l *lab) counts() counts {
	return counts{l.server.Count("refresh"), l.server.Count("reuse"), l.server.Count("login"), l.server.Count("token")}
}

func (l *lab) expect(before counts, refreshes int) error {
	now := l.counts()
	if now.refresh-before.refresh != refreshes || now.reuse != before.reuse || now.login != before.login {
		return fmt.Errorf("%d refreshes, %d reuses, %d logins; expected %d, 0, 0", now.refresh-before.refresh, now.reuse-before.reuse, now.login-before.login, refreshes)
	}
	return nil
}

func (l *lab) set(words ...string) error {
	for _, w := range words {
		if err := l.server.Set(w); err != nil {
			return err
		}
	}
	return nil
}

// redeeming starts a refresh and returns when the server has received the token request.
func (l *lab) redeeming(m *machine, delay string) (*process, error) {
	if err := l.set("token:delay=" + delay + ",n=1"); err != nil {
		return nil, err
	}
	before := l.counts().token
	p, err := m.start("refresh", "SERVER")
	if err != nil {
		return nil, err
	}
	for range 1000 {
		if l.counts().token > before {
			return p, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = p.end()
	return nil, fmt.Errorf("the server got no request: exit %d\n%s", p.code, &p.stderr)
}

func (l *lab) cost() (string, error) {
	if err := l.login(0); err != nil {
		return "", err
	}
	m := l.machines[0]
	file := *m
	file.env = append(m.env[:len(m.env):len(m.env)], "MCPAUTH_KEYSTORE=file", "MCPAUTH_KEYSTORE_KEY_FILE=")
	if _, err := file.does(0, "login", "SERVER"); err != nil {
		return "", err
	}
	typical := func(m *machine, args ...string) (time.Duration, error) {
		best := time.Hour
		for range 10 {
			p, err := m.does(0, append([]string{}, args...)...)
			if err != nil {
				return 0, err
			}
			best = min(best, p.took)
		}
		return best, nil
	}
	var said []string
	for _, args := range [][]string{{"call", "SERVER", "echo", "text=x"}, {"refresh", "SERVER"}, {"status", "SERVER"}} {
		files, err := typical(&file, args...)
		if err != nil {
			return "", err
		}
		database, err := typical(m, args...)
		if err != nil {
			return "", err
		}
		said = append(said, fmt.Sprintf("%s: %.1f ms with files, %.1f ms with the database", args[0], files.Seconds()*1e3, database.Seconds()*1e3))
	}
	if _, err := m.does(0, "logout", "SERVER"); err != nil {
		return "", err
	}
	_, err := file.does(0, "logout", "SERVER")
	return "least of 10 runs of the whole process: " + strings.Join(said, "; "), err
}

func (l *lab) hundred() (string, error) {
	if err := l.set("token:set.expires_in=0.001,n=1"); err != nil {
		return "", err
	}
	if err := l.login(0); err != nil {
		return "", err
	}
	if err := l.set("expire"); err != nil {
		return "", err
	}
	before := l.counts()
	const n = 100
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			p, err := l.machines[i%machines].does(0, "call", "SERVER", "echo", "text=hello")
			if err == nil && !strings.Contains(p.stdout.String(), "hello") {
				err = fmt.Errorf("printed %q", p.stdout.String())
			}
			errs <- err
		})
	}
	wg.Wait()
	for range n {
		if err := <-errs; err != nil {
			return "", err
		}
	}
	return "1 refresh, 100 successes", l.expect(before, 1)
}

// told reports whether a refresh failed with the message that an earlier refresh may have used up the token.
func told(p *process) bool {
	return p.code == 4 && strings.Contains(p.stderr.String(), flow.ErrMaybeSpent.Error())
}

func (l *lab) kills() (string, error) {
	spent := 0
	const n = 10
	for i := range n {
		m := l.machines[i%machines]
		p, err := l.redeeming(m, "50ms")
		if err != nil {
			return "", err
		}
		if i%2 == 0 {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond) // kills some processes before the response, and some after the response
		}
		_ = p.Process.Kill()
		_ = p.end()
		time.Sleep(100 * time.Millisecond) // the server needs time to finish the request of the killed process
		next, err := m.run("refresh", "SERVER")
		if err != nil {
			return "", err
		}
		switch {
		case next.code == 0 && next.took < 10*time.Second:
		case told(next):
			spent++
			if err := l.login(i % machines); err != nil {
				return "", err
			}
		default:
			return "", fmt.Errorf("kill %d: the next refresh: exit %d after %s\n%s", i, next.code, next.took, &next.stderr)
		}
	}
	return fmt.Sprintf("%d kills: %d cost a grant and were told so, none was lost; the machine went on at once", n, spent), nil
}

func (l *lab) killedElsewhere() (string, error) {
	if err := l.login(0); err != nil {
		return "", err
	}
	p, err := l.redeeming(l.machines[0], "50ms")
	if err != nil {
		return "", err
	}
	_ = p.Process.Kill()
	_ = p.end()
	next, err := l.machines[1].run("refresh", "SERVER")
	if err != nil {
		return "", err
	}
	if next.took > 45*time.Second || next.code != 0 && !told(next) {
		return "", fmt.Errorf("exit %d after %s\n%s", next.code, next.took, &next.stderr)
	}
	return fmt.Sprintf("another machine went on after %.0f s, exit %d", next.took.Seconds(), next.code), l.login(1)
}

// database makes the database fail while one machine refreshes and the others wait for it.
func (l *lab) database(trouble func() error) (string, error) {
	before := l.counts()
	holder, err := l.redeeming(l.machines[0], "2s")
	if err != nil {
		return "", err
	}
	var waiting []*process
	for i := range 3 * (machines - 1) {
		p, err := l.machines[1+i%(machines-1)].start("token", "SERVER", "--min-ttl", "2h")
		if err != nil {
			return "", err
		}
		waiting = append(waiting, p)
	}
	began := time.Now()
	if err := trouble(); err != nil {
		return "", err
	}
	away := time.Since(began)
	if err := holder.end(); err != nil {
		return "", err
	}
	if holder.code != 0 {
		return "", fmt.Errorf("the holder: exit %d\n%s", holder.code, &holder.stderr)
	}
	for _, p := range waiting {
		if err := p.end(); err != nil {
			return "", err
		}
		if p.code != 0 {
			return "", fmt.Errorf("one that waited: exit %d\n%s", p.code, &p.stderr)
		}
	}
	if now := l.counts(); now.reuse != before.reuse || now.login != before.login {
		return "", fmt.Errorf("before %+v, now %+v", before, now)
	}
	if _, err := l.machines[3].does(0, "refresh", "SERVER"); err != nil {
		return "", err
	}
	if l.db.replica == nil {
		err = l.db.rebuild()
	}
	return fmt.Sprintf("away for %.1f s; the holder stored its token; all %d that waited for it succeeded; no token came twice", away.Seconds(), len(waiting)), err
}

func (l *lab) shortCut() (string, error) {
	before := l.counts()
	m := l.machines[1]
	p, err := l.redeeming(m, "500ms")
	if err != nil {
		return "", err
	}
	if err := m.cut(); err != nil {
		return "", err
	}
	other, err := l.machines[2].start("token", "SERVER", "--min-ttl", "2h")
	if err != nil {
		return "", err
	}
	time.Sleep(4 * time.Second)
	if err := m.heal(); err != nil {
		return "", err
	}
	if err := p.end(); err != nil {
		return "", err
	}
	if err := other.end(); err != nil {
		return "", err
	}
	if p.code != 0 || other.code != 0 {
		return "", fmt.Errorf("the holder: exit %d\n%sthe other one: exit %d\n%s", p.code, &p.stderr, other.code, &other.stderr)
	}
	now := l.counts()
	if now.reuse != before.reuse || now.login != before.login {
		return "", fmt.Errorf("before %+v, now %+v", before, now)
	}
	return fmt.Sprintf("the token was stored after %.0f s; no token came twice", p.took.Seconds()), nil
}

func (l *lab) longCut() (string, error) {
	m := l.machines[1]
	p, err := l.redeeming(m, "500ms")
	if err != nil {
		return "", err
	}
	if err := m.cut(); err != nil {
		return "", err
	}
	other, err := l.machines[2].run("refresh", "SERVER")
	if err != nil {
		return "", err
	}
	if err := p.end(); err != nil {
		return "", err
	}
	if err := m.heal(); err != nil {
		return "", err
	}
	if p.code != 6 || !strings.Contains(p.stderr.String(), "could not be stored") {
		return "", fmt.Errorf("the machine that was cut off: exit %d\n%s", p.code, &p.stderr)
	}
	if !told(other) || other.took > 45*time.Second {
		return "", fmt.Errorf("the other one: exit %d after %s\n%s", other.code, other.took, &other.stderr)
	}
	return fmt.Sprintf("another machine went on after %.0f s; both said what happened", other.took.Seconds()), l.login(2)
}
