// This file says how call answers the questions that a server asks during it.

package main

import (
	"context"
	"encoding/json"
	"strings"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/callback"
	"mcpauth/pkg/mcpclient"
)

// elicitor reads --elicit: decline, defaults, or the file that holds the answers. Whatever is chosen, the user is told what was asked.
func elicitor(p *program, how string) (mcpclient.Elicitor, error) {
	policy := mcpclient.Policy{Visit: p.visit, Report: p.asked}
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
	default:
		policy.Visit = nil
	}
	return policy.Elicit, nil
}

// asked tells what the server asked, what it was answered, and how to answer otherwise.
func (p *program) asked(e mcpclient.Elicitation, a mcpclient.Answer) {
	p.out.note("the server asks: %s", httpx.Text(e.Message, 500))
	switch {
	case a.Action == "accept":
		p.out.detail("answered: %s", a.Content)
	case e.Mode == "url":
		p.out.note("declined; to answer it, open %s, and call with --elicit defaults", e.URL)
	default:
		p.out.note("declined: %s; --elicit defaults or --elicit @FILE answers by this schema: %s", a.Reason, e.Schema)
	}
}

// visit shows the address that the server wants opened, and opens it where a browser may be.
func (p *program) visit(ctx context.Context, e mcpclient.Elicitation) error {
	p.out.note("open this address to answer the server:")
	p.out.say(harmless(e.URL))
	command, ok := p.browser("", false)
	if !ok {
		return nil
	}
	if err := callback.Open(ctx, command, e.URL, p.secrets...); err != nil {
		p.out.warn("%v", err)
	}
	return nil
}
