package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/callback"
	"mcpauth/pkg/mcpclient"
)

// maxVisits is the largest number of URLs that one command opens at the request of a server.
const maxVisits = 20

// elicitFlags are the flags that determine the answers to elicitation requests.
type elicitFlags struct {
	elicit     string // decline (default), defaults, or @FILE with the answers
	elicitURLs bool
}

func (f *elicitFlags) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "elicit", Usage: "`HOW` how to answer elicitation requests: decline (default), defaults, or @FILE", Destination: &f.elicit},
		&cli.BoolFlag{Name: "elicit-urls", Usage: "open the URLs that the server asks the user to open, after printing each URL", Destination: &f.elicitURLs},
	}
}

// newElicitor returns a function that answers elicitation requests according to the flags, and prints the first requests on stderr.
func (p *program) newElicitor(f elicitFlags) (mcpclient.Elicitor, error) {
	policy := mcpclient.Policy{Report: p.printQuestion}
	if f.elicitURLs {
		var visits atomic.Int32
		policy.Visit = func(ctx context.Context, e mcpclient.Elicitation) error {
			if visits.Add(1) > maxVisits {
				return &protocolError{message: fmt.Sprintf("the server asks to open more than %d URLs", maxVisits)}
			}
			return p.visitURL(ctx, e)
		}
	}
	how := f.elicit
	file, isFile := strings.CutPrefix(how, "@")
	switch {
	case isFile:
		text, err := readText("--elicit", file)
		if err != nil {
			return nil, err
		}
		if err := checkObject("--elicit", text); err != nil {
			return nil, err
		}
		policy.Values = json.RawMessage(text)
	case how == "defaults":
		policy.Defaults = true
	case how != "" && how != "decline":
		return nil, usage("--elicit is decline, defaults or @FILE; not " + quote(how))
	}
	return policy.Elicit, nil
}

// maxSchema is the limit of a schema that is printed without --verbose, in bytes.
const maxSchema = 1 << 10

// printQuestion prints an elicitation request, the answer, and the flag that would change the answer. Escape sequences are removed, because they
// could make a URL in the message clickable (MCP elicitation, "Safe URL Handling").
func (p *program) printQuestion(e mcpclient.Elicitation, a mcpclient.Answer) {
	if !p.out.isOneOfFirst("questions") {
		return
	}
	p.out.printNote("%s asks: %s", e.Server, httpx.Text(e.Message, 500))
	switch {
	case a.Action == "accept":
		var members map[string]json.RawMessage // the values may be secret, so only the names are printed
		_ = json.Unmarshal(a.Content, &members)
		p.out.printDetail("answered: %s", strings.Join(convert(slices.Sorted(maps.Keys(members)), foreignName), ", "))
	case e.Mode == "url":
		p.out.printNote("declined to open %s; call with --elicit-urls to open it", shortName(e.URL, 3000))
	case len(e.Schema) > maxSchema && !p.out.verbose:
		p.out.printNote("declined: %s; --elicit defaults or --elicit @FILE answers; --verbose shows the schema", a.Reason)
	default:
		p.out.printNote("declined: %s; --elicit defaults or --elicit @FILE answers by this schema: %s", a.Reason, e.Schema)
	}
}

// visitURL prints the URL that the server asks to open, and then opens the URL if a browser may be used.
func (p *program) visitURL(ctx context.Context, e mcpclient.Elicitation) error {
	p.out.printNote("%s asks you to open this address: %s", e.Server, httpx.Text(e.Message, 500))
	p.out.printLine(foldLine(e.URL))
	command, ok := p.chooseBrowser("", false)
	if !ok {
		return nil
	}
	if err := callback.Open(ctx, command, e.URL, p.childEnvironment(os.Environ(), nil)...); err != nil {
		p.out.printWarning("%v", err)
	}
	return nil
}
