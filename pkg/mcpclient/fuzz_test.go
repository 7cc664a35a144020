package mcpclient

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A result stays as it came, and whatever is in its blocks is decoded or called broken.
func FuzzResult(f *testing.F) {
	f.Add([]byte(`{"content":[{"type":"text","text":"x"},{"type":"image","data":"aGk=","mimeType":"image/png"},{"type":"resource","resource":{"uri":"u","blob":"!"}}],"isError":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !valid(data) {
			return
		}
		r, err := decodeResult(data)
		if err != nil || !bytes.Equal(r.Raw, data) {
			t.Fatalf("%q: %v", data, err)
		}
		for _, b := range r.Content {
			if b.Broken != nil && b.Data != nil {
				t.Errorf("%q: a block is broken and has data", data)
			}
		}
	})
}

// Whatever the schema and the words, the arguments are one JSON object that holds what was given as JSON, or the error says which is wrong.
func FuzzArguments(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"array","items":{"type":"string"}}},"required":["a"]}`, `{"x":1}`, "a", "1", false)
	f.Add(`{"$ref":"#/$defs/x","$defs":{"x":{"$ref":"#/$defs/x"}}}`, "", "a.b.c", "[1]", true)
	f.Add(`{"anyOf":[{"properties":{"a":{"const":1}}}],"additionalProperties":false}`, `{"a":{"b":1}}`, "a.b", "x", false)
	f.Fuzz(func(t *testing.T, schema, object, name, value string, asJSON bool) {
		if !valid([]byte(schema)) {
			return // checked when the list of tools is read
		}
		args := Arguments{Object: json.RawMessage(object), Args: []Arg{{Name: name, Value: value, JSON: asJSON}}}
		for _, validate := range []bool{true, false} {
			got, err := args.build(Tool{Name: "t", InputSchema: json.RawMessage(schema)}, validate)
			var wrong *ArgumentError
			if err != nil && !errors.As(err, &wrong) {
				t.Fatalf("an error of another type: %v", err)
			}
			if err == nil && (!json.Valid(got) || !strings.HasPrefix(string(got), "{")) {
				t.Errorf("%q %q %q=%q: %q", schema, object, name, value, got)
			}
		}
	})
}

// A cache file, whoever wrote it, is read whole or not at all: what was read and written again reads the same.
func FuzzCache(f *testing.F) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	good := encodeCache(&memory{era: eraModern, version: "2026-07-28", learned: now, list: &toolList{pages: []json.RawMessage{[]byte(`{"tools":[]}`)}, received: now, ttl: time.Minute}}, "u")
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("[12]"), []byte("[99]"), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := decodeCache(data, "u", now)
		again := decodeCache(encodeCache(m, "u"), "u", now)
		if m.era != eraUnknown && !reflect.DeepEqual(m, again) {
			t.Errorf("%q: %+v, then %+v", data, m, again)
		}
		if m.list != nil && m.list.ttl > maxTTL {
			t.Errorf("%q: kept for %v", data, m.list.ttl)
		}
	})
}
