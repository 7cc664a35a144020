package main

import (
	"context"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

type taskOptions struct {
	resultFlags
	elicitFlags
	noWait, cancel bool
}

func taskCommand(p *program) *cli.Command {
	var o taskOptions
	return &cli.Command{
		Name: "task", ArgsUsage: "SERVER [ID]",
		Usage: "wait for a task that a call started, or list the tasks",
		UsageText: "mcpauth task example\n" +
			"mcpauth task example 786512e2-9e0d-44bd\n" +
			"mcpauth task example 786512e2-9e0d-44bd --cancel",
		Description: "A server may answer a call with a task, which runs in the background. call waits\n" +
			"until the task ends. If call was interrupted, task waits again. Without ID, task\n" +
			"lists the tasks of this machine whose results were not printed.",
		Flags: slices.Concat([]cli.Flag{
			&cli.BoolFlag{Name: "no-wait", Usage: "print the state of the task and do not wait", Destination: &o.noWait},
			&cli.BoolFlag{Name: "cancel", Usage: "ask the server to cancel the task", Destination: &o.cancel},
		}, o.resultFlags.flags(), o.elicitFlags.flags()),
		Action: func(cx *cli.Context) error {
			return serverAndName(func(ctx context.Context, word, id string) error {
				switch {
				case cx.Args().Len() == 2: // an empty ID is an error
					return runTask(ctx, p, word, id, o)
				case o != (taskOptions{}):
					return usage("these flags need the ID of a task")
				}
				return runTasks(ctx, p, word)
			})(cx)
		},
	}
}

// runTasks lists the tasks that are stored on this machine.
func runTasks(ctx context.Context, p *program, word string) error {
	s, err := p.resolveServer(ctx, word, needStored)
	if err != nil {
		return err
	}
	m, err := p.mcpClient(ctx, s.target, nil)
	if err != nil {
		return err
	}
	return p.printTasks(m.KnownTasks())
}

// taskJSON is the JSON form of a task.
type taskJSON struct {
	ID      string     `json:"id"`
	Tool    string     `json:"tool"`
	State   string     `json:"state"`
	Created *time.Time `json:"created_at"`
	Expires *time.Time `json:"expires_at"`
}

func (p *program) printTasks(tasks []mcpclient.Task) error {
	if p.out.json {
		return p.out.writeDocument(convert(tasks, func(t mcpclient.Task) taskJSON {
			return taskJSON{t.ID, t.Tool, t.Status, knownTime(t.Created), knownTime(t.Expires)}
		}))
	}
	if len(tasks) == 0 {
		p.out.printNote("no tasks are stored for this server")
		return nil
	}
	rows := convert(tasks, func(t mcpclient.Task) []string {
		return []string{t.ID, shortName(t.Tool, 100), clockTime(t.Created), httpx.Text(t.Status, 40), clockTime(t.Expires)}
	})
	return p.out.writeTable([]string{"ID", "TOOL", "CREATED", "STATE", "EXPIRES"}, rows, boldFirst)
}

func knownTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// runTask waits for a task and prints its result as call does.
func runTask(ctx context.Context, p *program, word, id string, o taskOptions) error {
	if o.noWait && o.cancel {
		return usage("--no-wait and --cancel contradict each other")
	}
	return p.withPrinter(ctx, word, o.resultFlags, o.elicitFlags, flow.HandlerOptions{}, func(m *mcpclient.Client, results *printer, _ server) error {
		switch {
		case o.cancel:
			if err := m.CancelTask(ctx, id); err != nil {
				return err
			}
			p.out.printNote("the server was asked to cancel task %s", httpx.Text(id, 200))
			return nil
		case o.noWait:
			t, err := m.TaskState(ctx, id)
			if err != nil {
				return err
			}
			return results.printState(t)
		}
		r, err := m.Follow(ctx, id)
		if err != nil {
			return err
		}
		return results.printAndForget(m, r, "task")
	})
}

// printStarted prints the task that a call started.
func (p *printer) printStarted(t mcpclient.Task, s server) error {
	if p.form != "text" {
		return p.out.writeRaw(t.Raw)
	}
	if !p.out.quiet {
		p.out.printLine("wait for the result: " + p.hintAbout(s.shellArgument()).command("task", t.ID))
	}
	return p.out.writeText(t.ID)
}

// printState prints the state of a task. If another form than text was requested, printState prints the task as the server sent it.
func (p *printer) printState(t mcpclient.Task) error {
	if p.form != "text" {
		return p.out.writeRaw(t.Raw)
	}
	if t.Message != "" {
		p.out.printNote("the server says: %s", httpx.Text(t.Message, 500))
	}
	return p.out.writeText(httpx.Text(t.Status, 40))
}
