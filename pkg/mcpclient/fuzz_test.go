package mcpclient

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"mcpauth/internal/jsonscan"
)

// decodeResult keeps the result unchanged, and decodes each block or marks it as broken.
func FuzzResult(f *testing.F) {
	f.Add([]byte(`{"content":[{"type":"text","text":"x"},{"type":"image","data":"aGk=","mimeType":"image/png"},{"type":"resource","resource":{"uri":"u","blob":"!"}}],"isError":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !jsonscan.Valid(data) {
			return
		}
		r := decodeResult(data)
		if !bytes.Equal(r.Raw, data) {
			t.Fatalf("%q became %q", data, r.Raw)
		}
		for _, b := range r.Content {
			if b.Broken != nil && b.Data != nil {
				t.Errorf("%q: a block is broken and has data", data)
			}
		}
	})
}

// decodeCache reads every file completely or not at all. A cache that is decoded, encoded and decoded again is the same.
func FuzzCache(f *testing.F) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	good := encodeCache(&cacheEntry{era: eraModern, version: "2026-07-28", eraTime: now, list: &toolList{names: []string{"a"}, defs: []json.RawMessage{[]byte(`{"name":"a"}`)}, received: now, ttl: time.Minute}}, "u")
	f.Add(good)
	f.Add(bytes.Replace(good, []byte(`{"a":12}`), []byte(`{"a":99}`), 1))
	f.Add([]byte(`{"format":3,"url":"u","era":"modern"}` + "\n" + `{"a":0}`)) // a definition without bytes is no JSON
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
