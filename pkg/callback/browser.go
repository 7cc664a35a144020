// This file opens the browser: one checked address, as one argument, never through a shell (CVE-2025-6514).

package callback

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

// settle is how long Open waits for a browser that fails at once; one that stays is left alone.
const settle = 300 * time.Millisecond

// ErrNoBrowser says that the system has no way to open a browser: no desktop, as over ssh, in a container or under cron.
var ErrNoBrowser = errors.New("there is no desktop to open a browser on")

// CanOpen reports whether Open knows a way when it is given no command.
func CanOpen() bool { return systemBrowser() != nil }

// Open opens an address in the browser: by the command, to which the address is added as its last argument (or put in place of an
// argument %s), or by the system's own way when the command is empty. It does not wait for the browser to end. Environment variables that
// hold one of the secrets are not passed on.
func Open(ctx context.Context, command, address string, secrets ...string) error {
	u, err := openable(address)
	if err != nil {
		return err
	}
	argv := systemBrowser()
	if command != "" {
		if argv, err = words(command); err != nil {
			return fmt.Errorf("browser command %q: %w", command, err)
		}
	}
	if argv == nil {
		return ErrNoBrowser
	}
	argv = place(argv, u.String())
	// Not CommandContext: the browser lives on when the login is done.
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = ownless(os.Environ(), secrets)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("browser %s: %w", argv[0], errors.Unwrap(err))
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("browser %s: %w", argv[0], err)
		}
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// openable checks the address once more, at the door: https, or http on loopback, re-serialised.
func openable(address string) (*url.URL, error) { return httpx.CheckServer(address) }

// place puts the address where the command wants it.
func place(argv []string, address string) []string {
	placed := append([]string(nil), argv...)
	for i, a := range placed {
		if i > 0 && a == "%s" {
			placed[i] = address
			return placed
		}
	}
	return append(placed, address)
}

// words splits a command as a shell does at blanks, with quotes and backslashes, but expands nothing.
func words(command string) ([]string, error) {
	var argv []string
	var word strings.Builder
	var quote rune
	started, escaped := false, false
	for _, r := range command {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'' && escapes:
			escaped, started = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, started = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if started {
				argv = append(argv, word.String())
				word.Reset()
			}
			started = false
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if started {
		argv = append(argv, word.String())
	}
	switch {
	case quote != 0 || escaped:
		return nil, errors.New("a quote is not closed")
	case len(argv) == 0 || argv[0] == "":
		return nil, errors.New("it names no program")
	}
	return argv, nil
}

// ownless leaves out our own variables, and those with secrets in them: they are not the browser's business.
func ownless(env, secrets []string) []string {
	return slices.DeleteFunc(env, func(v string) bool {
		_, value, _ := strings.Cut(v, "=")
		return strings.HasPrefix(v, "MCPAUTH_") || value != "" && slices.Contains(secrets, value)
	})
}
