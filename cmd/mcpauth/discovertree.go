package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
)

// discover prints a tree: the connection, the requests of each stage, the checks, and what login would do.

// marks returns the sign and the colour that a terminal shows for the first word of a line.
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

// branch builds the output of discover.
type branch struct {
	strings.Builder
	colour bool
}

// tree returns the text that discover prints.
func tree(d flow.Discovery, colour bool) string {
	b := &branch{colour: colour}
	b.WriteString(harmless(d.URL) + "\n")
	if d.Connection != nil {
		b.heading("connection")
		b.connection(*d.Connection, strings.HasPrefix(d.URL, "https:"))
	}
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

// connection writes the results of name resolution, connection and TLS handshake.
func (b *branch) connection(c discovery.Connection, secure bool) {
	if c.Proxy != "" {
		b.line("", "through the proxy "+c.Proxy+" (HTTPS_PROXY, NO_PROXY)")
	}
	switch {
	case c.Name != "" && len(c.Addresses) == 0:
		b.line("failed", "the name "+c.Name+" has no address")
		return
	case c.Name != "":
		b.line("ok", c.Name+" has the addresses "+strings.Join(c.Addresses, ", "))
	}
	if c.Remote == "" {
		b.line("failed", "no connection")
		return
	}
	b.line("ok", "connected to "+c.Remote)
	switch t := c.TLS; {
	case !secure:
	case t == nil:
		b.line("failed", "TLS: the server sent no certificate")
	default:
		words := fmt.Sprintf("certificate for %s, issued by %s, valid until %s", cmp.Or(strings.Join(t.Names, ", "), t.Subject), t.Issuer, t.NotAfter.Format(time.DateOnly))
		if t.Version == "" {
			b.line("failed", "TLS: "+words+"; not signed by a trusted certificate authority")
			return
		}
		b.line("ok", t.Version+", "+words+"; signed by "+t.Root)
	}
}

func (b *branch) heading(text string) {
	b.WriteString("\n" + paint(b.colour, bold, harmless(text)) + "\n")
}

// line writes a mark and a text. All texts begin in the same column.
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

// plan writes what login would do.
func (b *branch) plan(d flow.Discovery) {
	p := d.Plan
	for _, l := range []struct{ what, text string }{
		{"grant", string(p.Grant) + also(d.Grants, p.Grant)},
		{"client", clientWords(d)},
		{"scopes", cmp.Or(strings.Join(p.Scopes, " "), "not requested: the server chooses")},
		{"resource", cmp.Or(p.Resource, "not sent")},
		{"tokens", map[bool]string{true: "bound to a key (DPoP)", false: "bearer tokens"}[p.DPoP]},
		{"callback", p.RedirectURI + map[bool]string{true: " on a free port"}[strings.HasSuffix(p.RedirectURI, "://127.0.0.1/callback") || strings.HasSuffix(p.RedirectURI, "://localhost/callback")]},
		{"quirks", strings.Join(p.Deviations, " ")},
	} {
		if l.text != "" {
			b.line(l.what, l.text)
		}
	}
}

// also returns the other grants that the server offers.
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
	return "; also offered: " + strings.Join(others, ", ")
}

// clientWords describes the client that login would use.
func clientWords(d flow.Discovery) string {
	p := d.Plan
	switch {
	case p.Client == "" && p.Grant == flow.GrantJWTBearer:
		return "none: the assertion is enough"
	case p.Client == "":
		return "none available"
	case p.ClientID == "":
		return fmt.Sprintf("registers itself at %s, authentication %s; a later login uses the same registration", d.Server.RegistrationEndpoint, p.AuthMethod)
	}
	return fmt.Sprintf("%s (%s), authentication %s", p.ClientID, strings.ReplaceAll(p.Client, "_", " "), p.AuthMethod)
}
