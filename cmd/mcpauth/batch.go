package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

const (
	maxParallel = 64
	batchMemory = 1 << 30 // limit for all answers that are in memory at the same time, in bytes
)

// runBatch makes many calls with one client and prints one line for each line of the input. If an input line has no output line, its call
// was not sent. The default time limit applies to each call, not to the whole batch.
func runBatch(ctx context.Context, p *program, words []string, o callOptions) error {
	if err := o.checkBatchFlags(p, words); err != nil {
		return err
	}
	answers, err := p.newElicitor(o.elicitFlags)
	if err != nil {
		return err
	}
	in, err := p.batchInput(o.batch)
	if err != nil {
		return err
	}
	defer in.Close()
	return p.withServer(ctx, words[0], o.handlerOptions(), func(m *mcpclient.Client, s server) error {
		o.applyTo(m)
		m.Elicit, m.MaxMessage = answers, batchMemory/int64(o.parallel)
		if !p.out.verbose {
			m.Progress = nil // there is no progress bar, because one bar cannot show several calls
		}
		b := batchPrinter{p: p, ctx: ctx, server: s}
		options := mcpclient.Batch{Parallel: o.parallel, Done: b.printResult}
		if p.global.timeout == 0 {
			options.Timeout = p.timeLimit("call")
		}
		if err := m.Batch(ctx, in, options); err != nil {
			return err
		}
		if b.failed > 0 {
			return &toolError{fmt.Sprintf("%d of %d calls failed", b.failed, b.calls)}
		}
		return nil
	})
}

// checkBatchFlags returns an error if a flag or a word of the command line does not fit --batch.
func (o *callOptions) checkBatchFlags(p *program, words []string) error {
	switch {
	case len(words) == 0:
		return usage("a SERVER is missing: a URL or a name")
	case len(words) > 1:
		return usage("with --batch, each line names the tool and its arguments; " + quote(words[1]) + " is an extra argument")
	case o.args != "" || o.saveDir != "" || o.detach:
		return usage("--batch cannot be combined with --args, --save-dir or --detach")
	case o.output != "" && o.output != "json":
		return usage("--batch prints JSON; --output " + quote(o.output) + " contradicts it")
	case o.parallel < 1 || o.parallel > maxParallel:
		return usage(fmt.Sprintf("--parallel is between 1 and %d", maxParallel))
	}
	return nil
}

// batchInput opens the file that --batch names, or standard input.
func (p *program) batchInput(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.stdin), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &configError{message: "--batch: " + err.Error()}
	}
	return f, nil
}

// batchPrinter prints and counts the results of the calls.
type batchPrinter struct {
	p             *program
	ctx           context.Context
	server        server
	calls, failed int
}

// printResult prints the result of one call. If all further calls would fail in the same way, the returned error ends the batch.
func (b *batchPrinter) printResult(id json.RawMessage, r mcpclient.Result, err error) error {
	b.calls++
	if err == nil {
		if r.IsError {
			b.failed++
		}
		return b.p.out.batchLine(id, "result", r.Raw)
	}
	b.failed++
	code, exit, hint := "interrupted", exitInterrupted, ""
	if !errors.Is(b.ctx.Err(), context.Canceled) {
		rule := rowFor(err)
		code, exit, hint = rule.code, rule.exit, b.p.hintFor(rule, errorAt(b.server, err))
	}
	if e := b.p.out.batchLine(id, "error", b.p.out.errorJSON(code, err.Error(), hint, exit)); e != nil {
		return e
	}
	if endsBatch(err, exit) {
		return err
	}
	return nil
}

// endsBatch reports whether every further call would fail with the same error, for example because the login is missing or the store fails.
// A missing scope, a missing permission or a forbidden URL in an elicitation request concerns only one tool.
func endsBatch(err error, exit int) bool {
	if isA[*mcpclient.QuestionError](err) || isA[*flow.ScopeError](err) || errors.Is(err, flow.ErrForbidden) || both(isA[*mcpclient.StatusError], hasStatus(http.StatusForbidden))(err) {
		return false
	}
	return exit == exitAuth || exit == exitKeystore || exit == exitSecurity
}

// batchLine writes {"id":…,"KIND":…} on one line. Line breaks in the value become blanks.
func (o *output) batchLine(id json.RawMessage, kind string, value []byte) error {
	var b bytes.Buffer
	b.Grow(len(id) + len(value) + 20)
	for _, piece := range [][]byte{[]byte(`{"id":`), id, []byte(`,"` + kind + `":`), value, []byte("}")} {
		b.Write(piece)
	}
	line := b.Bytes()
	for i, c := range line {
		if c == '\n' || c == '\r' {
			line[i] = ' '
		}
	}
	return o.writeData(append(line, '\n'))
}
