package main

import (
	"context"
	"encoding/json"
	"strings"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/callback"
	"mcpauth/pkg/mcpclient"
)

// elicitor answers the questions of a server as --elicit says: decline, defaults, or the file that holds the answers. Addresses are opened
// only with --elicit-urls. Either way the user is told what was asked.
func elicitor(p *program, how string, urls bool) (mcpclient.Elicitor, error) {
	policy := mcpclient.Policy{Report: p.asked}
	if urls {
		policy.Visit = p.visit
	}
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

// asked reports what the server asked, what it was answered, and how to answer otherwise.
func (p *program) asked(e mcpclient.Elicitation, a mcpclient.Answer) {
	p.out.note("%s asks: %s", e.Server, httpx.Text(e.Message, 500))
	switch {
	case a.Action == "accept":
		p.out.detail("answered: %s", a.Content)
	case e.Mode == "url":
		p.out.note("declined: it wants %s opened; call with --elicit-urls to do so", e.URL)
	default:
		p.out.note("declined: %s; --elicit defaults or --elicit @FILE answers by this schema: %s", a.Reason, e.Schema)
	}
}

// visit shows the whole address that the server wants opened, then opens it if a browser may be opened.
func (p *program) visit(ctx context.Context, e mcpclient.Elicitation) error {
	p.out.note("%s wants this address opened: %s", e.Server, httpx.Text(e.Message, 500))
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
