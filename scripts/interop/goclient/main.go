// Command goclient checks an MCP server with the Go SDK's client: goclient SERVER PROTOCOL env:VARIABLE | goclient SERVER PROTOCOL COMMAND ARGUMENT...
//
// goclient prints one line of JSON per check: {"name": …, "error": …}. With the line {"restart": true}, goclient asks its caller to restart
// the server. The caller writes an empty line to standard input when the server has restarted.
//
//lint:file-ignore SA1019 clients of earlier revisions use sampling and logging
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// tools contains the names of the server's tools that the checks call. "" means that the server has no such tool.
type tools struct {
	echo, argument, sample, elicit, log, long, subscribed string
	prompt, resource, toggle                              string
}

var servers = map[string]tools{
	"everything": {echo: "echo", argument: "message", sample: "trigger-sampling-request", elicit: "trigger-elicitation-request", long: "trigger-long-running-operation",
		prompt: "simple-prompt", resource: "demo://resource/static/document/features.md", subscribed: "demo://resource/dynamic/text/1", toggle: "toggle-subscriber-updates"},
	"notes": {echo: "whoami"},
	"gosdk": {echo: "greet", argument: "name", sample: "sample", elicit: "elicit (form)", log: "log", prompt: "greet", resource: "embedded:info"},
}

type checks struct {
	ctx              context.Context
	does             tools
	session          *mcp.ClientSession
	logged, updated  atomic.Int32
	progressed       atomic.Int32
	answers          *bufio.Reader
	stopAfterAdvance context.CancelFunc
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := &checks{ctx: ctx, does: servers[os.Args[1]], answers: bufio.NewReader(os.Stdin)}
	client := mcp.NewClient(&mcp.Implementation{Name: "interop", Version: "1.0.0"}, &mcp.ClientOptions{
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Model: "interop", Role: "assistant", Content: &mcp.TextContent{Text: "a sampled word"}}, nil
		},
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"random": "an elicited word", "name": "an elicited word"}}, nil
		},
		LoggingMessageHandler:  func(context.Context, *mcp.LoggingMessageRequest) { c.logged.Add(1) },
		ResourceUpdatedHandler: func(context.Context, *mcp.ResourceUpdatedNotificationRequest) { c.updated.Add(1) },
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) {
			c.progressed.Add(1)
			if c.stopAfterAdvance != nil {
				c.stopAfterAdvance()
			}
		},
	})
	var transport mcp.Transport
	if name, ok := strings.CutPrefix(os.Args[3], "env:"); ok {
		transport = &mcp.StreamableClientTransport{Endpoint: os.Getenv(name)}
	} else {
		cmd := exec.Command(os.Args[3], os.Args[4:]...)
		cmd.Stderr = os.Stderr
		transport = &mcp.CommandTransport{Command: cmd}
	}
	c.check("connect", func() (err error) {
		c.session, err = client.Connect(ctx, transport, &mcp.ClientSessionOptions{ProtocolVersion: os.Args[2]})
		return err
	})
	if c.session == nil {
		return
	}
	if c.does.prompt == "" {
		c.check("tools", c.echo)
		c.check("close", c.session.Close)
		return
	}
	modern := c.session.InitializeResult().ProtocolVersion >= "2026-07-28"
	c.basics()
	if !modern {
		c.questions()
	}
	c.restart()
	c.check("close", c.session.Close)
}

func (c *checks) check(name string, run func() error) {
	line := map[string]string{"name": name}
	if err := run(); err != nil {
		line["error"] = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(line)
}

// text calls a tool and returns its text.
func (c *checks) text(ctx context.Context, name string, arguments map[string]any) (string, error) {
	if arguments == nil {
		arguments = map[string]any{}
	}
	params := &mcp.CallToolParams{Name: name, Arguments: arguments, Meta: mcp.Meta{}}
	params.SetProgressToken("progress of " + name)
	res, err := c.session.CallTool(ctx, params)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, block := range res.Content {
		if t, ok := block.(*mcp.TextContent); ok {
			b.WriteString(t.Text)
		}
	}
	return b.String(), nil
}

// says calls a tool and returns an error unless its text contains want.
func (c *checks) says(name string, arguments map[string]any, want string) error {
	got, err := c.text(c.ctx, name, arguments)
	if err == nil && !strings.Contains(got, want) {
		err = fmt.Errorf("%s says %q, expected %q", name, got, want)
	}
	return err
}

func (c *checks) echo() error {
	if c.does.argument == "" {
		return c.says(c.does.echo, nil, "")
	}
	return c.says(c.does.echo, map[string]any{c.does.argument: "hello"}, "hello")
}

func (c *checks) basics() {
	c.check("tools", func() error {
		if list, err := c.session.ListTools(c.ctx, nil); err != nil || len(list.Tools) == 0 {
			return fmt.Errorf("%d tools, %v", len(list.Tools), err)
		}
		return c.echo()
	})
	c.check("prompts", func() error {
		_, err := c.session.GetPrompt(c.ctx, &mcp.GetPromptParams{Name: c.does.prompt})
		return err
	})
	c.check("resources", func() error {
		_, err := c.session.ReadResource(c.ctx, &mcp.ReadResourceParams{URI: c.does.resource})
		return err
	})
	if c.does.long == "" {
		return
	}
	c.check("progress", func() error {
		err := c.says(c.does.long, map[string]any{"duration": 0.2, "steps": 4}, "completed")
		if n := c.progressed.Load(); err == nil && n < 3 {
			err = fmt.Errorf("%d notifications of progress", n)
		}
		return err
	})
	c.check("cancellation", func() error {
		ctx, cancel := context.WithCancel(c.ctx)
		c.stopAfterAdvance = cancel
		_, err := c.text(ctx, c.does.long, map[string]any{"duration": 20, "steps": 40})
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("the call ends with %v", err)
		}
		return c.echo()
	})
}

// questions counts the requests that a server sends during a call, in protocol revisions before 2026-07-28.
func (c *checks) questions() {
	c.check("sampling", func() error { return c.says(c.does.sample, map[string]any{"prompt": "x"}, "a sampled word") })
	c.check("elicitation", func() error { return c.says(c.does.elicit, nil, "an elicited word") })
	if c.does.log != "" {
		c.check("logging", func() error {
			if err := c.session.SetLoggingLevel(c.ctx, &mcp.SetLoggingLevelParams{Level: "debug"}); err != nil {
				return err
			}
			return c.brings(c.does.log, &c.logged)
		})
	}
	if c.does.subscribed != "" {
		c.check("subscription", func() error {
			if err := c.session.Subscribe(c.ctx, &mcp.SubscribeParams{URI: c.does.subscribed}); err != nil {
				return err
			}
			return c.brings(c.does.toggle, &c.updated)
		})
	}
}

// brings calls a tool that triggers a notification from the server, and waits for the notification.
func (c *checks) brings(tool string, counter *atomic.Int32) error {
	before := counter.Load()
	if _, err := c.text(c.ctx, tool, nil); err != nil {
		return err
	}
	for range 100 {
		if counter.Load() > before {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s brings no notification", tool)
}

func (c *checks) restart() {
	fmt.Println(`{"restart":true}`)
	c.answers.ReadString('\n')
	c.check("a restart of the server is not noticed", c.echo)
	if c.updated.Load() > 0 {
		c.check("the subscription outlives the restart", func() error { return c.brings(c.does.toggle, &c.updated) })
	}
	if c.does.log != "" && c.logged.Load() > 0 {
		c.check("the log level outlives the restart", func() error { return c.brings(c.does.log, &c.logged) })
	}
}
