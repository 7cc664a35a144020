package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

type taskOptions struct {
	output, saveDir string
	elicit          string
	elicitURLs      bool
	noWait, cancel  bool
}

func taskCommand(p *program) *cli.Command {
	var o taskOptions
	return &cli.Command{
		Name: "task", ArgsUsage: "SERVER [ID]",
		Usage: "wait for a task that a call started, or list the tasks",
		UsageText: "mcpauth task example\n" +
			"mcpauth task example 786512e2-9e0d-44bd\n" +
			"mcpauth task example 786512e2-9e0d-44bd --cancel",
		Description: "A server may answer a call with a task and carry it out in the background. call\n" +
			"waits for the task to end. If call is interrupted, task ID waits again. Without\n" +
			"ID, task lists the tasks of this machine whose results were not printed.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "no-wait", Usage: "print the state of the task and do not wait", Destination: &o.noWait},
			&cli.BoolFlag{Name: "cancel", Usage: "ask the server to cancel the task", Destination: &o.cancel},
			&cli.StringFlag{Name: "output", Usage: "`FORM` text (default), json (the result as the server sent it) or raw (the bytes of the single content block)", Destination: &o.output},
			&cli.StringFlag{Name: "save-dir", Usage: "`DIR` write content blocks that are not text to this folder", Destination: &o.saveDir},
			&cli.StringFlag{Name: "elicit", Usage: "`HOW` how to answer elicitation requests: decline (default), defaults, or @FILE", Destination: &o.elicit},
			&cli.BoolFlag{Name: "elicit-urls", Usage: "open the URLs that the server asks the user to open; each is printed first", Destination: &o.elicitURLs},
		},
		Action: func(cx *cli.Context) error {
			words := cx.Args().Slice()
			switch len(words) {
			case 0:
				return usage("a SERVER is missing: a URL or a name")
			case 1:
				if o != (taskOptions{}) {
					return usage("these flags need the ID of a task")
				}
				return runTasks(cx.Context, p, words[0])
			case 2:
				return runTask(cx.Context, p, words[0], words[1], o)
			}
			return usage(quote(words[2]) + " is one argument too many")
		},
	}
}

// runTasks lists the remembered tasks.
func runTasks(ctx context.Context, p *program, server string) error {
	t, err := p.target(ctx, server, needStored)
	if err != nil {
		return err
	}
	m, err := p.mcp(t, nil)
	if err != nil {
		return err
	}
	return p.printTasks(m.KnownTasks())
}

// taskJSON is a task in a JSON document.
type taskJSON struct {
	ID      string     `json:"id"`
	Tool    string     `json:"tool"`
	State   string     `json:"state"`
	Created *time.Time `json:"created_at"`
	Expires *time.Time `json:"expires_at"`
}

func (p *program) printTasks(tasks []mcpclient.Task) error {
	if p.out.json {
		list := []taskJSON{}
		for _, t := range tasks {
			list = append(list, taskJSON{t.ID, t.Tool, t.Status, knownTime(t.Created), knownTime(t.Expires)})
		}
		return p.out.document(list)
	}
	if len(tasks) == 0 {
		p.out.note("no tasks are remembered for this server")
		return nil
	}
	var rows [][]string
	for _, t := range tasks {
		rows = append(rows, []string{httpx.Text(t.ID, 200), httpx.Text(t.Tool, 100), clockTime(t.Created), httpx.Text(t.Status, 40), clockTime(t.Expires)})
	}
	return p.out.table([]string{"ID", "TOOL", "CREATED", "STATE", "EXPIRES"}, rows, boldFirst)
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
func runTask(ctx context.Context, p *program, server, id string, o taskOptions) error {
	if o.noWait && o.cancel {
		return usage("--no-wait and --cancel contradict each other")
	}
	form, err := outputForm(p, o.output)
	if err != nil {
		return err
	}
	p.word = server
	answers, err := elicitor(p, o.elicit, o.elicitURLs)
	if err != nil {
		return err
	}
	dir, err := openSaveDir(ctx, o.saveDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	m, err := p.reach(ctx, server, flow.HandlerOptions{})
	if err != nil {
		return err
	}
	defer m.Close()
	m.Elicit = answers
	switch {
	case o.cancel:
		if err := m.CancelTask(ctx, id); err != nil {
			return err
		}
		p.out.note("the server was asked to cancel task %s", httpx.Text(id, 200))
		return nil
	case o.noWait:
		t, err := m.TaskState(ctx, id)
		if err != nil {
			return err
		}
		return p.printState(t, form)
	}
	r, err := m.Follow(ctx, id)
	if err != nil {
		return err
	}
	return p.deliver(m, r, "task", form, dir)
}

// printDetached prints the task that a call became.
func (p *program) printDetached(t mcpclient.Task, form string) error {
	if form != "text" {
		return p.out.raw(t.Raw)
	}
	p.out.note("wait for the result: mcpauth task %s %s", p.hintWord(), dataWord(t.ID))
	return p.out.text(httpx.Text(t.ID, 500))
}

// printState prints the state of a task, or the task as the server sent it.
func (p *program) printState(t mcpclient.Task, form string) error {
	if form != "text" {
		return p.out.raw(t.Raw)
	}
	if t.Message != "" {
		p.out.note("%s", httpx.Text(t.Message, 500))
	}
	return p.out.text(httpx.Text(t.Status, 40))
}

// deliver prints a result. A task is forgotten only when its result has been written, so that a process that dies here loses nothing.
func (p *program) deliver(m *mcpclient.Client, r mcpclient.Result, tool, form string, dir *saveDir) error {
	if err := p.printResult(r, tool, form, dir); err != nil {
		return err
	}
	if err := p.out.finish(); err != nil { // before the session is ended
		return err
	}
	m.ForgetTask(r.TaskID)
	if r.IsError {
		return &toolError{tool: tool}
	}
	return nil
}
