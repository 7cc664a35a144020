package callback

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

// failureWait is how long Open waits for a browser command to fail.
const failureWait = 300 * time.Millisecond

// ErrNoBrowser is returned if the system cannot open a browser, for example over ssh, in a container or in a cron job.
var ErrNoBrowser = errors.New("no desktop session to open a browser in")

// CanOpen reports whether the system has a default browser that Open can use.
func CanOpen() bool { return systemBrowser() != nil }

// Open opens a URL in the browser, and does not wait for the browser to exit. Like $BROWSER, command may contain several commands with
// colons between them. On Windows, the separator is a semicolon. Open tries the commands in order until one starts and does not fail at
// once. The URL replaces the argument %s of a command, or is appended to the command. Open uses no shell (CVE-2025-6514). An empty command
// means the default browser of the system. Open tries no command after "none". The browser gets the variables in environ, or, if there are
// none, those of this process, except variables whose names start with MCPAUTH_.
func Open(ctx context.Context, command, address string, environ ...string) error {
	if len(environ) == 0 {
		environ = os.Environ()
	}
	environ = slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, "MCPAUTH_") })
	u, err := httpx.CheckServer(address) // accepts https, and http on loopback
	if err != nil {
		return err
	}
	list := [][]string{systemBrowser()}
	if command != "" {
		if list, err = splitCommands(command); err != nil {
			return fmt.Errorf("browser command %q: %w", command, err)
		}
	}
	var failed []error
	for _, argv := range list {
		if argv == nil || slices.Equal(argv, []string{"none"}) {
			return errors.Join(append(failed, ErrNoBrowser)...)
		}
		err := startBrowser(ctx, insertURL(argv, u.String()), environ)
		if err == nil {
			return nil
		}
		failed = append(failed, fmt.Errorf("browser %s: %w", argv[0], err))
	}
	return errors.Join(failed...)
}

// startBrowser does not use exec.CommandContext, because the browser must outlive the login.
func startBrowser(ctx context.Context, argv, environ []string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.SysProcAttr = environ, noConsoleAttr
	if err := cmd.Start(); err != nil {
		return errors.Unwrap(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(failureWait):
	case <-ctx.Done():
	}
	return nil
}

func insertURL(argv []string, address string) []string {
	placed := slices.Clone(argv)
	if i := slices.Index(placed[1:], "%s"); i >= 0 {
		placed[1+i] = address
		return placed
	}
	return append(placed, address)
}

// splitCommands splits a list into commands, and each command into words. splitCommands treats spaces, quotes and backslashes like a shell,
// but expands nothing. The colon in "://" does not separate commands.
func splitCommands(list string) ([][]string, error) {
	var all [][]string
	var argv []string
	var word strings.Builder
	var quote rune
	started, escaped := false, false
	endWord := func() {
		if started {
			argv = append(argv, word.String())
			word.Reset()
		}
		started = false
	}
	for i, r := range list {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'' && backslashEscapes:
			escaped, started = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, started = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			endWord()
		case quote == 0 && r == listSeparator && !strings.HasPrefix(list[i:], "://"):
			endWord()
			all, argv = append(all, argv), nil
		default:
			word.WriteRune(r)
			started = true
		}
	}
	endWord()
	all = slices.DeleteFunc(append(all, argv), func(argv []string) bool { return len(argv) == 0 })
	switch {
	case quote != 0 || escaped:
		return nil, errors.New("a quote is not closed")
	case len(all) == 0 || slices.ContainsFunc(all, func(argv []string) bool { return argv[0] == "" }):
		return nil, errors.New("it contains no command")
	}
	return all, nil
}
