package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

// resultFlags are the output flags of call, task and read.
type resultFlags struct{ output, saveDir string }

func (f *resultFlags) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "output", Usage: "`FORM` text (default), json (the result as the server sent it) or raw (the bytes of the single content block)", Destination: &f.output},
		&cli.StringFlag{Name: "save-dir", Usage: "`DIR` save content blocks other than text in this folder", Destination: &f.saveDir},
	}
}

// A printer prints results in the form that the flags select.
type printer struct {
	*program
	form string   // text, json or raw
	dir  *saveDir // nil: no blocks are saved

	clean func(string) string // removes the secrets of the login from a text of the server
}

// newPrinter checks the flags and opens the folder of --save-dir. The caller must close the printer.
func (p *program) newPrinter(ctx context.Context, f resultFlags) (*printer, error) {
	if err := oneOf("--output", f.output, "text", "json", "raw"); err != nil {
		return nil, err
	}
	form := cmp.Or(f.output, "text")
	if p.out.json {
		if f.output != "" && f.output != "json" {
			return nil, usage("--json and --output " + f.output + " contradict each other")
		}
		form = "json"
	}
	dir, err := openSaveDir(ctx, f.saveDir)
	return &printer{program: p, form: form, dir: dir}, err
}

func (p *printer) Close() { p.dir.Close() }

// withPrinter calls work with a client and a printer. The client answers elicitation requests.
func (p *program) withPrinter(ctx context.Context, word string, f resultFlags, e elicitFlags, o flow.HandlerOptions, work func(*mcpclient.Client, *printer, server) error) error {
	answers, err := p.newElicitor(e)
	if err != nil {
		return err
	}
	results, err := p.newPrinter(ctx, f)
	if err != nil {
		return err
	}
	defer results.Close()
	return p.withServer(ctx, word, o, func(m *mcpclient.Client, s server) error {
		m.Elicit, results.clean = answers, m.Clean
		return work(m, results, s)
	})
}

// printAndForget prints a result and then deletes the stored record of the task. In this order, no result is lost if the process is killed.
func (p *printer) printAndForget(m *mcpclient.Client, r mcpclient.Result, tool string) error {
	if err := p.printResult(r, tool); err != nil {
		return err
	}
	if err := p.out.closeStdout(); err != nil {
		return err
	}
	m.ForgetTask(r.TaskID)
	if r.IsError {
		return &toolError{"the tool " + quote(tool) + " reported an error"}
	}
	return nil
}

// printResult prints a result in the requested form.
func (p *printer) printResult(r mcpclient.Result, tool string) error {
	switch p.form {
	case "json":
		if p.dir == nil {
			return p.out.writeRaw(r.Raw)
		}
		failed := p.saveBlocks(r, tool)
		return cmp.Or(p.out.writeRaw(r.Raw), failed)
	case "raw":
		return p.printRaw(r)
	}
	return p.printText(r, tool)
}

// printText prints the text blocks. If there are none, printText prints the structured content. saveBlocks handles all other blocks.
func (p *printer) printText(r mcpclient.Result, tool string) error {
	texts := 0
	for _, b := range r.Content {
		if b.Type != "text" {
			continue
		}
		texts++
		if err := p.out.writeText(b.Text); err != nil {
			return err
		}
	}
	if texts == 0 && len(r.Structured) > 0 && string(r.Structured) != "null" {
		if err := p.out.writeRaw(r.Structured); err != nil {
			return err
		}
	}
	return p.saveBlocks(r, tool)
}

// printRaw prints the bytes of the single content block.
func (p *printer) printRaw(r mcpclient.Result) error {
	if len(r.Content) != 1 {
		return unprintable(fmt.Sprintf("--output raw prints a single content block, but the result has %d", len(r.Content)))
	}
	b := r.Content[0]
	if b.Broken != nil {
		return p.brokenBlockError(b, 1)
	}
	if len(b.Data) > 0 {
		return p.out.writeData(b.Data)
	}
	return p.out.writeString(b.Text)
}

// brokenBlockError returns the error for a block that cannot be decoded.
func (p *printer) brokenBlockError(b mcpclient.Block, number int) error {
	return unprintable(fmt.Sprintf("block %d of the answer, %s, cannot be decoded: %v", number, describeBlock(b, p.clean), b.Broken))
}

// saveBlocks prints a note on stderr for each block that is not text, and saves the block if --save-dir is given. If a block cannot be
// decoded, saveBlocks still saves the others, and then returns the error.
func (p *printer) saveBlocks(r mcpclient.Result, tool string) error {
	var failed error
	for i, b := range r.Content {
		if b.Type == "text" && b.Broken == nil {
			continue
		}
		size := cmp.Or(len(b.Data), len(b.Text))
		switch {
		case b.Broken != nil:
			failed = cmp.Or(failed, p.brokenBlockError(b, i+1))
		case b.Type == "resource_link":
			p.out.printLimited("blocks", "block %d: %s: %s", i+1, describeBlock(b, p.clean), shortName(p.clean(b.URI), 3000))
		case p.dir == nil:
			p.out.printLimited("blocks", "block %d: %s, %d bytes: --save-dir DIR saves it", i+1, describeBlock(b, p.clean), size)
		default:
			data := b.Data
			if len(data) == 0 {
				data = []byte(b.Text)
			}
			file, err := p.dir.saveFile(p.clean(fileName(b, tool, i+1, p.clean)), data)
			if err != nil {
				return err
			}
			p.out.printLimited("blocks", "block %d: %s, %d bytes: %s", i+1, describeBlock(b, p.clean), size, file)
		}
	}
	return failed
}

// describeBlock returns the type, the media type and the name of a block, each like the name of a stranger. clean removes secrets. clean gets
// the whole text, because it recognizes some secrets only if they are complete. The caller prints the URI of a link, which can also be its name.
func describeBlock(b mcpclient.Block, clean func(string) string) string {
	if b.Type == "resource_link" && b.Name == b.URI {
		b.Name = ""
	}
	var words []string
	for _, s := range []string{b.Type, b.MIMEType, b.Name} {
		words = append(words, nameOrNone(clean(s), 120))
	}
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " ")
}
