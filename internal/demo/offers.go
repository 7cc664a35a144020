package demo

import (
	"context"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// addOffers adds the resources and prompts to the MCP server.
func addOffers(server *mcp.Server) {
	server.AddResource(&mcp.Resource{URI: "demo://notes/1", Name: "note", Title: "A note", MIMEType: "text/plain", Description: "A short text."},
		resource("text/plain", "a note\n", nil))
	server.AddResource(&mcp.Resource{URI: "demo://pictures/1.png", Name: "picture", MIMEType: "image/png", Description: "A small picture."},
		resource("image/png", "", picture(8)))
	server.AddResourceTemplate(&mcp.ResourceTemplate{URITemplate: "demo://greetings/{name}", Name: "greeting", Description: "Greets somebody by name."},
		func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			name := strings.TrimPrefix(r.Params.URI, "demo://greetings/")
			return contents(&mcp.ResourceContents{URI: r.Params.URI, MIMEType: "text/plain", Text: "hello, " + name}), nil
		})
	server.AddPrompt(&mcp.Prompt{Name: "review", Title: "Review", Description: "Asks for a review of a text.",
		Arguments: []*mcp.PromptArgument{{Name: "text", Description: "the text", Required: true}, {Name: "tone", Description: "how to say it"}}}, review)
}

// resource returns a handler for one resource, which contains either text or bytes.
func resource(kind, text string, data []byte) mcp.ResourceHandler {
	return func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return contents(&mcp.ResourceContents{URI: r.Params.URI, MIMEType: kind, Text: text, Blob: data}), nil
	}
}

func contents(c *mcp.ResourceContents) *mcp.ReadResourceResult {
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{c}}
}

func review(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	if _, ok := r.Params.Arguments["text"]; !ok {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "the argument text is missing"}
	}
	tone := orText(r.Params.Arguments["tone"], "friendly")
	return &mcp.GetPromptResult{Description: "A review", Messages: []*mcp.PromptMessage{
		{Role: "user", Content: &mcp.TextContent{Text: fmt.Sprintf("Review this text in a %s tone:", tone)}},
		{Role: "user", Content: &mcp.TextContent{Text: r.Params.Arguments["text"]}},
	}}, nil
}
