// Command soaker runs mcpauth processes against servers with faults, and counts lost credentials.
//
//	scripts/bench/soak 60s          runs for 60 seconds, as in CI
//	scripts/bench/soak              runs for an hour
//	go run ./scripts/bench/soaker -for 15m -users 4 -seed 7
//
// Each user has a home folder, a browser, a login and a server. The server rotates refresh tokens, and revokes the grant if a client sends
// a refresh token twice. In some rounds, revoking a login revokes only that login. In other rounds, the server also revokes all logins from
// the same browser, or of the same user and client. In some rounds, a refresh also revokes earlier access tokens. In a round, several
// commands run at once while the server fails, hangs, responds late or revokes tokens. soaker kills or interrupts some processes, sets
// short time limits, and removes stores. After each round, the faults end, and one `mcpauth refresh` must have one of these results:
//
//   - The refresh succeeds.
//   - The refresh fails because a fault of the round made the server end the grant.
//   - The refresh fails because SIGKILL or a fault of the round lost the response to an earlier refresh. mcpauth must report that the
//     refresh token may have been used up, and the server must have received the token twice. Other signals and time limits must not lose a
//     response.
//
// Any other result is a lost credential. soaker also reports an exit code that no fault of the round explains, and a file that is left in
// the store. In all these cases, the exit code of soaker is 1.
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

// open simulates the browser of a user who is logged in and consents. open stores the cookies in the user's home folder.
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

// run runs all users until the time limit.
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

// live runs rounds for one user until the time limit.
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
