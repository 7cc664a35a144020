package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// tool is a tool of the MCP server.
type tool struct {
	name, title, description string
	input, output            string // JSON schemas; output may be empty
	readOnly, idempotent     bool
	run                      func(context.Context, call) (*mcp.CallToolResult, error)
}

// call is a call of a tool.
type call struct {
	*mcp.CallToolRequest
	s      *Server
	header http.Header // header of the HTTP request
}

// read decodes the arguments.
func (c call) read(v any) error {
	if len(c.Params.Arguments) == 0 {
		return nil
	}
	return json.Unmarshal(c.Params.Arguments, v)
}

// toolScopes returns the scopes that a tool needs in addition to those of every request.
func toolScopes(name string) []string {
	if name == "secret_note" {
		return []string{"notes:write"}
	}
	return nil
}

// newMCPServer returns a server of the SDK with all tools. Some transports do not pass the HTTP header with each call; for these, header is
// the header of the connection.
func (s *Server) newMCPServer(versions []string, header http.Header) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "mcpauth-demo", Title: "mcpauth demo", Version: "1"}, &mcp.ServerOptions{
		Instructions:              "A server for trying mcpauth. secret_note needs the scope notes:write, all else notes:read.",
		SupportedProtocolVersions: versions,
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}, Resources: &mcp.ResourceCapabilities{},
			Prompts: &mcp.PromptCapabilities{}, Extensions: map[string]any{tasksExtension: map[string]any{}}},
		SetCacheable: func(_ context.Context, _ mcp.Request, c *mcp.Cacheable) { c.TTLMs = s.Settings().toolsTTL() },
	})
	for _, t := range tools() {
		server.AddTool(t.describe(), s.handler(t, header))
	}
	addOffers(server)
	return server
}

func (t tool) describe() *mcp.Tool {
	no := false
	d := &mcp.Tool{Name: t.name, Title: t.title, Description: t.description, InputSchema: json.RawMessage(t.input),
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: t.readOnly, IdempotentHint: t.idempotent, DestructiveHint: &no, OpenWorldHint: &no}}
	if t.output != "" {
		d.OutputSchema = json.RawMessage(t.output)
	}
	return d
}

// handler counts the calls of a tool, and turns an error that the tool returns into a tool error.
func (s *Server) handler(t tool, header http.Header) mcp.ToolHandler {
	return func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		c := call{CallToolRequest: r, s: s, header: header}
		if r.Extra != nil && r.Extra.Header != nil {
			c.header = r.Extra.Header
		}
		s.count("tool/" + t.name)
		result, err := t.run(ctx, c)
		if err != nil {
			result = &mcp.CallToolResult{}
			result.SetError(err)
		}
		return result, nil
	}
}

func textResult(s string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}
}

// structured returns a result with a JSON value, both as structured content and as text.
func structured(v any) (*mcp.CallToolResult, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	result := textResult(string(data))
	result.StructuredContent = json.RawMessage(data)
	return result, nil
}

func runEcho(_ context.Context, c call) (*mcp.CallToolResult, error) {
	var in struct{ Text *string }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.Text == nil {
		return nil, errors.New("text is missing")
	}
	return textResult(*in.Text), nil
}

// runAdd adds integers of any size exactly, so that a test fails if a client converts them to floating point.
func runAdd(_ context.Context, c call) (*mcp.CallToolResult, error) {
	var in struct{ A, B json.RawMessage }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	a, okA := new(big.Int).SetString(string(in.A), 10)
	b, okB := new(big.Int).SetString(string(in.B), 10)
	if !okA || !okB {
		return nil, fmt.Errorf("a and b must be integers; they are %s and %s", orText(string(in.A), "missing"), orText(string(in.B), "missing"))
	}
	return structured(map[string]any{"sum": json.RawMessage(a.Add(a, b).String())})
}

func runPicture(_ context.Context, c call) (*mcp.CallToolResult, error) {
	in := struct{ Size int }{32}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.Size < 1 || in.Size > 512 {
		return nil, errors.New("size must be between 1 and 512")
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.ImageContent{Data: picture(in.Size), MIMEType: "image/png"}}}, nil
}

// picture returns a PNG with a gradient.
func picture(size int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			img.Set(x, y, color.RGBA{uint8(255 * x / size), uint8(255 * y / size), 160, 255})
		}
	}
	var b bytes.Buffer
	png.Encode(&b, img) // png.Encode does not fail, because it writes to memory
	return b.Bytes()
}

func runSlow(ctx context.Context, c call) (*mcp.CallToolResult, error) {
	in := struct {
		Steps int
		Delay int `json:"delay_ms"`
	}{5, 100}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	token := c.Params.GetProgressToken()
	for i := 1; i <= in.Steps; i++ {
		c.s.pause(ctx, time.Duration(in.Delay)*time.Millisecond)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if token != nil {
			c.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(i), Total: float64(in.Steps),
				Message: fmt.Sprintf("step %d of %d", i, in.Steps)})
		}
	}
	return textResult(fmt.Sprintf("done after %d steps", in.Steps)), nil
}

func runFail(_ context.Context, c call) (*mcp.CallToolResult, error) {
	in := struct{ Message string }{"this tool always fails"}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	return nil, errors.New(in.Message)
}

func runSecretNote(_ context.Context, c call) (*mcp.CallToolResult, error) {
	in := struct{ Text string }{"the wider scope was granted"}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	return textResult("noted: " + in.Text), nil
}

// runHeaders returns the headers of the request, so that a test can check which headers the server receives.
func runHeaders(_ context.Context, c call) (*mcp.CallToolResult, error) {
	seen := map[string]string{}
	for name, values := range c.header {
		value := strings.Join(values, ", ")
		switch name {
		case "Authorization":
			value, _, _ = strings.Cut(value, " ")
			value += " [redacted]"
		case "Dpop":
			value = "[redacted]"
		}
		seen[name] = value
	}
	return structured(map[string]any{"headers": seen})
}

func runWhoami(_ context.Context, c call) (*mcp.CallToolResult, error) {
	scheme, token, _ := strings.Cut(c.header.Get("Authorization"), " ")
	a, g, ok := c.s.introspect(token)
	if !ok {
		return structured(map[string]any{"subject": "", "scopes": []string{}, "generation": 0})
	}
	return structured(map[string]any{"subject": g.subject, "scopes": a.scopes, "generation": a.generation, "client_id": g.client,
		"resource": g.resource, "grant": g.kind, "scheme": scheme, "expires_at": a.expires.UTC().Format(time.RFC3339)})
}

// runAsk asks the user a question. In 2026-07-28, the question is a multi round-trip result. For earlier revisions, the SDK converts the
// multi round-trip result to an elicitation/create request.
func runAsk(_ context.Context, c call) (*mcp.CallToolResult, error) {
	var in struct{ URL string }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	answer, ok := c.Params.InputResponses["who"].(*mcp.ElicitResult)
	if !ok && in.URL != "" {
		return &mcp.CallToolResult{RequestState: "asked", InputRequests: mcp.InputRequestMap{"who": &mcp.ElicitParams{Mode: "url",
			Message: "Sign in at our partner.", URL: in.URL, ElicitationID: "1"}}}, nil
	}
	if !ok {
		return &mcp.CallToolResult{RequestState: "asked", InputRequests: mcp.InputRequestMap{"who": &mcp.ElicitParams{Mode: "form",
			Message: "Who are you, and how many are you?", RequestedSchema: json.RawMessage(askSchema)}}}, nil
	}
	return structured(map[string]any{"action": answer.Action, "content": answer.Content, "state": c.Params.RequestState})
}

func runBig(_ context.Context, c call) (*mcp.CallToolResult, error) {
	in := struct{ Bytes int }{1000}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.Bytes < 0 || in.Bytes > 64<<20 {
		return nil, errors.New("bytes must be between 0 and 67108864")
	}
	return textResult(strings.Repeat("0123456789", in.Bytes/10+1)[:in.Bytes]), nil
}

func runGallery(_ context.Context, c call) (*mcp.CallToolResult, error) {
	in := struct{ Kind string }{"all"}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	result := &mcp.CallToolResult{}
	for _, item := range gallery() {
		if in.Kind == "all" || in.Kind == item.kind {
			result.Content = append(result.Content, item.block)
		}
	}
	if len(result.Content) == 0 {
		return nil, fmt.Errorf("kind %q is not known: all, text, image, audio, resource, blob, link", in.Kind)
	}
	return result, nil
}
