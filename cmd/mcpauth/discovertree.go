// This file writes what discover found as a tree: the requests by stage, the checks, and what login would do. Every word of a server is made
// harmless first.

package main

import (
	"fmt"
	"strings"

	"mcpauth/pkg/flow"
)

// marks are the signs and colours that the words at the beginning of a line have on a terminal.
func marks(word string) (sign, colour string) {
	switch word {
	case "ok", "passed":
		return "✓", green
	case "no", "missing", "tolerated":
		return "!", yellow
	case "failed":
		return "✗", red
	}
	return " ", ""
}

// branch is a tree under way.
type branch struct {
	strings.Builder
	colour bool
}

// tree is the discovery for a person.
func tree(d flow.Discovery, colour bool) string {
	b := &branch{colour: colour}
	b.WriteString(harmless(d.URL) + "\n")
	stage := ""
	for _, a := range d.Attempts {
		if a.Stage != stage {
			stage = a.Stage
			b.heading(stage)
		}
		came := a.Outcome
		if a.Status != 0 {
			came = fmt.Sprint(a.Status, " ", came)
		}
		b.line(map[bool]string{true: "ok", false: "no"}[a.OK], a.Method+" "+a.URL)
		b.line("", came+": "+a.Meaning)
	}
	if len(d.Checks) > 0 {
		b.heading("checks")
	}
	for _, c := range d.Checks {
		words := c.Message
		if c.Section != "" {
			words += " (" + c.Section + ")"
		}
		b.line(string(c.State), words)
	}
	if d.Plan != nil {
		b.heading("login would")
		b.plan(d)
	}
	return b.String()
}

func (b *branch) heading(text string) {
	b.WriteString("\n" + paint(b.colour, bold, harmless(text)) + "\n")
}

// line writes a mark and a text; the texts stand under each other.
func (b *branch) line(mark, text string) {
	words := mark
	if sign, colour := marks(mark); b.colour {
		words = sign + " " + mark
		if colour != "" {
			words = paint(true, colour, words)
		}
	}
	fmt.Fprintf(b, "  %s%*s %s\n", words, 9-len(mark), "", strings.ReplaceAll(harmless(text), "\n", " "))
}

// plan says what login would do, in the words of its flags.
func (b *branch) plan(d flow.Discovery) {
	p := d.Plan
	for _, l := range []struct{ what, text string }{
		{"grant", string(p.Grant) + also(d.Grants, p.Grant)},
		{"client", clientWords(d)},
		{"scopes", orElse(strings.Join(p.Scopes, " "), "none named: the server chooses")},
		{"resource", orElse(p.Resource, "not sent")},
		{"tokens", map[bool]string{true: "bound to a key (DPoP)", false: "bearer tokens"}[p.DPoP]},
		{"quirks", strings.Join(p.Deviations, " ")},
	} {
		if l.text != "" {
			b.line(l.what, l.text)
		}
	}
}

// also names the other grants that are offered.
func also(grants []flow.Grant, chosen flow.Grant) string {
	var others []string
	for _, g := range grants {
		if g != chosen {
			others = append(others, "--grant "+string(g))
		}
	}
	if others == nil {
		return ""
	}
	return "; offered too: " + strings.Join(others, ", ")
}

// clientWords says who login would be.
func clientWords(d flow.Discovery) string {
	p := d.Plan
	switch {
	case p.Client == "" && p.Grant == flow.GrantJWTBearer:
		return "none: the assertion is enough"
	case p.Client == "":
		return "none to be"
	case p.ClientID == "":
		return fmt.Sprintf("registers itself at %s, authentication %s; a later login uses the same registration", d.Server.RegistrationEndpoint, p.AuthMethod)
	}
	return fmt.Sprintf("%s (%s), authentication %s", p.ClientID, strings.ReplaceAll(p.Client, "_", " "), p.AuthMethod)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
