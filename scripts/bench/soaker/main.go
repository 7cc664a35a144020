// Command soaker lets real mcpauth processes work for a while at servers where everything goes wrong, and counts what is lost.
//
//	scripts/bench/soak 60s          what CI runs
//	scripts/bench/soak              an hour
//	go run ./scripts/bench/soaker -for 15m -users 4 -seed 7
//
// Each user has a home, a browser, a login and a server, which rotates refresh tokens and ends the grant when one comes twice. What a grant
// is changes from round to round: the tokens of one login, all logins in one browser, or all of the client and user; and a refresh may end
// the earlier access tokens. A round is a handful of commands at once, while the server fails, lies, hangs, answers late, forgets and revokes,
// processes are killed, interrupted or short of time, and the store vanishes. After each round all faults are taken back, and one
// `mcpauth refresh` tells what is left of the login:
//
//   - it works
//   - the server ended the grant: it was told to in this round
//   - the answer to a refresh never arrived, because of a kill or a fault of this round: the program must say that the token may have been
//     spent, and the server must have seen it twice. A signal other than SIGKILL, or a time limit, is no such reason
//
// Anything else is a lost credential. A command that ends otherwise than its round explains, or a file left in the store, is reported as
// well. Then the exit code is 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"mcpauth/internal/demo"
)

type options struct {
	time    time.Duration
	users   int
	seed    uint64
	mcpauth string
	store   string
}

func main() {
	var o options
	browse := flag.String("browse", "", "be the browser that opens this address")
	flag.DurationVar(&o.time, "for", time.Hour, "how long")
	flag.IntVar(&o.users, "users", 2, "users at work side by side")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of what happens; the order in which processes run is never the same")
	flag.StringVar(&o.mcpauth, "mcpauth", os.Getenv("MCPAUTH_BIN"), "the program; empty: build it")
	flag.StringVar(&o.store, "keystore", "file", "file, or keychain: the session's own, which must be unlocked")
	flag.Parse()
	if *browse != "" {
		os.Exit(open(*browse))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	t, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
	t.print(os.Stdout)
	if !t.clean() {
		os.Exit(1)
	}
}

// open is the browser of a user who is logged in and consents. It keeps its cookies in the user's home.
func open(address string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	file, err := demo.BrowserFile()
	if err != nil {
		return 1
	}
	if status, err := (&demo.Browser{File: file}).Open(ctx, address); err != nil || status >= 400 {
		return 1
	}
	return 0
}

// run lets the users work until the time is over.
func run(ctx context.Context, o options) (*tally, error) {
	dir, err := os.MkdirTemp("", "mcpauth-soak-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if o.mcpauth == "" {
		if o.mcpauth, err = build(ctx, dir); err != nil {
			return nil, err
		}
	}
	t := newTally(o)
	var wg sync.WaitGroup
	errs := make([]error, o.users)
	for i := range o.users {
		wg.Go(func() { errs[i] = live(ctx, o, i, filepath.Join(dir, fmt.Sprint("user", i)), t) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	t.took = time.Since(t.began)
	return t, nil
}

func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "mcpauth")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "./cmd/mcpauth")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
}

// live is one user's time: round after round.
func live(ctx context.Context, o options, number int, home string, t *tally) error {
	u, err := newUser(o, number, home, t)
	if err != nil {
		return err
	}
	defer u.server.Close()
	for end := time.Now().Add(o.time); time.Now().Before(end) && ctx.Err() == nil; {
		if err := u.round(); err != nil {
			return err
		}
	}
	if _, err := u.mcpauth("logout", u.server.URL()).finish(); err != nil {
		return err
	}
	t.server(u.server)
	return nil
}
