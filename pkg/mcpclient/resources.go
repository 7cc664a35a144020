package mcpclient

import (
	"context"
	"encoding/json"

	"mcpauth/internal/jsonscan"
)

// Resource is a resource of a server, or a template for the URIs of several resources. The texts of a Resource come from the server and are
// not safe to print.
type Resource struct {
	URI                      string // URI of the resource; if Template is true, a URI template with variables such as {name} (RFC 6570)
	Template                 bool
	Name, Title, Description string
	MIMEType                 string
}

// ResourceList contains all resources and templates of a server.
type ResourceList struct {
	Raw       json.RawMessage // {"resources":[…],"resourceTemplates":[…]} with the entries as sent, all pages
	Resources []Resource
}

// Resources returns the resources and templates of the server. The list is empty if the server does not support resources.
func (c *Client) Resources(ctx context.Context) (ResourceList, error) {
	raw, err := c.fetchLists(ctx, ".resources", resourceLists)
	return ResourceList{Raw: raw, Resources: parseResources(raw)}, err
}

var resourceLists = []listSpec{{"resources/list", "resources", "uri", "resource"},
	{"resources/templates/list", "resourceTemplates", "uriTemplate", "resource template"}}

// KnownResources returns the cached resources and templates of this login. No request is sent, and no credential is read.
func (c *Client) KnownResources() []Resource { return parseResources(c.keptList(".resources")) }

func parseResources(raw json.RawMessage) []Resource {
	var out []Resource
	for _, l := range resourceLists {
		for e := range jsonscan.Elements(jsonscan.Member(raw, l.member)) {
			out = append(out, parseResource(e, l.key))
		}
	}
	return out
}

func parseResource(raw json.RawMessage, key string) Resource {
	text := func(name string) string { return jsonscan.Unquote(jsonscan.Member(raw, name)) }
	return Resource{URI: text(key), Template: key == "uriTemplate", Name: text("name"), Title: text("title"), Description: text("description"),
		MIMEType: text("mimeType")}
}

// Read reads a resource. The result has a block of type text for each text, and a block of type resource for binary contents.
func (c *Client) Read(ctx context.Context, uri string) (Result, error) {
	if err := c.prepare(ctx); err != nil {
		return Result{}, err
	}
	raw, err := c.requestResult(ctx, "resource", uri, requestSpec{method: "resources/read", members: append([]byte(`"uri":`), jsonscan.Quote(uri)...), idempotent: true})
	if err != nil {
		return Result{}, c.asUnknownError(ctx, "resource", uri, err)
	}
	r := Result{Raw: raw}
	for e := range jsonscan.Elements(jsonscan.Member(raw, "contents")) {
		if len(r.Content) == maxListed {
			return Result{}, c.tooMany("contents")
		}
		b := decodeBlock(e)
		if b.Type = "text"; jsonscan.Member(e, "text") == nil {
			b.Type = "resource"
		}
		r.Content = append(r.Content, b)
	}
	return r, nil
}
