package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
)

// discover prints a tree that contains the connection, the requests of each stage, the checks, and what login would do.

// signs contains, for the first word of a line, the sign that a terminal shows before the word, and the colour of the word.
func signs() map[string][2]string {
	good, fair, bad := [2]string{"✓", green}, [2]string{"!", yellow}, [2]string{"✗", red}
	return map[string][2]string{"ok": good, "passed": good, "no": fair, "missing": fair, "tolerated": fair, "failed": bad}
}

// treeWriter builds the output of discover.
type treeWriter struct {
	strings.Builder
	colour bool
}

func discoveryTree(d flow.Discovery, colour bool) string {
	b := &treeWriter{colour: colour}
	b.WriteString(removeControls(d.URL) + "\n")
	if d.Connection != nil {
		b.writeHeading("connection")
		b.writeConnection(*d.Connection, strings.HasPrefix(d.URL, "https:"))
	}
	stage := ""
	for _, a := range d.Attempts {
		if a.Stage != stage {
			stage = a.Stage
			b.writeHeading(stage)
		}
		came := a.Outcome
		if a.Status != 0 {
			came = fmt.Sprint(a.Status, " ", came)
		}
		b.writeLine(map[bool]string{true: "ok", false: "no"}[a.OK], a.Method+" "+foreignName(a.URL))
		b.writeLine("", inert(came+": "+a.Meaning))
	}
	if len(d.Checks) > 0 {
		b.writeHeading("checks")
	}
	for _, c := range d.Checks {
		words := c.Message
		if c.Section != "" {
			words += " (" + c.Section + ")"
		}
		b.writeLine(string(c.State), inert(words))
	}
	if d.Plan != nil {
		b.writeHeading("login would")
		b.writePlan(d)
	}
	return b.String()
}

// writeConnection writes the results of the name resolution, the connection and the TLS handshake.
func (b *treeWriter) writeConnection(c discovery.Connection, secure bool) {
	if c.Proxy != "" {
		b.writeLine("", "through the proxy "+c.Proxy+" (HTTPS_PROXY, NO_PROXY)")
	}
	switch {
	case c.Name != "" && len(c.Addresses) == 0:
		b.writeLine("failed", "the name "+c.Name+" has no address")
		return
	case c.Name != "":
		b.writeLine("ok", c.Name+" has the addresses "+strings.Join(c.Addresses, ", "))
	}
	if c.Remote == "" {
		b.writeLine("failed", "no connection")
		return
	}
	b.writeLine("ok", "connected to "+c.Remote)
	switch t := c.TLS; {
	case !secure:
	case t == nil:
		b.writeLine("failed", "TLS: the server sent no certificate")
	default:
		names := strings.Join(convert(t.Names, foreignName), ", ")
		words := fmt.Sprintf("certificate for %s, issued by %s, valid until %s", cmp.Or(names, subject(t.Subject)), subject(t.Issuer), t.NotAfter.Format(time.DateOnly))
		if t.Version == "" {
			b.writeLine("failed", "TLS: "+words+"; not signed by a trusted certificate authority")
			return
		}
		b.writeLine("ok", t.Version+", "+words+"; signed by "+subject(t.Root))
	}
}

// subject returns the name of the owner of a certificate, such as "CN=R11,O=Let's Encrypt,C=US". A name that a shell would expand is quoted.
func subject(name string) string {
	if strings.ContainsAny(name, "$`;|&<>!") {
		return foreignName(name)
	}
	return name
}

func (b *treeWriter) writeHeading(text string) {
	b.WriteString("\n" + paint(b.colour, bold, removeControls(text)) + "\n")
}

// writeLine writes a line that begins with mark. All texts begin in the same column.
func (b *treeWriter) writeLine(mark, text string) {
	words := mark
	if s := signs()[mark]; b.colour {
		words = cmp.Or(s[0], " ") + " " + mark
		if s[1] != "" {
			words = paint(true, s[1], words)
		}
	}
	fmt.Fprintf(b, "  %s%*s %s\n", words, 9-len(mark), "", foldLine(text))
}

func (b *treeWriter) writePlan(d flow.Discovery) {
	p := d.Plan
	for _, l := range []struct{ what, text string }{
		{"grant", string(p.Grant) + otherGrants(d.Grants, p.Grant)},
		{"client", describeClient(d)},
		{"scopes", cmp.Or(strings.Join(convert(p.Scopes, foreignName), " "), "not requested: the server chooses")},
		{"resource", cmp.Or(p.Resource, "not sent")},
		{"tokens", map[bool]string{true: "bound to a key (DPoP)", false: "bearer tokens"}[p.DPoP]},
		{"callback", p.RedirectURI + map[bool]string{true: " on a free port"}[strings.HasSuffix(p.RedirectURI, "://127.0.0.1/callback") || strings.HasSuffix(p.RedirectURI, "://localhost/callback")]},
		{"quirks", strings.Join(p.Deviations, " ")},
	} {
		if l.text != "" {
			b.writeLine(l.what, l.text)
		}
	}
}

// otherGrants names the grants that the server offers in addition to the chosen grant.
func otherGrants(grants []flow.Grant, chosen flow.Grant) string {
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

// describeClient describes the OAuth client that login would use.
func describeClient(d flow.Discovery) string {
	p := d.Plan
	switch {
	case p.Client == "" && p.Grant == flow.GrantJWTBearer:
		return "none: the assertion is enough"
	case p.Client == "":
		return "none available"
	case p.ClientID == "":
		return fmt.Sprintf("registers itself at %s, authentication %s; a later login uses the same registration", foreignName(d.Server.RegistrationEndpoint), p.AuthMethod)
	}
	return fmt.Sprintf("%s (%s), authentication %s", p.ClientID, strings.ReplaceAll(p.Client, "_", " "), p.AuthMethod)
}
