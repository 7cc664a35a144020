package jsonscan

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Valid, Members and Elements give the same result as encoding/json.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e-3,{"b":null}],"a":"\u00e9\\"}`, `"\ud800"`, "[1,]", `{"a" : 1 , }`, "01", "{\"a\":\x01}", `{"":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Valid(data) != json.Valid(data) {
			t.Fatalf("Valid(%q) is %v", data, Valid(data))
		}
		var object map[string]json.RawMessage
		if !Valid(data) || json.Unmarshal(data, &object) != nil {
			return
		}
		for name, want := range object {
			if got := Member(data, name); !bytes.Equal(got, bytes.TrimSpace(want)) {
				t.Errorf("member %q of %q is %q, want %q", name, data, got, want)
			}
		}
		for name := range Members(data) {
			if _, ok := object[name]; !ok {
				t.Errorf("member %q of %q is not there", name, data)
			}
		}
	})
}
