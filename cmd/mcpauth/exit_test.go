package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcpauth/internal/config"
	"mcpauth/internal/httpx"
	"mcpauth/pkg/callback"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/mcpclient"
	oauth "mcpauth/pkg/token"
)

// The table contains every exported error of every package.
func TestTableIsComplete(t *testing.T) {
	known := map[string]bool{}
	f, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				known[x.Name+"."+s.Sel.Name] = true
			}
		}
		return true
	})
	var exported []string
	for _, pattern := range []string{"../../pkg/*/*.go", "../../internal/config/*.go", "../../internal/httpx/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				exported = append(exported, exportedErrors(t, file)...)
			}
		}
	}
	if len(exported) < 30 {
		t.Fatalf("only %d exported errors found: the test looks in the wrong place", len(exported))
	}
	for _, name := range exported {
		if !known[name] {
			t.Errorf("%s is not in the table of exit.go", name)
		}
	}
}

// exportedErrors returns the variables ErrX and the types Error and XError of a file, with their package.
func exportedErrors(t *testing.T, file string) []string {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					if strings.HasPrefix(n.Name, "Err") && g.Tok == token.VAR {
						names = append(names, f.Name.Name+"."+n.Name)
					}
				}
			case *ast.TypeSpec:
				if ast.IsExported(spec.Name.Name) && strings.HasSuffix(spec.Name.Name, "Error") {
					names = append(names, f.Name.Name+"."+spec.Name.Name)
				}
			}
		}
	}
	return names
}

func TestExplain(t *testing.T) {
	wrap := func(err error) error { return &flow.StageError{Stage: "s", Err: fmt.Errorf("w: %w", err)} }
	for _, test := range []struct {
		name string
		err  error
		exit int
		code string
	}{
		{"flags", usage("x"), 2, "usage"},
		{"environment", &configError{message: "x"}, 2, "config"},
		{"configuration", &config.Error{}, 2, "config"},
		{"options", flow.ErrOptions, 2, "usage"},
		{"tool argument, compared with the list of the server", &mcpclient.ArgumentError{}, 3, "rpc_error"},
		{"stdout", &outputError{"stdout", &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}}, 1, "output"},
		{"bare code", callback.ErrBareCode, 2, "usage"},
		{"missing file", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}, 2, "config"},
		{"tool", &toolError{"x"}, 3, "tool_error"},
		{"server refuses the call", &mcpclient.RPCError{Code: -32602}, 3, "rpc_error"},
		{"login in another store", keystore.ErrElsewhere, 6, "keystore"},
		{"database away", &keystore.Error{Backend: keystore.Postgres, Err: keystore.ErrUnavailable}, 6, "keystore"},
		{"database refuses", &keystore.Error{Backend: keystore.Postgres, Err: keystore.ErrDenied}, 6, "keystore"},
		{"replica", keystore.ErrReadOnly, 6, "keystore"},
		{"no table", keystore.ErrNoTable, 6, "keystore"},
		{"database full", keystore.ErrFull, 6, "keystore"},
		{"old database", keystore.ErrTooOld, 6, "keystore"},
		{"parameter", keystore.ErrParameter, 6, "keystore"},
		{"search_path", keystore.ErrSearchPath, 6, "keystore"},
		{"pooler", keystore.ErrPooled, 6, "keystore"},
		{"no login", flow.ErrLoginRequired, 4, "login_required"},
		{"no refresh token", flow.ErrNoRefreshToken, 4, "login_required"},
		{"dead grant", fmt.Errorf("%w: %w", flow.ErrGrantRejected, &oauth.Error{Code: "invalid_grant", StatusCode: 400}), 4, "invalid_grant"},
		{"spent grant", flow.ErrMaybeSpent, 4, "invalid_grant"},
		{"scope", &flow.ScopeError{Scopes: []string{"a"}}, 4, "insufficient_scope"},
		{"audience", oauth.ErrAudience, 7, "security"},
		{"token endpoint as audience", &oauth.UnnamedIssuerError{}, 7, "security"},
		{"forbidden", flow.ErrForbidden, 4, "access_denied"},
		{"no answer", flow.ErrNoAnswer, 4, "auth_failed"},
		{"denied by the user", &callback.AuthorizationError{Code: "access_denied"}, 4, "access_denied"},
		{"denied otherwise", &callback.AuthorizationError{Code: "invalid_scope"}, 4, "auth_failed"},
		{"server trouble in the browser", &callback.AuthorizationError{Code: "temporarily_unavailable"}, 5, "server"},
		{"invalid_grant", &oauth.Error{Code: "invalid_grant", StatusCode: 401}, 4, "invalid_grant"},
		{"invalid_target", &oauth.Error{Code: "invalid_target", StatusCode: 400}, 4, "auth_failed"},
		{"token endpoint 503", &oauth.Error{StatusCode: 503}, 5, "server"},
		{"token endpoint 429", &oauth.Error{Code: "too_many_requests", StatusCode: 429}, 5, "server"},
		{"malformed token answer", oauth.ErrMalformed, 5, "protocol"},
		{"registration refused", &dcr.Error{StatusCode: 403}, 4, "auth_failed"},
		{"registration broken", &dcr.Error{StatusCode: 500}, 5, "server"},
		{"no client", dcr.ErrNoClient, 4, "auth_failed"},
		{"client unknown", fmt.Errorf("%w: %w", flow.ErrClientRejected, &oauth.Error{Code: "invalid_client", StatusCode: 401}), 4, "auth_failed"},
		{"mcp 401", &mcpclient.StatusError{StatusCode: 401}, 4, "login_required"},
		{"mcp 403", &mcpclient.StatusError{StatusCode: 403}, 4, "access_denied"},
		{"mcp 500", &mcpclient.StatusError{StatusCode: 500}, 5, "server"},
		{"mcp 404", &mcpclient.StatusError{StatusCode: 404}, 5, "protocol"},
		{"deadline", context.DeadlineExceeded, 5, "timeout"},
		{"refused connection", &url.Error{Op: "Get", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, 5, "network"},
		{"discovery", &discovery.Error{Stage: "x"}, 5, "discovery"},
		{"too large", httpx.ErrTooLarge, 5, "protocol"},
		{"locked keychain", &keystore.Error{Op: "get", Err: keystore.ErrLocked}, 6, "keystore"},
		{"unwritable store", keystore.ErrUnwritable, 6, "keystore"},
		{"other store trouble", &keystore.Error{Op: "get", Err: errors.New("x")}, 6, "keystore"},
		{"unreadable credential", flow.ErrCredential, 6, "keystore"},
		{"issuer", discovery.ErrIssuer, 7, "security"},
		{"resource", discovery.ErrResource, 7, "security"},
		{"wider resource", flow.ErrWiderResource, 7, "security"},
		{"pkce", discovery.ErrPKCE, 7, "security"},
		{"iss", callback.ErrIssuer, 7, "security"},
		{"state", callback.ErrState, 7, "security"},
		{"address", &url.Error{Op: "Get", Err: &httpx.AddressError{}}, 7, "security"},
		{"issuer changed", flow.ErrIssuerChanged, 7, "security"},
		{"anything else", errors.New("x"), 1, "internal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.err
			if test.exit != exitInternal {
				err = wrap(err)
			}
			if r := rowFor(err); r.exit != test.exit || r.code != test.code {
				t.Errorf("got %d %s, want %d %s", r.exit, r.code, test.exit, test.code)
			}
		})
	}
}

// Hints contain the server as the user typed it, quoted for a shell.
func TestHints(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{flow.ErrLoginRequired, "mcpauth login 'my server'"},
		{&flow.ScopeError{Scopes: []string{"a", "b"}}, "mcpauth login 'my server' --scope 'a b'"},
		{dcr.ErrNoClient, "mcpauth login 'my server' --client-id ID"},
		{discovery.ErrPKCE, "mcpauth login 'my server' --assume-pkce-s256"},
		{&oauth.Error{Code: "invalid_target"}, "mcpauth login 'my server' --no-resource"},
		{&mcpclient.ArgumentError{Tool: "add", Argument: "x"}, "mcpauth tools 'my server' add"},
		{&mcpclient.ArgumentError{Tool: "--config=x", Argument: "x"}, "mcpauth tools 'my server' -- --config=x"}, // a scope that begins with - is not a flag
		{&flow.ScopeError{Scopes: []string{"--strict"}}, "mcpauth login 'my server' --scope=--strict"},
	} {
		got := rowFor(test.err).hint(hintInput{server: "'my server'", err: test.err})
		if !strings.Contains(got, test.want) {
			t.Errorf("%v: hint %q lacks %q", test.err, got, test.want)
		}
	}
}

// With --json the error is one line of JSON, even if the message contains line breaks or control characters.
func TestFailure(t *testing.T) {
	var out, err strings.Builder
	o := newOutput(&out, &err, func(string) (string, bool) { return "", false })
	o.json = true
	o.writeError("usage", "a\x1b[31m <b>\n\"c\"", "h", 2)
	if want := `{"error":{"code":"usage","message":"a[31m <b> \"c\"","hint":"h","exit_code":2}}` + "\n"; err.String() != want || out.Len() > 0 {
		t.Errorf("got %q", err.String())
	}
	err.Reset()
	o.json = false
	o.writeError("usage", "bad", "do it well", 2)
	if want := "mcpauth: bad\nhint: do it well\n"; err.String() != want {
		t.Errorf("got %q", err.String())
	}
}
