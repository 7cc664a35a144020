package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// soak runs commands on all machines while processes are killed, machines are cut off, and the database restarts and fails over. After each
// round, one refresh shows whether the login still works.
func (l *lab) soak(lasts time.Duration) (string, error) {
	end, before := time.Now().Add(lasts), l.counts()
	if err := l.login(0); err != nil {
		return "", err
	}
	done, spent := map[string]int{}, 0
	for time.Now().Before(end) {
		fault, err := l.round(done)
		if err != nil {
			return "", err
		}
		lost, err := l.settle(fault)
		if err != nil {
			return "", err
		}
		if lost {
			spent++
		}
	}
	now := l.counts()
	return fmt.Sprintf("%d processes, %d killed, %d cuts, %d restarts, %d fail-overs; %d refreshes, %d reuses, %d grants spent and told, 0 lost", done["process"], done["kill"], done["cut"],
		done["restart"], done["fail-over"], now.refresh-before.refresh, now.reuse-before.reuse, spent), nil
}

// round starts some processes on every machine and causes one fault.
func (l *lab) round(done map[string]int) (fault string, err error) {
	commands := [][]string{{"refresh", "SERVER"}, {"token", "SERVER", "--min-ttl", "2h"}, {"call", "SERVER", "echo", "text=x"}, {"status", "SERVER"}, {"token", "SERVER"}}
	answers := []string{"expire", "token:delay=200ms", "token:late=300ms", "token:late=2s"}[rand.N(4)] // the token endpoint responds at once, slowly, or late after it has rotated the token
	if err := l.set("clear", "expire", answers); err != nil {
		return "", err
	}
	var running []*process
	for i := range 3 * machines {
		p, err := l.machines[i%machines].start(append([]string{}, commands[rand.N(len(commands))]...)...)
		if err != nil {
			return "", err
		}
		running = append(running, p)
		done["process"]++
	}
	time.Sleep(rand.N(400 * time.Millisecond))
	fault = []string{"none", "none", "kill", "cut", "restart", "fail-over"}[rand.N(6)]
	victim := l.machines[rand.N(machines)]
	done[fault]++
	switch fault {
	case "kill":
		done["kill"]-- // the code below counts the kill
		for _, p := range running {
			if rand.N(3) == 0 {
				_ = p.Process.Kill()
				done["kill"]++
			}
		}
	case "cut":
		err = victim.cut()
		time.Sleep(rand.N(6 * time.Second))
		_ = victim.heal()
	case "restart":
		err = l.db.restart()
	case "fail-over":
		if err = l.db.failOver(); err == nil {
			err = l.db.rebuild()
		}
	}
	if err != nil {
		return "", err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(running))
	for i, p := range running {
		wg.Go(func() {
			if errs[i] = p.end(); errs[i] == nil && p.code != 0 && p.code != -1 && p.code != 6 && !told(p) && !strings.Contains(p.stderr.String(), "not logged in") {
				errs[i] = fmt.Errorf("fault %s: %q: exit %d\n%s", fault, p.Args[2:], p.code, &p.stderr)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return "", err
		}
	}
	return fault, nil
}

// settle checks the login after a round. The login is correct in three cases: a refresh succeeds, mcpauth reports that the login has ended,
// or mcpauth reports that the refresh token may have been used up.
func (l *lab) settle(fault string) (lost bool, err error) {
	var p *process
	for range 3 {
		if p, err = l.machines[rand.N(machines)].run("refresh", "SERVER"); err != nil {
			return false, err
		}
		if p.code == 0 {
			return false, nil
		}
		if p.code != 6 {
			break
		}
	}
	text := p.stderr.String()
	if p.code == 4 && fault != "none" && (told(p) || strings.Contains(text, "not logged in") || strings.Contains(text, "login required")) {
		return true, l.login(rand.N(machines))
	}
	return false, fmt.Errorf("%w: after fault %q: exit %d\n%s", errLost, fault, p.code, text)
}
