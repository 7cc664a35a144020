package mcpclient

import (
	"strings"
	"testing"
	"time"
)

// The time to decode a block grows linearly with its size, even if the block contains thousands of nested resources.
func TestDecodeNestedResources(t *testing.T) {
	const depth = 9_000
	began := time.Now()
	b := decodeBlock([]byte(strings.Repeat(`{"type":"resource","resource":`, depth) + `{"text":"x"}` + strings.Repeat("}", depth)))
	if took := time.Since(began); b.Broken == nil || took > time.Second {
		t.Errorf("%v, %v", b.Broken, took)
	}
}

// decodeResult decodes every type of content and both alphabets of base64. It marks broken blocks and keeps Raw unchanged.
func TestDecodeResult(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		want      Block
		broken    bool
	}{
		{"text", `{"type":"text","text":"a\nb \u00e9"}`, Block{Type: "text", Text: "a\nb é"}, false},
		{"picture", `{"type":"image","mimeType":"image/png","data":"+/8="}`, Block{Type: "image", MIMEType: "image/png", Data: []byte{0xfb, 0xff}}, false},
		{"without padding", `{"type":"audio","data":"+/8"}`, Block{Type: "audio", Data: []byte{0xfb, 0xff}}, false},
		{"the alphabet of addresses", `{"type":"audio","data":"-_8="}`, Block{Type: "audio", Data: []byte{0xfb, 0xff}}, false},
		{"escaped", `{"type":"audio","data":"\u002b\/8="}`, Block{Type: "audio", Data: []byte{0xfb, 0xff}}, false},
		{"empty", `{"type":"image","data":""}`, Block{Type: "image", Data: []byte{}}, false},
		{"no base64", `{"type":"image","data":"*"}`, Block{Type: "image"}, true},
		{"an address in place of base64", `{"type":"image","data":"data:image/png;base64,AAAA"}`, Block{Type: "image"}, true},
		{"no data at all", `{"type":"audio","mimeType":"audio/wav"}`, Block{Type: "audio", MIMEType: "audio/wav"}, true},
		{"a resource of nothing", `{"type":"resource","resource":{"uri":"demo://a"}}`, Block{Type: "resource", URI: "demo://a"}, true},
		{"a text that is none", `{"type":"text","text":7}`, Block{Type: "text"}, true},
		{"no text", `{"type":"image","data":7}`, Block{Type: "image"}, true},
		{"resource of text", `{"type":"resource","resource":{"uri":"demo://a","mimeType":"text/plain","text":"x"}}`, Block{Type: "resource", URI: "demo://a", MIMEType: "text/plain", Text: "x"}, false},
		{"resource of bytes", `{"type":"resource","resource":{"uri":"demo://a","blob":"AA=="}}`, Block{Type: "resource", URI: "demo://a", Data: []byte{0}}, false},
		{"link", `{"type":"resource_link","name":"n","uri":"https://example.com/"}`, Block{Type: "resource_link", Name: "n", URI: "https://example.com/"}, false},
		{"what nobody knows yet", `{"type":"hologram","x":1}`, Block{Type: "hologram"}, false},
	} {
		raw := `{"_meta":{"a":1.0},"content":[` + tt.raw + `],"structuredContent":{"n":1.0},"isError":true}`
		r := decodeResult([]byte(raw))
		if len(r.Content) != 1 || string(r.Raw) != raw || string(r.Structured) != `{"n":1.0}` || !r.IsError {
			t.Fatalf("%s: %+v", tt.name, r)
		}
		got, want := r.Content[0], tt.want
		if got.Type != want.Type || got.Text != want.Text || got.MIMEType != want.MIMEType || got.Name != want.Name || got.URI != want.URI ||
			string(got.Data) != string(want.Data) || (got.Broken != nil) != tt.broken {
			t.Errorf("%s: %+v\nexpected %+v", tt.name, got, want)
		}
	}
}
