package httpx

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func TestReadRefusal(t *testing.T) {
	const html, form, problem = "text/html; charset=utf-8", "application/x-www-form-urlencoded", "application/problem+json"
	for _, tt := range []struct {
		name   string
		status int
		kind   string // empty: application/json
		body   string
		want   string // result of String, without the status
	}{
		{"RFC 6749 §5.2", 400, "", `{"error":"invalid_grant","error_description":"code is spent","error_uri":"https://as.example/e"}`,
			`, "invalid_grant": "code is spent", see https://as.example/e`},
		{"a code alone", 429, "", `{"error":"rate_limited"}`, `, "rate_limited"`},
		{"a sentence in place of a code", 400, "", `{"error":"No such tenant"}`, `: "No such tenant"`},
		{"a sentence in place of a code, as a form", 400, form, `error=No+such+tenant`, `: "No such tenant"`},
		{"status text in place of a code", 401, "", `{"error":"Unauthorized","message":"Invalid token"}`, `, "Unauthorized": "Invalid token"`},
		{"RFC 9457", 403, problem, `{"type":"https://example.com/probs/out-of-credit","title":"You do not have enough credit.","status":403,"detail":"Your balance is 30."}`,
			`: "You do not have enough credit.: Your balance is 30."`},
		{"RFC 9457, about:blank", 404, problem, `{"type":"about:blank","title":"Not Found","status":404}`, ``},
		{"JSON-RPC", 404, "", `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}`, `, "-32001": "Session not found"`},
		{"Google", 401, "", `{"error":{"code":401,"message":"Request had invalid credentials.","status":"UNAUTHENTICATED"}}`, `, "UNAUTHENTICATED": "Request had invalid credentials."`},
		{"an error with a type", 429, "", `{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}`, `, "rate_limit_error": "Slow down"`},
		{"a list (Salesforce)", 401, "", `[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`, `, "INVALID_SESSION_ID": "Session expired or invalid"`},
		{"a list of OAuth errors", 400, "", `[{"error":"invalid_grant","error_description":"gone"}]`, `, "invalid_grant": "gone"`},
		{"a long list", 400, "", `["a","b","c","d","e"]`, `: "a; b; c; … and 2 more"`},
		{"errors[] (Cloudflare)", 403, "", `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}`, `, "10000": "Authentication error"`},
		{"errors[] (JSON:API)", 422, "", `{"errors":[{"status":"422","code":"bad_name","title":"Invalid","detail":"name is too short"}]}`, `, "bad_name": "Invalid: name is too short"`},
		{"errors[] of texts beside a message", 400, "", `{"message":"Validation failed","errors":["a is wrong","b too"]}`, `: "Validation failed: a is wrong; b too"`},
		{"errorSummary (Okta)", 401, "", `{"errorCode":"E0000011","errorSummary":"Invalid token provided","errorLink":"E0000011","errorCauses":[]}`, `, "E0000011": "Invalid token provided"`},
		{"detail (FastAPI)", 401, "", `{"detail":"Not authenticated"}`, `: "Not authenticated"`},
		{"a list of details (FastAPI)", 422, "", `{"detail":[{"loc":["body","code"],"msg":"field required","type":"value_error.missing"}]}`, `, "value_error.missing": "field required"`},
		{"fault (Apigee)", 401, "", `{"fault":{"faultstring":"Invalid access token","detail":{"errorcode":"x"}}}`, `: "Invalid access token"`},
		{"Message (AWS)", 403, "", `{"Message":"User is not authorized"}`, `: "User is not authorized"`},
		{"a JSON text", 400, "", `"no such thing"`, `: "no such thing"`},
		{"a form (GitHub)", 200, form, `error=bad_verification_code&error_description=The+code+is+incorrect.`, `, "bad_verification_code": "The code is incorrect."`},
		{"plain text", 403, "text/plain", "your plan does not include\nthis server", `: "your plan does not include this server"`},
		{"plain text that is not all UTF-8", 502, "text/plain", "gone \x9bfishing\x00", ": \"gone \ufffdfishing\""},
		{"plain text that is the status", 403, "text/plain", "Forbidden\n", ``},
		{"a page that is the status (nginx)", 404, html, "<html><head><title>404 Not Found</title>", ``},
		{"Go's own 404", 404, "text/plain", "404 page not found\n", ``},
		{"text without a type", 502, "-", "upstream gone", `: "upstream gone"`},
		{"a page", 503, html, "<!DOCTYPE html><html><head><title>Down for\n maintenance &mdash; Acme</title></head><body>canary", `: "Down for maintenance — Acme"`},
		{"a page without a title", 502, html, "<html><body><h1 class=x>Bad <b>origin</b></h1>", `: "Bad origin"`},
		{"a page that says it is JSON", 502, "", "<html><title>Oops</title>", `: "Oops"`},
		{"XML (S3)", 403, "application/xml", "<Error><Code>AccessDenied</Code><Message>No</Message></Error>", `: "AccessDenied No"`},
		{"bytes", 500, "application/octet-stream", "\x00\x01", ``},
		{"text of a success", 200, "text/plain", "canary", ``},
		{"nothing", 500, "", "", ``},
		{"JSON without words", 500, "", `{"a":1,"b":[true,null]}`, ``},
		{"a code twice decides nothing", 400, "", `{"error":"server_error","error":"invalid_grant"}`, `: "invalid_grant"`},
		{"a deep nest", 400, "", strings.Repeat(`{"error":`, 50) + `"x"` + strings.Repeat("}", 50), ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := &Response{StatusCode: tt.status, Header: http.Header{}, Body: []byte(tt.body)}
			switch tt.kind {
			case "":
				res.Header.Set("Content-Type", "application/json")
			case "-":
			default:
				res.Header.Set("Content-Type", tt.kind)
			}
			got := ReadRefusal(res, noon).String()
			if want := (Refusal{StatusCode: tt.status}).String() + tt.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// ReadRefusal reads the challenge of a 401 or 403, and ignores that of another status.
func TestReadRefusalChallenge(t *testing.T) {
	for _, tt := range []struct {
		status          int
		challenge, body string
		want            string
	}{
		{401, `Bearer error="invalid_token", error_description="bound to another resource"`, "", `401 Unauthorized, "invalid_token": "bound to another resource"`},
		{403, `Bearer error="insufficient_scope", scope="a", error_description="needs a"`, `{"message":"forbidden"}`, `403 Forbidden, "insufficient_scope": "needs a"`},
		{401, `Bearer`, `{"error":"invalid_token","error_description":"expired"}`, `401 Unauthorized, "invalid_token": "expired"`},
		{401, `Bearer error="no such token"`, "", `401 Unauthorized: "no such token"`},
		{401, `Basic realm="x"`, "", `401 Unauthorized`},
		{500, `Bearer error_description="x"`, "", `500 Internal Server Error`},
	} {
		res := &Response{StatusCode: tt.status, Header: http.Header{"Www-Authenticate": {tt.challenge}, "Content-Type": {"application/json"}}, Body: []byte(tt.body)}
		if got := ReadRefusal(res, noon).String(); got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.challenge, tt.body, got, tt.want)
		}
	}
}

// The texts that ReadRefusal decodes, and numbers, contain no secret, whatever the escapes are. A code of OAuth stays.
func TestRefusalIsMasked(t *testing.T) {
	var secrets Secrets
	secrets.Learn("canary-Vb5uJ9pLd3Wy", "invalid_grant")
	secrets.AddHeader("X-Api-Key", "48151623420815")
	for _, tt := range []struct{ name, kind, body, want string }{
		{"a form with an invisible character", "", "error=bad&error_description=canary%E2%80%8B-Vb5uJ9%01pLd3Wy", `, "bad": "[redacted]"`},
		{"a page", "text/html", "<title>canary&#1;-Vb5&#8203;uJ9pLd3Wy</title>", `: "[redacted]"`},
		{"a document", "application/xml", "<a>can<b/>ary&#1;-Vb5uJ9pLd3Wy</a>", `: "can [redacted]"`},
		{"a number", "", `{"error":{"code":48151623420815,"message":"no"}}`, `, "[redacted]": "no"`},
		{"a code", "", `{"error":"invalid_grant"}`, `, "invalid_grant"`},
	} {
		r := ReadRefusal(&Response{StatusCode: 400, Header: http.Header{"Content-Type": {tt.kind}}, Body: secrets.CleanRefusal([]byte(tt.body)), Secrets: &secrets}, noon)
		if got := r.Words(); got != "Bad Request"+tt.want {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

// FuzzRefusal: for every response, the text is limited in length, safe to print, and contains no secret that was sent (the word SECRET).
func FuzzRefusal(f *testing.F) {
	for _, body := range []string{`{"error":"SECRET","error_description":"\u001b[31mSECRET","error_uri":"https://SECRET/"}`, `[{"errors":[{"message":"SECRET"}]}]`,
		`{"errorSummary":"SECRET","errorCauses":[{"errorSummary":"x"}]}`, `error=SECRET&error_description=SECRET`, "<title>SE&#67;RET SECRET</title>", "SECRET", `"SECRET"`,
		`<a><b>SECRET</b></a>`, `{"detail":[{"msg":"SECRET"}],"title":"a"}`, "\ufeff{}", "error=c%01anary.Fq8/zR%2Bw5%E2%80%8B=xT2", "<h1>canary&#1;.Fq8/zR+w5=xT2</h1>", `{"error":{"error":{"error":{"error":{"error":"x"}}}}}`} {
		for _, status := range []int{200, 401, 503} {
			f.Add(body, status, "text/html", `Bearer error="SECRET", error_description="SECRET"`, "60")
		}
	}
	const canary = "canary.Fq8/zR+w5=xT2"
	var secrets Secrets
	secrets.Learn(canary)
	f.Fuzz(func(t *testing.T, body string, status int, kind, challenge, retry string) {
		fill := func(s string) string { return strings.ReplaceAll(s, "SECRET", canary) }
		r := ReadRefusal(&Response{StatusCode: status, Body: secrets.CleanRefusal([]byte(fill(body))),
			Header: secrets.CleanHeader(http.Header{"Content-Type": {fill(kind)}, "Www-Authenticate": {fill(challenge)}, "Retry-After": {retry}}), Secrets: &secrets}, noon)
		for _, s := range []string{r.Code, r.Text, r.URI} {
			if HoldsSecret(s, canary) {
				t.Errorf("%q shows the secret", s)
			}
			if Text(s, MaxWords) != s {
				t.Errorf("%q is not safe to print, or too long", s)
			}
		}
		if len([]rune(r.Code)) > MaxCode || strings.Contains(r.Code, " ") || r.RetryAfter < 0 || r.RetryAfter > MaxRetryAfter {
			t.Errorf("got %+v", r)
		}
	})
}
