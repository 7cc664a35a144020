package pkce

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// RFC 7636 Appendix B.
func TestChallenge(t *testing.T) {
	if got := Verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").Challenge(); got != "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" {
		t.Errorf("challenge is %q", got)
	}
}

func TestFreshSecrets(t *testing.T) {
	unreserved := regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`) // RFC 7636 §4.1
	seen := map[string]bool{}
	for range 100 {
		for _, s := range []string{string(New()), State()} {
			if !unreserved.MatchString(s) || seen[s] {
				t.Fatal("not 43 unreserved characters, or seen before")
			}
			seen[s] = true
		}
	}
}

func TestVerifierDoesNotPrint(t *testing.T) {
	v := Verifier("canary")
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if strings.Contains(fmt.Sprintf(format, v), "canary") {
			t.Errorf("%s prints the verifier", format)
		}
	}
}
