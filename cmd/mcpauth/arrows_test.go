package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows lists, for each package, the packages of this module that it may import. If you add an import, say why in the commit message.
func arrows() map[string]string {
	return map[string]string{
		// cmd imports discovery, dcr and token only for their errors, in exit.go and hint.go. cmd also imports callback to open the
		// browser. See fileArrows.
		"cmd/mcpauth":            "pkg/flow pkg/mcpclient pkg/mcpproxy pkg/keystore internal/config internal/httpx internal/toolargs pkg/discovery pkg/dcr pkg/callback pkg/token",
		"pkg/flow":               "pkg/discovery pkg/dcr pkg/pkce pkg/callback pkg/token pkg/keystore internal/httpx internal/task",
		"pkg/discovery":          "internal/httpx",
		"pkg/dcr":                "internal/httpx",
		"pkg/callback":           "internal/httpx",
		"pkg/token":              "internal/httpx",
		"pkg/mcpclient":          "internal/mcphttp internal/httpx internal/jsonscan internal/toolargs",
		"pkg/mcpproxy":           "internal/mcphttp internal/httpx internal/sse internal/jsonscan",
		"pkg/pkce":               "",
		"pkg/keystore":           "internal/httpx", // recognizes a secret in every encoding
		"internal/config":        "internal/httpx",
		"internal/httpx":         "",
		"internal/mcphttp":       "internal/httpx internal/sse internal/jsonscan",
		"internal/sse":           "",
		"internal/jsonscan":      "",
		"internal/task":          "",
		"internal/toolargs":      "internal/jsonscan",
		"internal/demo":          "",
		"internal/attack":        "internal/demo", // hostile servers; only tests import it
		"internal/demo/serve":    "internal/demo",
		"internal/demo/browser":  "internal/demo",
		"internal/demo/security": "",
	}
}

// fileArrows lists packages that only some files of cmd/mcpauth may import.
func fileArrows() map[string]string {
	return map[string]string{
		"mcpauth/pkg/discovery":             "exit.go hint.go discovertree.go", // hint.go has the hints of the table in exit.go
		"mcpauth/pkg/dcr":                   "exit.go",
		"mcpauth/pkg/token":                 "exit.go hint.go",
		"mcpauth/pkg/callback":              "exit.go hint.go client.go elicit.go",
		"github.com/olekukonko/tablewriter": "table.go",
	}
}

// third lists, for each third-party module, the packages that may import it.
func third() map[string]string {
	return map[string]string{
		"golang.org/x/oauth2":                    "pkg/token pkg/flow internal/mcphttp", // mcphttp needs a type that the SDK's interface auth.OAuthHandler uses
		"golang.org/x/sys":                       "pkg/keystore pkg/callback pkg/flow",  // flow opens a file without following a symbolic link
		"golang.org/x/term":                      "cmd/mcpauth",
		"github.com/godbus/dbus/v5":              "pkg/keystore", // keystore asks over D-Bus whether a Secret Service exists and is locked, without reading a secret
		"github.com/zalando/go-keyring":          "pkg/keystore",
		"github.com/gofrs/flock":                 "pkg/keystore internal/mcphttp", // mcphttp locks a file, so that processes that open a session at the same time store only one session
		"filippo.io/age":                         "pkg/keystore",
		"github.com/jackc/pgx/v5":                "pkg/keystore",
		"github.com/olekukonko/tablewriter":      "cmd/mcpauth",
		"github.com/mattn/go-runewidth":          "cmd/mcpauth", // cmd must measure the width of text as tablewriter does
		"github.com/urfave/cli/v2":               "cmd/mcpauth",
		"github.com/xrash/smetrics":              "internal/toolargs", // the similarity of names; urfave/cli needs the module too
		"github.com/go-jose/go-jose/v4":          "pkg/token internal/demo",
		"github.com/tailscale/hujson":            "internal/config",
		"github.com/modelcontextprotocol/go-sdk": "internal/mcphttp pkg/mcpclient pkg/mcpproxy pkg/flow internal/demo",
		"github.com/rogpeppe/go-internal":        "",
	}
}

// testsToo lists the modules that only tests of a package may import.
func testsToo() []string {
	return []string{"github.com/rogpeppe/go-internal", "github.com/modelcontextprotocol/go-sdk", "github.com/go-jose/go-jose/v4", "golang.org/x/oauth2", "filippo.io/age"}
}

type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestArrows(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./cmd/...", "./pkg/...", "./internal/...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed, dec := arrows(), json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, "mcpauth/")
		list, ok := allowed[name]
		if !ok {
			t.Errorf("%s is not on the map", name)
			continue
		}
		delete(allowed, name)
		for _, i := range p.Imports {
			checkArrow(t, name, i, strings.Fields(list), false)
		}
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			checkArrow(t, name, i, append(strings.Fields(list), "internal/demo", "internal/attack", name), true)
		}
	}
	for name := range allowed {
		t.Errorf("%s is on the map but not in the house", name)
	}
}

func checkArrow(t *testing.T, from, to string, ours []string, inTest bool) {
	if own, ok := strings.CutPrefix(to, "mcpauth/"); ok {
		if !slices.Contains(ours, own) {
			t.Errorf("%s imports %s (test: %v)", from, own, inTest)
		}
		return
	}
	if first, _, _ := strings.Cut(to, "/"); !strings.Contains(first, ".") {
		return // standard library
	}
	if to == "github.com/modelcontextprotocol/go-sdk/mcp" && from != "internal/demo" && !inTest {
		t.Errorf("%s imports the SDK's MCP client: internal/mcphttp is the only code that speaks MCP", from)
	}
	for module, users := range third() {
		if to == module || strings.HasPrefix(to, module+"/") {
			if !slices.Contains(strings.Fields(users), from) && !(inTest && slices.Contains(testsToo(), module)) {
				t.Errorf("%s imports %s (test: %v)", from, to, inTest)
			}
			return
		}
	}
	t.Errorf("%s imports %s, which is not on the map of modules", from, to)
}

func TestFileArrows(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			for prefix, where := range fileArrows() {
				if (path == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(path, prefix)) && !slices.Contains(strings.Fields(where), file) {
					t.Errorf("%s imports %s", file, path)
				}
			}
		}
	}
}

// Only exit.go may contain numbers of exit codes, and only main may call os.Exit.
func TestNobodyElseExits(t *testing.T) {
	for _, pattern := range []string{"*.go", "../../pkg/*/*.go", "../../internal/httpx/*.go", "../../internal/config/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || file == "main.go" {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range calls(f) {
				if call == "os.Exit" || call == "panic" || strings.HasPrefix(call, "log.Fatal") {
					t.Errorf("%s calls %s", file, call)
				}
			}
		}
	}
}

// calls returns the names of the functions that a file calls.
func calls(f *ast.File) []string {
	var names []string
	ast.Inspect(f, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch fun := c.Fun.(type) {
		case *ast.Ident:
			names = append(names, fun.Name)
		case *ast.SelectorExpr:
			if x, ok := fun.X.(*ast.Ident); ok {
				names = append(names, x.Name+"."+fun.Sel.Name)
			}
		}
		return true
	})
	return names
}

// The comments of the public packages and the pages for users of the packages name no function of an internal package, because "go doc" does
// not show it.
func TestPublicCommentsNameNothingInternal(t *testing.T) {
	files, err := filepath.Glob("../../pkg/*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.FileExports(f)
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.CommentGroup)
			for _, name := range []string{"httpx.", "mcphttp.", "toolargs.", "jsonscan."} {
				if ok && strings.Contains(c.Text(), name) {
					t.Errorf("%s: %s", file, strings.TrimSpace(c.Text()))
				}
			}
			return true
		})
	}
}

// The example programs connect to the URL to which the server redirects, because the handler refuses to send the token to another URL.
func TestExamplesAskForTheEndpoint(t *testing.T) {
	for _, file := range []string{"../../docs/library.md", "../../pkg/flow/flow.go", "../../pkg/flow/example_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "StreamableClientTransport{Endpoint: handler.Endpoint(ctx), OAuthHandler: handler}") {
			t.Errorf("%s does not use handler.Endpoint", file)
		}
	}
}
