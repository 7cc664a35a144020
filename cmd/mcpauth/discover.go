package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
)

func discoverCommand(p *program) *cli.Command {
	var o loginOptions // discover has some of the flags of login
	return &cli.Command{
		Name: "discover", ArgsUsage: "URL",
		Usage: "show how a server authorizes clients, and what login would do",
		UsageText: "mcpauth discover https://mcp.example.com/mcp\n" +
			"mcpauth discover https://mcp.example.com/mcp --json | jq .login\n" +
			"mcpauth discover https://mcp.example.com/mcp --strict",
		Description: "discover sends the requests that login sends before the browser opens. discover\n" +
			"changes nothing on the server or on this machine. If login cannot work, the exit\n" +
			"code is 5.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "strict", Usage: "treat every deviation from the specifications as an error", Destination: &o.settings.Strict},
			&cli.StringSliceFlag{Name: "scope", Usage: "`SCOPE` same as login --scope", Destination: &o.scopes, Action: checkScopeFlag},
			&cli.StringFlag{Name: "issuer", Usage: "`URL` same as login --issuer", Destination: &o.settings.Issuer},
			&cli.StringFlag{Name: "grant", Usage: "`GRANT` same as login --grant", Destination: (*string)(&o.settings.Grant)},
			&cli.StringFlag{Name: "client-id", Usage: "`ID` same as login --client-id", Destination: &o.settings.ClientID},
			&cli.StringFlag{Name: "client-metadata-url", Usage: "`URL` same as login --client-metadata-url", Destination: &o.settings.ClientMetadataURL},
			&cli.BoolFlag{Name: "assume-pkce-s256", Usage: "same as login --assume-pkce-s256", Destination: &o.settings.AssumePKCES256},
		},
		Action: oneServer(func(ctx context.Context, word string) error { return runDiscover(ctx, p, word, o) }),
	}
}

// discoverDocument is the output of discover --json. discover prints this document even if login cannot work.
type discoverDocument struct {
	flow.Discovery
	Works bool            `json:"works"` // whether login would reach the browser
	Error json.RawMessage `json:"error"` // the error that is also on stderr, or null
}

func runDiscover(ctx context.Context, p *program, word string, o loginOptions) error {
	t, err := p.discoverTarget(ctx, word, o)
	if err != nil {
		return err
	}
	c, err := p.loginClient()
	if err != nil { // discovery works without a store
		hc, err := p.httpClient()
		if err != nil {
			return err
		}
		c = &flow.Client{HTTP: hc, Report: loginDialogue{program: p}.printEvent}
	}
	o.flow.IssuerGiven = o.settings.Issuer != ""
	d, failed := c.Discover(ctx, t, o.flow)
	if failed != nil {
		failed = &unworkableError{failed}
	}
	if err := p.printDiscovery(d, errorAt(server{word: word}, failed)); err != nil {
		return err
	}
	return failed
}

// discoverTarget returns the server with the settings that login would use. If word is a URL, discoverTarget needs no store.
func (p *program) discoverTarget(ctx context.Context, word string, o loginOptions) (flow.Target, error) {
	var t flow.Target
	err := o.checkFlags()
	if err != nil {
		return t, err
	}
	s, err := p.resolveServer(ctx, word, needAll)
	t = s.target
	if err != nil && strings.Contains(word, "://") {
		if t, err = serverURL(word); err == nil {
			err = p.applyGlobals(&t)
		}
	}
	if err != nil {
		return t, err
	}
	o.applyTo(&t)
	return t, nil
}

// printDiscovery prints the steps of a discovery. failed is the error that ended the discovery, or nil.
func (p *program) printDiscovery(d flow.Discovery, failed error) error {
	if p.out.json {
		doc := discoverDocument{Discovery: d, Works: failed == nil}
		if failed != nil {
			r := rowFor(failed)
			doc.Error = p.out.errorJSON(r.code, failed.Error(), p.hintFor(r, failed), r.exit)
		}
		return p.out.writeDocument(doc)
	}
	return p.out.write([]byte(p.out.mask(discoveryTree(d, p.out.outColour))))
}
