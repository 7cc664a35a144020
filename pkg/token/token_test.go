package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAnswers(t *testing.T) {
	bearer := Token{AccessToken: "a", TokenType: "Bearer"}
	with := func(change func(*Token)) Token { t := bearer; change(&t); return t }
	lasting := func(d time.Duration) Token {
		return with(func(t *Token) { t.Lifetime, t.Expiry = d, noon.Add(d) })
	}
	scoped := func(scope string) Token { return with(func(t *Token) { t.Scope, t.ScopeGiven = scope, true }) }
	in := func(seconds string) string {
		return `{"access_token":"a","token_type":"bearer","expires_in":` + seconds + `}`
	}
	for _, tt := range []struct {
		name   string
		body   string
		want   Token
		strict string // error of a strict endpoint, or "same"
	}{
		{"everything", `{"access_token":"a","token_type":"BEARER","refresh_token":"r","id_token":"i.i.i","scope":"x y","expires_in":60}`,
			Token{AccessToken: "a", TokenType: "Bearer", RefreshToken: "r", IDToken: "i.i.i", Scope: "x y", ScopeGiven: true, Lifetime: time.Minute, Expiry: noon.Add(time.Minute)}, "same"},
		{"no expires_in is unknown", `{"access_token":"a","token_type":"Bearer"}`, bearer, "same"},
		{"expires_in null", in(`null`), bearer, "same"},
		{"expires_in as text (Entra)", in(`"3599"`), lasting(3599 * time.Second), "expires_in is a string"},
		{"expires_in with a fraction", in(`1.5`), lasting(1500 * time.Millisecond), "same"},
		{"expires_in with an exponent", in(`1e2`), lasting(100 * time.Second), "same"},
		{"expires_in 0 is unknown", in(`0`), bearer, "same"},
		{"expires_in negative is unknown", in(`-5`), bearer, "same"},
		{"expires_in huge is ten years", in(`99999999999999999999`), lasting(maxLifetime), "same"},
		{"expires_in beyond float is ten years", in(`1e999`), lasting(maxLifetime), "same"},
		{"expires_in minus beyond float", in(`-1e999`), bearer, "same"},
		{"expires_in words are unknown", in(`"soon"`), bearer, "expires_in is a string"},
		{"expires_in NaN is unknown", in(`"NaN"`), bearer, "expires_in is a string"},
		{"expires_in an object is unknown", in(`{"s":1}`), bearer, "expires_in is not a number"},
		{"a 10-second lifetime", in(`10`), lasting(10 * time.Second), "same"},
		{"token_type user (Slack)", `{"access_token":"a","token_type":"user"}`, bearer, `token_type is \"user\"`},
		{"token_type empty", `{"access_token":"a","token_type":""}`, bearer, "token_type is"},
		{"token_type missing", `{"access_token":"a"}`, bearer, "token_type is"},
		{"token_type N_A outside an exchange", `{"access_token":"a","token_type":"N_A"}`, bearer, "token_type is"},
		{"scope empty", `{"access_token":"a","token_type":"Bearer","scope":""}`, scoped(""), "same"},
		{"scope null is not given", `{"access_token":"a","token_type":"Bearer","scope":null}`, bearer, "same"},
		{"scope with wide blanks", `{"access_token":"a","token_type":"Bearer","scope":" x  y "}`, scoped("x y"), "same"},
		{"scope by commas (Slack)", `{"access_token":"a","token_type":"Bearer","scope":"x:r,y"}`, scoped("x:r y"), "separated by commas"},
		{"scope by commas and blanks", `{"access_token":"a","token_type":"Bearer","scope":"x, y, z"}`, scoped("x y z"), "separated by commas"},
		{"a comma within a scope", `{"access_token":"a","token_type":"Bearer","scope":"a,b c"}`, scoped("a,b c"), "same"},
		{"scope as a list", `{"access_token":"a","token_type":"Bearer","scope":["x","y"]}`, scoped("x y"), "scope is a list"},
		{"scope with an escape sequence", `{"access_token":"a","token_type":"Bearer","scope":"x \u001b[31m"}`, scoped("x"), "not allowed in a scope"},
		{"scope that looks like a flag", `{"access_token":"a","token_type":"Bearer","scope":"x --header=X-Key:@id_rsa"}`, scoped("x"), "begins with -"},
		{"scope in a list that looks like a flag", `{"access_token":"a","token_type":"Bearer","scope":["-q","x"]}`, scoped("x"), "begins with -"},
		{"scope with a secret", `{"access_token":"a","token_type":"Bearer","scope":"x key:[redacted]"}`, scoped("x"), "contains a secret"},
		{"authed_user (Slack)", `{"ok":true,"authed_user":{"access_token":"a","token_type":"user","scope":"s,t","refresh_token":"r"}}`,
			with(func(t *Token) { t.Scope, t.ScopeGiven, t.RefreshToken = "s t", true, "r" }), "access_token only in authed_user"},
		{"authed_user beside a token", `{"ok":true,"access_token":"a","token_type":"bearer","authed_user":{"access_token":"other"}}`, bearer, "same"},
		{"error null and empty are none", `{"access_token":"a","token_type":"Bearer","error":null,"error_description":""}`, bearer, "same"},
		{"refresh token null and empty are none", `{"access_token":"a","token_type":"Bearer","refresh_token":null}`, bearer, "same"},
		{"refresh token empty", `{"access_token":"a","token_type":"Bearer","refresh_token":""}`, bearer, "same"},
		{"an id token that is none is dropped", `{"access_token":"a","token_type":"Bearer","id_token":"a\nb"}`, bearer, "same"},
		{"names are exact", `{"access_token":"a","token_type":"Bearer","Access_Token":"b","REFRESH_TOKEN":"c"}`, bearer, "same"},
		{"a byte order mark", "\ufeff" + `{"access_token":"a","token_type":"Bearer"}`, bearer, "same"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := serve(t, reply{body: tt.body}).endpoint()
			codes := told(&e)
			got, err := e.ClientCredentials(context.Background(), "")
			wantDeviations(t, *codes, tt.strict != "same")
			if err != nil || got != tt.want {
				t.Errorf("got  %s %v\nwant %s", dump(got), err, dump(tt.want))
			}
			e.Strict = true
			got, err = e.ClientCredentials(context.Background(), "")
			switch {
			case tt.strict == "same" && (err != nil || got != tt.want):
				t.Errorf("strict: got %s %v, want the same", dump(got), err)
			case tt.strict != "same" && (!errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), strings.ReplaceAll(tt.strict, `\"`, `"`))):
				t.Errorf("strict: got %s %v, want %s", dump(got), err, tt.strict)
			}
		})
	}
}

// The known token types that are not bearer tokens are refused (RFC 6749 §7.1). DPoP is refused if there is no key.
func TestOtherTypesAreRefused(t *testing.T) {
	for _, name := range []string{"PoP", "mac", "MAC", "hmac", "DPoP", "dpop"} {
		e := serve(t, reply{body: `{"access_token":"a","token_type":"` + name + `"}`}).endpoint()
		if tok, err := e.ClientCredentials(context.Background(), ""); !errors.Is(err, ErrMalformed) || tok.AccessToken != "" {
			t.Errorf("%s: got %v %v", name, tok, err)
		}
	}
}

func dump(t Token) string {
	data, _ := json.Marshal(t)
	return string(data)
}

// told returns a list to which the endpoint adds the code of each deviation that it reports.
func told(e *Endpoint) *[]string {
	var codes []string
	e.Deviation = func(code string) { codes = append(codes, code) }
	return &codes
}

// wantDeviations checks the deviations that an endpoint reported: at least one if some is true, otherwise none.
func wantDeviations(t *testing.T, codes []string, some bool) {
	t.Helper()
	if (len(codes) > 0) != some {
		t.Errorf("told %q, want some: %t", codes, some)
	}
}

func TestStatusAndType(t *testing.T) {
	for _, tt := range []struct {
		name   string
		reply  reply
		strict bool // a strict endpoint accepts it
	}{
		{"201 (Supabase)", reply{status: 201, body: okBody}, false},
		{"text/html", reply{contentType: "text/html", body: okBody}, false},
		{"the token as the media type", reply{contentType: "text/at-1", body: okBody}, false},
		{"with a charset", reply{contentType: "application/json;charset=UTF-8", body: okBody}, true},
	} {
		e := serve(t, tt.reply).endpoint()
		codes := told(&e)
		if tok, err := e.ClientCredentials(context.Background(), ""); err != nil || tok.AccessToken != "at-1" {
			t.Errorf("%s: got %v %v", tt.name, tok, err)
		}
		wantDeviations(t, *codes, !tt.strict)
		e.Strict = true
		if _, err := e.ClientCredentials(context.Background(), ""); (err == nil) != tt.strict || err != nil && (!errors.Is(err, ErrMalformed) || strings.Contains(err.Error(), "at-1")) {
			t.Errorf("%s, strict: got %v", tt.name, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, tt := range []struct{ name, contentType, body, want string }{
		{"empty", "", "", "expected a JSON object"},
		{"HTML with status 200", "text/html", "<html>canary-000", `200 with "text/html"`},
		{"the token as the media type", "text/canary-000", "x", "200 with another media type, expected"},
		{"cut JSON", "", `{"access_token":"canary-000`, "expected a JSON object"},
		{"a list", "", `[{"access_token":"canary-000"}]`, "expected a JSON object"},
		{"null", "", `null`, "expected a JSON object"},
		{"more after it", "", okBody + okBody, "there is data after the JSON value"},
		{"a duplicate member", "", `{"access_token":"canary-000","access_token":"b"}`, `"access_token" appears twice`},
		{"a duplicate deeper", "", `{"access_token":"canary-000","x":[{"a":1,"a":2}]}`, "appears twice"},
		{"nested deep", "", `{"access_token":"canary-000","x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "nested"},
		{"a form (not supported)", "application/x-www-form-urlencoded", "access_token=canary-000", "expected a JSON object"},
		{"no access token", "", `{"token_type":"Bearer"}`, "no access_token"},
		{"an empty access token", "", `{"access_token":""}`, "no access_token"},
		{"an access token that is a number", "", `{"access_token":1}`, "no access_token"},
		{"a line break in the token: header injection", "", `{"access_token":"canary-000\r\nX-Evil: 1"}`, "not allowed in a header"},
		{"a blank in the token", "", `{"access_token":"canary-000 b"}`, "not allowed in a header"},
		{"a NUL in the token", "", `{"access_token":"canary-000\u0000"}`, "not allowed in a header"},
		{"a letter beyond ASCII in the token", "", `{"access_token":"canary-000é"}`, "not allowed in a header"},
		{"bytes that are not UTF-8 in the token", "", "{\"access_token\":\"canary-000\xff\"}", "not allowed in a header"},
		{"a line break in the refresh token", "", `{"access_token":"a","refresh_token":"canary-000\n"}`, "refresh token"},
		{"a refresh token that is an object", "", `{"access_token":"a","refresh_token":{}}`, "refresh token"},
		{"too large", "", `{"access_token":"` + strings.Repeat("a", 1<<20) + `"}`, "larger than 1 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, reply{contentType: tt.contentType, body: tt.body})
			_, err := s.endpoint().ClientCredentials(context.Background(), "")
			switch {
			case !errors.Is(err, ErrMalformed) || !Ambiguous(err):
				t.Errorf("got %v (ambiguous %t), want an ambiguous ErrMalformed", err, Ambiguous(err))
			case !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "token endpoint "+s.URL):
				t.Errorf("got %q, want the endpoint and %q", err, tt.want)
			case strings.Contains(err.Error(), "canary"):
				t.Errorf("the error shows the answer: %q", err)
			}
			s.only(t)
		})
	}
}

// A token that is not an ID-JAG is refused. If issued_token_type is missing, the typ of the token must say that it is an ID-JAG.
func TestExchangeIssued(t *testing.T) {
	ask := ExchangeOptions{SubjectToken: "i", RequestedTokenType: TypeIDJAG}
	answer := func(header, issued string) string {
		return fmt.Sprintf(`{"access_token":%q,"token_type":"N_A","issued_token_type":%q}`, jwtOf(header, `{"aud":"a"}`), issued)
	}
	for _, tt := range []struct {
		name, body, strict string
		bad, quirk         bool
	}{
		{name: "an ID-JAG is no access token", body: `{"access_token":"a","token_type":"N_A","issued_token_type":"` + TypeIDJAG + `"}`},
		{name: "an ID-JAG without typ", body: answer(`{"alg":"ES256"}`, TypeIDJAG)},
		{name: "an ID-JAG with the generic typ", body: answer(`{"alg":"ES256","typ":"JWT"}`, TypeIDJAG)},
		{name: "an ID-JAG with its typ", body: answer(`{"alg":"ES256","typ":"oauth-id-jag+jwt"}`, TypeIDJAG)},
		{name: "an access token with the type of an ID-JAG", body: answer(`{"alg":"ES256","typ":"at+jwt"}`, TypeIDJAG), bad: true, strict: "the token is not an ID-JAG"},
		{name: "issued_token_type missing", body: answer(`{"alg":"ES256","typ":"oauth-id-jag+jwt"}`, ""), strict: "missing", quirk: true},
		{name: "issued_token_type missing, long typ", body: answer(`{"alg":"ES256","typ":"application/OAuth-ID-JAG+jwt"}`, ""), strict: "missing", quirk: true},
		{name: "issued_token_type and typ missing", body: answer(`{"alg":"ES256"}`, ""), bad: true, strict: "issued_token_type is missing, and the token is not an ID-JAG"},
		{name: "issued_token_type missing, generic typ", body: answer(`{"alg":"ES256","typ":"JWT"}`, ""), bad: true, strict: "missing"},
		{name: "issued_token_type missing, an access token", body: answer(`{"alg":"ES256","typ":"at+jwt"}`, ""), bad: true, strict: "missing"},
		{name: "issued_token_type missing, no JWT", body: `{"access_token":"a","token_type":"N_A"}`, bad: true, strict: "missing"},
		{name: "another type than requested", body: `{"access_token":"a","token_type":"N_A","issued_token_type":"urn:x"}`, bad: true, strict: "urn:x"},
	} {
		e := serve(t, reply{body: tt.body}).endpoint()
		var codes []string
		e.Deviation = func(code string) { codes = append(codes, code) }
		e.DPoP = newTestProver(t) // an issued token that is not an access token need not be bound to the key
		tok, err := e.Exchange(context.Background(), ask)
		if tt.bad != errors.Is(err, ErrMalformed) || !tt.bad && (err != nil || tok.TokenType != "N_A" || tok.AccessToken == "") {
			t.Errorf("%s: got %v %v", tt.name, tok, err)
		}
		if quirk := slices.Contains(codes, "issued_token_type"); quirk != tt.quirk {
			t.Errorf("%s: reported %q", tt.name, codes)
		}
		e.Strict = true
		_, err = e.Exchange(context.Background(), ask)
		if (tt.strict != "") != errors.Is(err, ErrMalformed) || err != nil && !strings.Contains(err.Error(), tt.strict) {
			t.Errorf("%s, strict: got %v, want %q", tt.name, err, tt.strict)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	prover, err := NewProver()
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := prover.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var raw struct{ D string }
	json.Unmarshal(jwk, &raw)
	key := testKey(t, "P-256")
	tok := Token{AccessToken: "canary-at", RefreshToken: "canary-rt", IDToken: "canary-id"}
	client := ClientAuth{ID: "c", Secret: "canary-secret", Key: key}
	endpoint := Endpoint{URL: "https://x.example/token", Client: client, DPoP: prover}
	for _, v := range []any{tok, &tok, client, &client, key, *key, prover, endpoint, &endpoint, ExchangeOptions{SubjectToken: "canary-st"},
		struct {
			T Token
			E Endpoint
			P *Prover
		}{tok, endpoint, prover}, []Token{tok}, map[string]*Prover{"p": prover}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			out := fmt.Sprintf(verb, v)
			if strings.Contains(out, "canary") || strings.Contains(out, raw.D) || strings.Contains(out, "PrivateKey") || strings.Contains(out, " D:") {
				t.Errorf("%s of %T prints %s", verb, v, out)
			}
		}
	}
}

func TestTokenJSON(t *testing.T) {
	in := Token{AccessToken: "a", TokenType: "DPoP", RefreshToken: "r", IDToken: "i", Scope: "s", Expiry: noon, Lifetime: time.Hour, ScopeGiven: true}
	var out Token
	if err := json.Unmarshal([]byte(dump(in)), &out); err != nil || out != in {
		t.Errorf("got %s %v, want %s", dump(out), err, dump(in))
	}
	if got := dump(Token{AccessToken: "a", TokenType: "Bearer"}); got != `{"access_token":"a","token_type":"Bearer"}` {
		t.Errorf("got %s", got)
	}
}
