package httpx

import (
	"strings"
	"testing"
)

func TestUniqueFields(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		ok       bool
	}{
		{"object", `{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}`, true},
		{"duplicate", `{"issuer":"a","issuer":"b"}`, false},
		{"duplicate by escape", `{"issuer":"a","\u0069ssuer":"b"}`, false},
		{"duplicate below", `{"a":[{"b":1,"b":2}]}`, false},
		{"truncated", `{"a":1`, false},
		{"two values", `{} {}`, false},
		{"byte order mark", "\ufeff{}", false},
		{"deep", strings.Repeat("[", 65) + strings.Repeat("]", 65), false},
		{"deep enough", strings.Repeat("[", 64) + strings.Repeat("]", 64), true},
		{"empty", ``, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := UniqueFields([]byte(tt.in)); (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}

// DecodeMembers matches names exactly. If names were matched without regard to case, two parsers could use different endpoints of the same
// metadata.
func TestDecodeMembers(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		ok       bool
	}{
		{`{"token":"a"}`, "a", true},
		{`{"token":"a","Token":"b","TOKEN":"c"}`, "a", true},
		{`{"Token":"b"}`, "", true},
		{`{"to\u212Aen":"b","token":"a"}`, "a", true}, // if case is ignored, the Kelvin sign equals k
		{`{"token":"a","token":"b"}`, "", false},
		{`["token"]`, "", false},
		{`null`, "", false},
		{`{"token":1}`, "", false},
	} {
		var v struct {
			Token string `json:"token"`
		}
		if wrong, err := DecodeMembers([]byte(tt.in), &v); (err == nil && wrong == nil) != tt.ok || v.Token != tt.want {
			t.Errorf("%s: %q, %q, %v", tt.in, v.Token, wrong, err)
		}
	}
}
