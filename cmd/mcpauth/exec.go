package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/mcpproxy"
)

func execCommand(p *program) *cli.Command {
	return &cli.Command{
		Name: "exec", ArgsUsage: "SERVER… -- COMMAND [ARGUMENT…]",
		Usage: "run a command that can use servers through local URLs",
		UsageText: "mcpauth exec example -- sh -c 'MCP_SERVER=\"$MCPAUTH_URL\" my-agent'\n" +
			"mcpauth exec linear notion -- node agent.js\n" +
			"mcpauth exec https://mcp.example.com/mcp -- npx my-agent",
		Description: "While COMMAND runs, mcpauth serves each SERVER at a local URL, as proxy --listen\n" +
			"does. The variable MCPAUTH_URL contains the URL of the first SERVER. The URL of\n" +
			"the server my-notes, for example, is in MCPAUTH_URL_MY_NOTES. If SERVER is a\n" +
			"URL, the variable is named after its host, such as MCPAUTH_URL_EXAMPLE_COM.\n" +
			"\n" +
			"COMMAND gets no token. mcpauth removes variables that contain secrets from the\n" +
			"environment of COMMAND, and passes signals on. A second SIGTERM, half a second\n" +
			"or more later, kills COMMAND. The exit code is that of COMMAND, or 128 plus the\n" +
			"number of the signal that ended COMMAND.",
		Action: func(cx *cli.Context) error {
			words, command := cutAt(cx.Args().Slice(), "--")
			switch {
			case len(words) == 0:
				return usage("a SERVER is missing: mcpauth exec SERVER -- COMMAND")
			case len(command) == 0:
				return usage("a COMMAND is missing: mcpauth exec SERVER -- COMMAND")
			}
			return runExec(cx.Context, p, words, command)
		},
	}
}

func runExec(ctx context.Context, p *program, words, command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return &configError{message: err.Error()}
	}
	addresses := map[string]string{}
	var listeners []*mcpproxy.Listener
	defer func() { // closes the listeners concurrently
		var closed sync.WaitGroup
		for _, l := range listeners {
			closed.Go(l.Close)
		}
		closed.Wait()
	}()
	listen := func() error {
		for i, word := range words {
			m, err := p.newProxy(ctx, word)
			if err != nil {
				return err
			}
			name := addressVariable(word)
			if addresses[name] != "" {
				return usage("two servers would use the same variable " + name)
			}
			l, err := m.Listen("127.0.0.1:0")
			if err != nil {
				return &configError{message: err.Error()}
			}
			listeners = append(listeners, l)
			addresses[name] = l.URL
			if i == 0 {
				addresses["MCPAUTH_URL"] = l.URL
			}
		}
		return nil
	}
	if err := p.runPunctually(ctx, 0, listen); err != nil {
		return err
	}
	cmd := exec.Command(path, command[1:]...)
	cmd.Args[0] = command[0]
	cmd.Env = p.childEnvironment(os.Environ(), addresses)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, p.out.stdout, p.out.stderr
	return p.runChild(ctx, cmd)
}

// addressVariable returns the name of the environment variable that contains the URL of a server.
func addressVariable(word string) string {
	if u, err := url.Parse(word); err == nil && u.Host != "" {
		word = u.Hostname()
	}
	name := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(word))
	return "MCPAUTH_URL_" + name
}

// runChild runs the command and forwards signals to it. The terminal itself sends signals from the keyboard to both processes. A second
// SIGTERM kills a command that ignores the first one. The number of the other signals is not limited, because interactive programs use SIGINT
// to cancel their current work, and daemons use SIGHUP to read their configuration again. Only the process of the command is killed, because
// its process group contains mcpauth and the script that started mcpauth.
func (p *program) runChild(ctx context.Context, cmd *exec.Cmd) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwardedSignals()...)
	defer signal.Stop(signals)
	if err := ctx.Err(); err != nil { // an earlier signal cannot be forwarded any more
		return err
	}
	if err := cmd.Start(); err != nil {
		return &configError{message: err.Error()}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	keyboard, _ := isTerminal(p.stdin)
	var late <-chan time.Time
	if limit, ok := ctx.Deadline(); ok { // ctx.Done is not used, because an interrupt closes ctx.Done too
		late = time.After(time.Until(limit))
	}
	stopped, firstTerm := false, time.Time{}
	for {
		select {
		case err := <-ended:
			if stopped {
				return context.DeadlineExceeded
			}
			return childExitError(err)
		case s := <-signals:
			switch {
			case s == syscall.SIGTERM && firstTerm.IsZero():
				firstTerm = time.Now()
			case s == syscall.SIGTERM && time.Since(firstTerm) > signalPause:
				s = os.Kill
			}
			if !keyboard || s != os.Interrupt && s != syscall.SIGQUIT {
				_ = cmd.Process.Signal(s)
			}
		case <-late:
			stopped = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			time.AfterFunc(time.Second, func() { _ = cmd.Process.Kill() })
		}
	}
}

// childExitError returns an error that makes mcpauth exit with the exit code of the command. If the command succeeded, the error is nil.
func childExitError(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return &printedError{code: exitCodeOf(exit.ProcessState), err: err}
	}
	return err
}
