package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"mcpauth/internal/demo"
)

// user is a user with a home folder and a server.
type user struct {
	name   string
	o      options
	home   string
	env    []string
	server *demo.Server
	rand   *rand.Rand
	tally  *tally
}

func newUser(o options, number int, home string, t *tally) (*user, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	server, err := demo.Start(demo.Options{})
	if err != nil {
		return nil, err
	}
	u := &user{name: fmt.Sprint("user ", number), o: o, home: home, server: server, tally: t, rand: rand.New(rand.NewPCG(o.seed, uint64(number)))}
	u.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "USERPROFILE=" + home, "MCPAUTH_KEYSTORE=" + o.store, "BROWSER=" + self + " -browse",
		"NO_PROXY=127.0.0.1", "TMPDIR=" + os.TempDir(), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"),
		"DBUS_SESSION_BUS_ADDRESS=" + os.Getenv("DBUS_SESSION_BUS_ADDRESS"), "XDG_RUNTIME_DIR=" + os.Getenv("XDG_RUNTIME_DIR")}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	end, err := u.mcpauth("login", server.URL()).finish()
	if err == nil && end.code != 0 {
		err = fmt.Errorf("the first login: exit %d: %s", end.code, end.stderr)
	}
	return u, err
}

// command is one run of the program.
type command struct {
	u      *user
	args   []string
	signal os.Signal     // signal to send after the start; nil: send no signal
	after  time.Duration // time from the start to the signal
	hurry  bool          // the command gets a --timeout that is too short
}

// ending is the result of a command.
type ending struct {
	command
	code   int       // exit code; -1 if a signal ended the command
	sent   os.Signal // the signal that was sent; nil if the command ended before
	stderr string
}

func (u *user) mcpauth(args ...string) command { return command{u: u, args: args} }

// finish runs the command and waits until the command ends.
func (c command) finish() (ending, error) {
	c.u.tally.countIn(c.u.tally.commands, c.args[0])
	cmd := exec.Command(c.u.o.mcpauth, c.args...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stderr, cmd.WaitDelay = c.u.env, c.u.home, &stderr, time.Second
	if err := cmd.Start(); err != nil {
		return ending{}, err
	}
	sent := make(chan error, 1)
	timer := time.AfterFunc(c.after, func() {
		if c.signal != nil {
			sent <- cmd.Process.Signal(c.signal)
		}
	})
	err := cmd.Wait()
	end := ending{command: c, code: cmd.ProcessState.ExitCode(), stderr: stderr.String()}
	if !timer.Stop() && c.signal != nil && <-sent == nil {
		end.sent = c.signal
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return end, err
	}
	switch {
	case end.sent == os.Kill:
		c.u.tally.count(&c.u.tally.killed)
	case end.sent != nil:
		c.u.tally.count(&c.u.tally.interrupted)
	case c.hurry:
		c.u.tally.count(&c.u.tally.hurried)
	}
	return end, nil
}

// secrets returns the folder of the file store.
func (u *user) secrets() string { return filepath.Join(u.home, ".local", "share", "mcpauth") }

// leftovers returns the files in the store that are not credentials.
func (u *user) leftovers() []string {
	var left []string
	files, _ := os.ReadDir(u.secrets())
	for _, f := range files {
		if ext := filepath.Ext(f.Name()); ext != ".credential" && ext != ".lock" {
			left = append(left, f.Name())
		}
	}
	return left
}
