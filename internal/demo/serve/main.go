// Command serve runs the server of package demo until it receives SIGINT or SIGTERM or, with -stdin, until its standard input ends. The
// first line on stdout is the URL of the MCP endpoint.
//
//	go run ./internal/demo/serve -ttl 60s
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mcpauth/internal/demo"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// options contains the values of the flags.
type options struct {
	demo.Options
	set, paths list
	clients    list
	certFile   string
	portFile   string
	stdin      bool
	interact   bool
	provider   bool
	ttl        time.Duration
}

// list is the value of a repeatable flag.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func flags(o *options, stderr io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.Addr, "addr", "127.0.0.1:0", "`address` to listen on; port 0 is a free one")
	f.StringVar(&o.Host, "host", "", "host `name` in addresses, such as localhost (default: that of -addr)")
	f.StringVar(&o.portFile, "port-file", "", "write the port number into this `file` when ready")
	f.StringVar(&o.Era, "era", "both", "`revision` of MCP: "+strings.Join(demo.Eras(), ", "))
	f.Var(&o.paths, "path", "`path` of an MCP endpoint; repeatable (default /mcp)")
	f.BoolVar(&o.JSON, "json", false, "answer MCP requests with JSON rather than event streams")
	f.BoolVar(&o.Resumable, "resumable", false, "let cut streams be resumed by Last-Event-ID (revisions with sessions)")
	f.StringVar(&o.IssuerPath, "issuer-path", "", "`path` of the issuer, such as /tenant1")
	f.BoolVar(&o.SeparateIssuer, "separate-issuer", false, "give the authorization server a port of its own")
	f.BoolVar(&o.TLS, "tls", false, "serve https, with a certificate made on the spot")
	f.StringVar(&o.certFile, "cert-file", "", "write that certificate into this `file`")
	f.Var(&o.clients, "client", "a client to know in advance, as `JSON`: client_id, client_secret, token_endpoint_auth_method, redirect_uris, jwk; repeatable")
	f.DurationVar(&o.ttl, "ttl", 0, "lifetime of access tokens (default 1h)")
	f.BoolVar(&o.interact, "interactive", false, "show a page with a button instead of approving at once")
	f.BoolVar(&o.provider, "provider", false, "start an identity provider for enterprise sign-in too; its issuer is the second line of output")
	f.Var(&o.set, "fault", "`words` for the server: a fault, a setting or an action; repeatable, see below")
	f.BoolVar(&o.stdin, "stdin", false, "stop when standard input ends, so that the server goes when its parent does")
	f.Usage = func() { usage(f, stderr) }
	return f
}

func usage(f *flag.FlagSet, w io.Writer) {
	fmt.Fprintln(w, "Serves OAuth and MCP on loopback, for trying and testing. Prints the address of the MCP endpoint.\n\nFlags:")
	f.PrintDefaults()
	fmt.Fprintf(w, "\nWords for -fault, and for http://ADDRESS/_demo/set?q=WORDS while it runs:\n\n%s", demo.Help())
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var o options
	if err := flags(&o, stderr).Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o.Paths, o.Settings.TTL, o.Settings.Interactive = o.paths, o.ttl, o.interact
	s, err := start(o)
	if err != nil {
		fmt.Fprintln(stderr, "serve:", err)
		return 2
	}
	defer s.Close()
	fmt.Fprintln(stdout, s.URL())
	if o.provider {
		p, err := demo.StartProvider(s, demo.Options{})
		if err != nil {
			fmt.Fprintln(stderr, "serve:", err)
			return 2
		}
		defer p.Close()
		fmt.Fprintln(stdout, p.Issuer())
	}
	if o.stdin {
		go func() { io.Copy(io.Discard, stdin); stop() }()
	}
	<-ctx.Done()
	return 0
}

// start starts the server and applies the flags.
func start(o options) (*demo.Server, error) {
	s, err := demo.Start(o.Options)
	if err != nil {
		return nil, err
	}
	if err := prepare(s, o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// prepare applies the flags to a running server. The port file is written last, because a script may send requests as soon as that file
// exists.
func prepare(s *demo.Server, o options) error {
	for _, text := range o.clients {
		var c demo.Client
		if err := json.Unmarshal([]byte(text), &c); err != nil || c.ID == "" {
			return fmt.Errorf("-client %s: expected JSON with client_id (%v)", text, err)
		}
		s.AddClient(c)
	}
	for _, words := range o.set {
		if err := s.Set(words); err != nil {
			return err
		}
	}
	if o.certFile != "" {
		if err := write(o.certFile, string(s.CertificatePEM())); err != nil {
			return err
		}
	}
	if o.portFile == "" {
		return nil
	}
	return write(o.portFile, s.Port()+"\n")
}

// write creates a file atomically, so that a process that waits for the file never reads a part of it.
func write(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".port-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
