package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpauth/internal/demo"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// Decoding and encoding a record preserves unknown fields, so that an older version does not remove what a newer version wrote.
func TestCredentialKeepsUnknownFields(t *testing.T) {
	in := `{"version":1,"server":"https://x/mcp","token":{"access_token":"a"},"from_the_future":{"n":12345678901234567890}}`
	c, err := decode(keystore.Record{Generation: 7, Secret: []byte(in)})
	if err != nil {
		t.Fatal(err)
	}
	c.Profile = "work"
	r, err := c.record()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(r.Secret), `"from_the_future":{"n":12345678901234567890}`) {
		t.Error("the unknown field is lost")
	}
	if !strings.Contains(string(r.Secret), `"profile":"work"`) || r.Generation != 7 {
		t.Error("a known field or the generation is lost")
	}
}

// A field that is emptied is absent after encoding, even if the decoded record had a value for it.
func TestCredentialEmptiedFieldsStayEmpty(t *testing.T) {
	c, err := decode(keystore.Record{Secret: []byte(`{"version":1,"server":"s","profile":"p","next_client":{"id":"x"},"quirks":["q"]}`)})
	if err != nil {
		t.Fatal(err)
	}
	c.Profile, c.NextClient, c.Deviations = "", nil, nil
	r, _ := c.record()
	for _, gone := range []string{"profile", "next_client", "quirks"} {
		if strings.Contains(string(r.Secret), gone) {
			t.Errorf("%s came back", gone)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"junk":           "canary-secret not json",
		"another type":   `["canary-secret"]`,
		"a newer record": `{"version":2,"server":"canary-secret"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(keystore.Record{Secret: []byte(in)})
			if !errors.Is(err, ErrCredential) {
				t.Fatalf("got %v, want ErrCredential", err)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Error("the error shows bytes of the record")
			}
		})
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	cred := credential{Server: "https://x", Token: token.Token{AccessToken: "canary-a", RefreshToken: "canary-r"},
		Client: dcr.Client{Secret: "canary-s", RegistrationToken: "canary-t"}, DPoPKey: json.RawMessage(`"canary-k"`)}
	for _, v := range []any{cred, &cred, Target{URL: "https://x", Settings: Settings{ClientSecret: "canary-s"}},
		Settings{ClientSecret: "canary-s", IDP: IDP{ClientSecret: "canary-i"}}, retiredToken{Token: "canary-r"}, pendingLogin{Credential: cred, Verifier: "canary-v", State: "canary-x"}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if got := fmt.Sprintf(format, v); strings.Contains(got, "canary") {
				t.Errorf("%T with %s prints a secret", v, format)
			}
		}
	}
}

func FuzzCredential(f *testing.F) {
	f.Add([]byte(`{"version":1,"server":"https://x/mcp","token":{"access_token":"a"},"x":1}`))
	f.Add([]byte(`{"client":{"id":"c"},"idp":{},"dpop_key":{"kty":"EC"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decode(keystore.Record{Secret: data})
		if err != nil {
			if !errors.Is(err, ErrCredential) {
				t.Fatalf("error of another type: %v", err)
			}
			return
		}
		r, err := c.record()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(r)
		if err != nil {
			t.Fatalf("what was written does not read: %v", err)
		}
		for name := range c.unknown() {
			if _, ok := again.unknown()[name]; !ok {
				t.Errorf("unknown field %q is lost", name)
			}
		}
	})
}

// An unreadable record is reported as ErrCredential and not as ErrLoginRequired.
func TestDamagedLoginIsNotAbsent(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	files, err := filepath.Glob(b.dir + "/keys/*.credential")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"refresh": func() error { _, err := b.c.Refresh(ctx, b.t, 0); return err },
		"token":   func() error { _, err := b.c.Token(ctx, b.t, 0); return err },
		"login":   func() error { _, err := b.c.Login(ctx, b.t, LoginOptions{}); return err },
		"handler": func() error { _, err := b.c.Handler(b.t, HandlerOptions{}).TokenSource(ctx); return err },
	} {
		if err := do(); !errors.Is(err, keystore.ErrCorrupt) || errors.Is(err, ErrLoginRequired) {
			t.Errorf("%s: %v, want keystore.ErrCorrupt", name, err)
		}
	}
}
