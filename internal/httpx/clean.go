package httpx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Client returns a copy of a client whose exchanges belong to one login. If c is nil, Client uses Default.
func (s *Secrets) Client(c *http.Client) *http.Client {
	if c == nil {
		c = Default()
	}
	own := *c
	own.Transport = s.Transport(c.Transport)
	return &own
}

// Transport returns a transport whose exchanges belong to one login. The transport learns the credentials in requests, and the tokens and
// secrets that OAuth endpoints issue. It replaces every secret of the login in
//
//   - the bodies of OAuth responses, except where an endpoint issues a secret
//   - the headers of OAuth responses and of all responses with a status of 300 or more
//   - errors, because an error of net/http may quote a malformed header line of the server
//
// so that nothing that the program reads, stores, sends or shows contains a secret. In an error, in the body of a response with a status of
// 400 or more, and in an error_description, parts of credentials are replaced too.
func (s *Secrets) Transport(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	if c, ok := next.(*cleaner); ok && c.secrets == s {
		return c
	}
	return &cleaner{next: next, secrets: s}
}

type cleaner struct {
	next    http.RoundTripper
	secrets *Secrets
}

// bodyKey marks requests to OAuth endpoints, whose responses Do and DoHeader read. Its value says which bodies they read.
type bodyKey struct{}

type readBody int

const (
	readAny    readBody = iota + 1 // every body
	readErrors                     // only bodies of responses with a status of 400 or more
)

// secretsKey marks the requests of a login for the tracer.
type secretsKey struct{}

func (t *cleaner) RoundTrip(req *http.Request) (*http.Response, error) {
	s := t.secrets
	read, oauth := req.Context().Value(bodyKey{}).(readBody)
	s.learnRequest(req, oauth)
	res, err := t.next.RoundTrip(req.WithContext(context.WithValue(req.Context(), secretsKey{}, s)))
	if err != nil {
		s.learnProxyPassword(req)
		return nil, s.CleanError(err)
	}
	failed := res.StatusCode >= http.StatusBadRequest
	if !oauth {
		if res.StatusCode >= http.StatusMultipleChoices {
			res.Header = s.CleanHeader(res.Header)
		}
		return res, nil
	}
	var data []byte
	if read == readAny || failed {
		data, err = io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
		s.learnAnswer(req, res, data)
	}
	if data != nil {
		if err != nil {
			err = s.CleanError(err)
		}
		if len(data) <= MaxBody { // Do returns no part of a longer body
			data = s.finder(failed, longValue).cleanBody(data)
		}
		res.Body, res.ContentLength = &bufferedBody{io.MultiReader(bytes.NewReader(data), errReader{err}), res.Body}, -1
	}
	res.Header = s.CleanHeader(res.Header)
	return res, nil
}

// bufferedBody is a body of which a part was read in advance.
type bufferedBody struct {
	io.Reader
	io.Closer
}

// errReader is a reader that returns err, or io.EOF if err is nil.
type errReader struct{ err error }

func (f errReader) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// CleanError replaces the secrets in the text of an error. An error of a connection that was not established contains no text of the server.
func (s *Secrets) CleanError(err error) error {
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return err
	}
	text := err.Error()
	if clean := s.Clean(text); clean != text {
		return &cleanError{err, clean}
	}
	return err
}

// cleanError wraps an error and replaces its text.
type cleanError struct {
	error
	text string
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.error }

// CleanHeader returns a copy of a header without secrets. Honest servers may use a part of a credential, such as the beginning of another
// JWT, so only complete secrets count, except in an error_description (RFC 6750 §3).
func (s *Secrets) CleanHeader(h http.Header) http.Header {
	f, out := s.finder(false, longValue), h.Clone()
	for name, values := range out {
		for i, value := range values {
			if values[i] = f.clean(value); name == "Www-Authenticate" {
				values[i] = s.cleanDescriptions(values[i])
			}
		}
	}
	return out
}

// cleanDescriptions replaces parts of credentials in the error_description parameters of a challenge.
func (s *Secrets) cleanDescriptions(challenge string) string {
	for _, c := range parseChallengeList(challenge) {
		said := c.ErrorDescription()
		switch clean := s.Clean(said); {
		case clean == said:
		case strings.Contains(challenge, said):
			challenge = strings.ReplaceAll(challenge, said, clean)
		default: // the description contains escaped characters
			challenge = s.Clean(challenge)
		}
	}
	return challenge
}

// CleanRefusal returns the body of an error response without secrets.
func (s *Secrets) CleanRefusal(body []byte) []byte { return s.finder(true, longValue).cleanBody(body) }

// cleanBody replaces the secrets in a body. In JSON, it replaces them in the decoded strings, and in other text also behind the character
// references of HTML.
func (f *finder) cleanBody(data []byte) []byte {
	if json.Valid(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		return f.cleanJSON(data, true)
	}
	text := f.clean(string(data))
	if plain := html.UnescapeString(text); plain != text {
		if clean := f.clean(plain); clean != plain {
			text = clean
		}
	}
	return []byte(text)
}

// issuedMembers lists the members of responses that contain a secret (RFC 6749 §5.1, RFC 7591 §3.2.1, RFC 8628 §3.2, OpenID Connect Core
// §3.1.3.3). Slack issues tokens in members of authed_user.
var issuedMembers = []string{"access_token", "refresh_token", "id_token", "client_secret", "registration_access_token", "device_code"}

const slackUser = "authed_user"

// learnAnswer adds the secrets that a response issues. Metadata, which is the answer to GET, issues none.
func (s *Secrets) learnAnswer(req *http.Request, res *http.Response, data []byte) {
	if req.Method == http.MethodGet {
		return
	}
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind == formType {
		form, _ := url.ParseQuery(string(data))
		for _, name := range issuedMembers {
			s.learn(received, form.Get(name))
		}
		return
	}
	var members map[string]any
	if json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &members) != nil {
		return
	}
	user, _ := members[slackUser].(map[string]any)
	for _, name := range issuedMembers {
		s.learn(received, asString(members[name]), asString(user[name]))
	}
}

// cleanJSON replaces the secrets in the strings of a JSON text, also in the names of members. OAuth error codes stay, because callers act on
// the codes. If issued is true, the values of issuedMembers stay.
func (f *finder) cleanJSON(data []byte, issued bool) []byte {
	return f.rewriteStrings(data, func(path []string, isName bool, s string) bool {
		n := len(path)
		return slices.Contains(oauthCodes, s) ||
			issued && !isName && (n == 1 || n == 2 && path[0] == slackUser) && slices.Contains(issuedMembers, path[n-1])
	})
}

// namesStay is a condition for rewriteStrings that leaves the names of members unchanged.
func namesStay(_ []string, isName bool, _ string) bool { return isName }

// rewriteStrings cleans the strings of a JSON text, except those for which stays returns true. path contains the names of the members that
// contain the string; an element of a list has the name "".
func (f *finder) rewriteStrings(data []byte, stays func(path []string, isName bool, s string) bool) []byte {
	out := make([]byte, 0, len(data))
	var path []string
	for i := 0; i < len(data); {
		if data[i] != '"' {
			switch c := data[i]; {
			case c == '{' || c == '[':
				path = append(path, "")
			case (c == '}' || c == ']') && len(path) > 0:
				path = path[:len(path)-1]
			}
			out = append(out, data[i])
			i++
			continue
		}
		word := data[i : i+stringLength(data[i:])]
		i += len(word)
		isName := bytes.HasPrefix(bytes.TrimLeft(data[i:], " \t\r\n"), []byte(":"))
		var s string
		if json.Unmarshal(word, &s) == nil {
			if isName && len(path) > 0 {
				path[len(path)-1] = s
			}
			if !stays(path, isName, s) {
				if clean := f.clean(s); clean != s {
					word, _ = json.Marshal(clean)
				}
			}
		}
		out = append(out, word...)
	}
	return out
}

// stringLength returns the length of the JSON string at the beginning of data, with its quotes. The string may be unterminated.
func stringLength(data []byte) int {
	end := 1
	for end < len(data) && data[end] != '"' {
		if data[end] == '\\' {
			end++
		}
		end++
	}
	return min(end+1, len(data))
}
