package httpx

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Limits of a Refusal.
const (
	MaxCode       = 80             // limit of an error code, in characters
	MaxWords      = 400            // limit of the server's text, in characters
	MaxRetryAfter = 24 * time.Hour // the longest wait that is accepted from a server

	maxItems = 3 // number of errors in a list that are shown
	maxNest  = 4 // levels of nested JSON that are searched for text
)

// Refusal is the content of an HTTP error response. The texts of a Refusal are limited in length and safe to print; a shortened text ends
// with "…".
type Refusal struct {
	StatusCode int
	Code       string        // such as "invalid_grant", "rate_limited", "E0000011"; empty: none
	Text       string        // the server's own text; empty: none
	URI        string        // URL of a page about the error; empty: none, or a URL that is not allowed
	RetryAfter time.Duration // wait that the server requests, at most MaxRetryAfter; 0: none
}

// ReadRefusal reads an error response of an authorization server or an MCP server. ReadRefusal understands OAuth errors (RFC 6749 §5.2),
// problem documents (RFC 9457), JSON-RPC errors, and other JSON objects or lists with members such as errors, message or detail.
// ReadRefusal also reads forms, plain text and the title of an HTML page. For a 401 or 403, the error_description of the challenge has
// precedence over the body (RFC 6750 §3).
//
// The response must not contain secrets: it must come from Do or DoHeader, or its body from Secrets.CleanRefusal. now is the current time,
// from which ReadRefusal computes the wait if the Retry-After header contains a date.
func ReadRefusal(res *Response, now time.Time) Refusal {
	w := readErrorParts(res)
	if c, ok := Bearer(ParseChallenges(res.Header)); ok && (res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden) {
		w.text = cmp.Or(c.ErrorDescription(), w.text, c.Error())
		w.code = cmp.Or(errorCode(c.Error(), res.StatusCode), w.code)
	}
	if res.Secrets != nil { // the secrets were removed from the body before it was decoded
		w = w.without(res.Secrets)
	}
	r := Refusal{StatusCode: res.StatusCode, Code: Text(w.code, MaxCode), Text: Text(w.text, MaxWords), RetryAfter: RetryAfter(res.Header.Get("Retry-After"), now)}
	if r.Text == r.Code || repeatsStatus(r.Text, r.StatusCode) {
		r.Text = "" // it adds nothing to the status
	}
	if u, err := Check(w.uri, false); err == nil {
		r.URI = Text(u.String(), MaxWords)
	}
	return r
}

// repeatsStatus reports whether the text only repeats the status, such as "404 Not Found", "404 page not found" or "Forbidden".
func repeatsStatus(text string, status int) bool {
	bare := strings.ToLower(strings.TrimPrefix(text, strconv.Itoa(status)+" "))
	return slices.Contains([]string{"", "page "}, strings.TrimSuffix(bare, strings.ToLower(http.StatusText(status)))) || bare == strconv.Itoa(status)
}

// String returns the refusal on one line: the status, then Words.
func (r Refusal) String() string {
	return strings.TrimSpace(strconv.Itoa(r.StatusCode) + " " + r.Words())
}

// Words returns the name of the status and the other parts of the refusal.
func (r Refusal) Words() string {
	s := http.StatusText(r.StatusCode)
	if r.Code != "" {
		s += fmt.Sprintf(", %q", r.Code)
	}
	if r.Text != "" {
		s += fmt.Sprintf(": %q", r.Text)
	}
	if r.URI != "" {
		s += ", see " + r.URI
	}
	if r.RetryAfter > 0 {
		s += fmt.Sprintf(", retry after %v", r.RetryAfter)
	}
	return s
}

// oauthCodes are the error codes of RFC 6749 §5.2, 7009 §2.2.1, 8628 §3.5, 8707 §2 and 9449 §5.
var oauthCodes = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"unsupported_token_type", "authorization_pending", "slow_down", "access_denied", "expired_token", "invalid_target", "invalid_dpop_proof",
	"use_dpop_nonce", "server_error", "temporarily_unavailable"}

// errorParts contains the parts of an error response, as the server sent them.
type errorParts struct{ code, text, uri string }

// The method without replaces secrets. Only the beginnings of the parts are kept, because ReadRefusal shortens them.
func (w errorParts) without(secrets *Secrets) errorParts {
	const most = 16 << 10
	if !slices.Contains(oauthCodes, w.code) {
		w.code = secrets.Clean(w.code[:min(len(w.code), most)])
	}
	return errorParts{w.code, secrets.Clean(w.text[:min(len(w.text), most)]), secrets.Clean(w.uri[:min(len(w.uri), most)])}
}

// fillFrom fills the empty fields of w from more. If both have a text and the texts differ, it joins them with the separator.
func (w errorParts) fillFrom(more errorParts, separator string) errorParts {
	if w.text != "" && more.text != "" && w.text != more.text {
		more.text = w.text + separator + more.text
	}
	return errorParts{cmp.Or(w.code, more.code), cmp.Or(more.text, w.text), cmp.Or(w.uri, more.uri)}
}

// These expressions are compiled when they are first used, because most runs do not need them.
var (
	formLike   = compiled(`^[a-z_]+=[^\s<]*$`)
	pageLike   = compiled(`(?is)^(<!doctype html|<html|<head|<body|<title)`)
	titleTag   = compiled(`(?is)<title[^>]*>(.*?)</title`)
	headingTag = compiled(`(?is)<h1[^>]*>(.*?)</h1`)
	tags       = compiled(`<[^>]*>`)
)

func compiled(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// readErrorParts recognizes the format by the body, because servers send error pages with any content type.
func readErrorParts(res *Response) errorParts {
	body := bytes.TrimSpace(bytes.TrimPrefix(res.Body, []byte("\ufeff")))
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	var v any
	switch {
	case len(body) == 0:
	case json.Valid(body):
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		if dec.Decode(&v) != nil {
			return errorParts{}
		}
		w := readValue(v, res.StatusCode, maxNest)
		if w.code != "" && UniqueFields(body) != nil { // the body has a duplicate member, so two JSON parsers could read different codes: the code must not be used
			w = errorParts{text: cmp.Or(w.text, w.code), uri: w.uri}
		}
		return w
	case formLike().Match(body):
		form, _ := url.ParseQuery(string(body))
		name := form.Get("error")
		return errorParts{errorCode(name, res.StatusCode), cmp.Or(form.Get("error_description"), name), form.Get("error_uri")}
	case kind == "text/html" || kind == "application/xhtml+xml" || pageLike().Match(body):
		for _, title := range []*regexp.Regexp{titleTag(), headingTag()} {
			if m := title.FindSubmatch(body); m != nil {
				return errorParts{text: html.UnescapeString(tags().ReplaceAllString(string(m[1]), " "))}
			}
		}
	case res.StatusCode/100 == 2: // a successful response may contain the result, such as a token, so its text is not shown
	case strings.HasSuffix(kind, "xml"):
		return errorParts{text: html.UnescapeString(tags().ReplaceAllString(string(body), " "))}
	case strings.HasPrefix(kind, "text/"), strings.HasSuffix(kind, "json"), kind == "" && utf8.Valid(body):
		return errorParts{text: string(body)}
	}
	return errorParts{}
}

// The members that error formats use, in order of precedence.
var (
	codeNames   = []string{"error", "errorCode", "error_code", "code", "type", "status"}
	textNames   = []string{"error_description", "errorSummary", "error_message", "errorMessage", "message", "Message", "msg", "faultstring", "description", "reason"}
	nestedNames = []string{"error", "errors", "fault", "detail", "errorCauses"}
)

// readValue finds the text of an error in a JSON value. A string is the text itself. In a list, readValue reads the first elements. In an
// object, it reads the members that error formats use.
func readValue(v any, status, depth int) (w errorParts) {
	if depth == 0 {
		return errorParts{}
	}
	switch v := v.(type) {
	case string:
		return errorParts{text: v}
	case []any:
		for _, element := range v[:min(len(v), maxItems)] {
			w = w.fillFrom(readValue(element, status, depth-1), "; ")
		}
		if len(v) > maxItems {
			w.text += fmt.Sprintf("; … and %d more", len(v)-maxItems)
		}
	case map[string]any:
		return readObject(v, status, depth)
	}
	return w
}

func readObject(v map[string]any, status, depth int) errorParts {
	var w errorParts
	for _, name := range codeNames {
		if w.code = errorCode(v[name], status); w.code != "" {
			break
		}
	}
	for _, name := range textNames {
		if w.text = asString(v[name]); w.text != "" {
			break
		}
	}
	if w.text == "" { // RFC 9457 §3.1: the title describes the type of the problem, and the detail describes this occurrence of it
		w = w.fillFrom(errorParts{text: asString(v["title"])}, "").fillFrom(errorParts{text: asString(v["detail"])}, ": ")
	}
	w.uri = asString(v["error_uri"])
	for _, name := range nestedNames {
		s, isText := v[name].(string)
		switch {
		case !isText:
			w = w.fillFrom(readValue(v[name], status, depth-1), ": ")
		case w.text == "" && s != w.code:
			w.text = s
		}
	}
	return w
}

func asString(v any) string {
	s, _ := v.(string)
	return s
}

// errorCode returns the word or number that identifies an error, or "". The number of the HTTP status, the URL of a problem type, and words
// that only mean "error" are ignored.
func errorCode(v any, status int) string {
	s := asString(v)
	if n, ok := v.(json.Number); ok {
		s = n.String()
	}
	s = Text(s, 2*MaxWords)
	if strings.ContainsAny(s, " :") || s == strconv.Itoa(status) || slices.Contains([]string{"error", "fail", "failed", "failure"}, strings.ToLower(s)) {
		return ""
	}
	return s
}

// RetryAfter parses a Retry-After header: seconds or a date (RFC 9110 §10.2.3). The result is at most MaxRetryAfter, and 0 if the value is
// invalid.
func RetryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, MaxRetryAfter)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), MaxRetryAfter)
}
