package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"
)

// Faults is a list of faults.
type Faults []Fault

// Fault makes one endpoint misbehave, for the next N matching requests or until it is cleared. If several faults match a request, they are
// combined, and a later one has precedence. The text form is "ENDPOINT:key=value,key,preset". A value may be JSON and may then contain
// commas.
type Fault struct {
	Endpoint string // one of Endpoints; * means all except the control endpoint

	// Conditions that a request must meet.
	N      int    `set:"n" help:"number of requests; 0: until cleared"`
	Skip   int    `set:"skip" help:"number of matching requests to let pass first"`
	Grant  string `set:"grant" help:"token: only this grant, such as refresh_token"`
	Method string `set:"method" help:"only this MCP method (tools/call), tool (tool/echo) or HTTP method"`
	Path   string `set:"path" help:"only this path"`
	Has    string `set:"has" help:"only requests with this text in body or query"`
	With   string `set:"with" help:"only requests with this header"`
	Lacks  string `set:"lacks" help:"only requests without this header"`

	// Effects on the response.
	Delay   time.Duration `set:"delay" help:"wait before anything else"`
	Late    time.Duration `set:"late" help:"process the request, and respond this much later"`
	Hang    string        `set:"hang" one:"before after mid" help:"send no response and keep the connection: before or after the request is processed, mid: after half of the response"`
	Drop    string        `set:"drop" one:"before after mid" help:"close the connection: before or after the request is processed, mid: after half of the response"`
	Deny    bool          `set:"deny" help:"mcp: 401 invalid_token for every token"`
	Status  int           `set:"status" help:"300 and higher: respond with this status without processing the request; lower: process it, and respond with this status"`
	Process bool          `set:"process" help:"process the request before responding with status or body"`
	Retry   string        `set:"retry" help:"Retry-After"`
	Type    string        `set:"type" help:"Content-Type"`
	Body    string        `set:"body" help:"this body instead; N*TEXT repeats TEXT"`
	Cut     int           `set:"cut" help:"send only this many bytes of the body"`
	To      string        `set:"to" help:"Location, for a status of 3xx"`
	Header  []string      `set:"header" help:"further header lines, a JSON array"`

	// Edit changes members of a JSON response, parameters of the redirect (authorize) or parameters of the challenge (mcp). A nil value
	// removes the member. The text form is set.NAME=VALUE or del=NAME. If VALUE is not valid JSON, VALUE is text.
	Edit map[string]any
}

// Endpoints returns the valid values of Fault.Endpoint and Entry.Endpoint.
func Endpoints() []string {
	return []string{"mcp", "resource-metadata", "metadata", "register", "client", "authorize", "par", "token", "revoke", "introspect",
		"device_authorization", "device", "idp", "*"}
}

// presets returns named faults. Most of them reproduce the behaviour of a real server.
func presets() map[string]string {
	return map[string]string{
		"html":             `status=200,process,type=text/html,body="<!doctype html><title>Sign in</title><p>Please sign in."`,
		"truncated":        `cut=20`,
		"slack":            `status=200,type=application/json,body="{\"ok\":false,\"error\":\"invalid_grant\"}"`,
		"invalid_grant":    `status=400,type=application/json,body="{\"error\":\"invalid_grant\",\"error_description\":\"by request\"}"`,
		"refused-code":     `status=401,type=application/json,body="{\"error\":\"token_revoked\",\"error_description\":\"the session has ended\"}"`,
		"refused-list":     `status=400,type=application/json,body="[{\"error\":\"invalid_grant\",\"error_description\":\"the session has ended\"}]"`,
		"refused-errors":   `status=400,type=application/json,body="{\"errors\":[{\"message\":\"the session has ended\"}]}"`,
		"refused-form":     `status=400,type=application/x-www-form-urlencoded,body=error=invalid_grant&error_description=the+session+has+ended`,
		"refused-html":     `status=400,type=text/html,body="<!doctype html><title>the session has ended</title><p>Sign in again."`,
		"refused-problem":  `status=400,type=application/problem+json,body="{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"the session has ended\"}"`,
		"wrong-audience":   `deny,set.error_description="the token is bound to a different resource"`,
		"gone":             `status=410,type=text/plain,body=Gone`,
		"invalid_client":   `status=401,type=application/json,body="{\"error\":\"invalid_client\"}"`,
		"busy":             `status=429,retry=1,type=application/json,body="{\"error\":\"too_many_requests\"}"`,
		"forbidden":        `status=403,type=text/plain,body=Forbidden`,
		"no-expires-in":    `del=expires_in`,
		"no-refresh-token": `del=refresh_token`,
		"no-iss":           `del=iss`,
		"wrong-iss":        `set.iss=https://other.example`,
		"wrong-state":      `set.state=not-yours`,
		"access-denied":    `set.error=access_denied,set.error_description="the user said no",del=code`,
		"foreign-issuer":   `set.issuer=https://other.example`,
		"foreign-resource": `set.resource=https://other.example/mcp`,
		"no-pkce":          `del=code_challenge_methods_supported`,
		"plain-pkce":       `set.code_challenge_methods_supported=["plain"]`,
		"no-registration":  `del=registration_endpoint`,
		"no-revocation":    `del=revocation_endpoint`,
		"iss-unannounced":  `del=authorization_response_iss_parameter_supported`,
	}
}

// ParseFault reads one fault: "token:grant=refresh_token,status=503,n=2".
func ParseFault(s string) (Fault, error) {
	endpoint, rest, ok := strings.Cut(s, ":")
	if !ok || !slices.Contains(Endpoints(), endpoint) {
		return Fault{}, fmt.Errorf("fault %q: expected ENDPOINT:WORDS with one of %s", s, strings.Join(Endpoints(), ", "))
	}
	f := Fault{Endpoint: endpoint}
	if err := f.read(rest); err != nil {
		return Fault{}, fmt.Errorf("fault %q: %w", s, err)
	}
	return f, nil
}

func (f *Fault) read(list string) error {
	pairs, err := splitPairs(list)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if expanded, ok := presets()[p.key]; ok && p.value == "" {
			if err := f.read(expanded); err != nil {
				return err
			}
			continue
		}
		if err := f.readPair(p); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fault) readPair(p pair) error {
	name, edit := strings.CutPrefix(p.key, "set.")
	if !edit && p.key != "del" {
		return assign(f, p.key, p.value)
	}
	if f.Edit == nil {
		f.Edit = map[string]any{}
	}
	if !edit {
		f.Edit[p.value] = nil
		return nil
	}
	d := json.NewDecoder(strings.NewReader(p.value))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		v = p.value
	}
	f.Edit[name] = v
	return nil
}

type pair struct{ key, value string }

// splitPairs splits "a=1,b,c=[1,2]" at the commas that are not inside JSON values.
func splitPairs(s string) ([]pair, error) {
	var pairs []pair
	for s != "" {
		end := strings.IndexAny(s, "=,")
		if end < 0 {
			return append(pairs, pair{key: s}), nil
		}
		p := pair{key: s[:end]}
		if s[end] == '=' {
			n := valueLength(s[end+1:])
			if n < 0 {
				return nil, fmt.Errorf("%s: the JSON value does not end", p.key)
			}
			p.value = s[end+1 : end+1+n]
			end += 1 + n
		}
		pairs = append(pairs, p)
		s = strings.TrimPrefix(s[end:], ",")
	}
	return pairs, nil
}

// valueLength returns the length of the value at the start of s: a JSON value, or the text before the next comma. The result is -1 if a
// JSON value is not complete.
func valueLength(s string) int {
	if s != "" && strings.ContainsRune(`"[{`, rune(s[0])) {
		d := json.NewDecoder(strings.NewReader(s))
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return -1
		}
		return int(d.InputOffset())
	}
	if i := strings.IndexByte(s, ','); i >= 0 {
		return i
	}
	return len(s)
}

// Inject adds a fault.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// meet returns the combination of all faults that match a request, and decrements their counters.
func (s *Server) meet(r *request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum Fault
	kept := s.faults[:0]
	for _, f := range s.faults {
		if !f.matches(r) {
			kept = append(kept, f)
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			kept = append(kept, f)
			continue
		}
		sum.add(f)
		if f.N != 1 {
			kept = append(kept, f)
		}
		if f.N > 1 {
			f.N--
		}
	}
	clear(s.faults[len(kept):])
	s.faults = kept
	return sum
}

func (f *Fault) matches(r *request) bool {
	e := r.entry
	switch {
	case f.Endpoint != "*" && f.Endpoint != e.Endpoint,
		f.Grant != "" && f.Grant != e.Grant,
		f.Path != "" && f.Path != e.Path,
		f.Has != "" && !strings.Contains(r.URL.RawQuery+"\n"+string(r.body), f.Has),
		f.With != "" && e.Header.Get(f.With) == "",
		f.Lacks != "" && e.Header.Get(f.Lacks) != "":
		return false
	}
	return f.Method == "" || f.Method == e.RPC || f.Method == "tool/"+e.Tool || f.Method == e.Method
}

// add adds the effects of another fault, which has precedence.
func (f *Fault) add(other *Fault) {
	to, from := reflect.ValueOf(f).Elem(), reflect.ValueOf(other).Elem()
	for i := range to.NumField() {
		if to.Type().Field(i).Tag.Get("set") != "" && !from.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
		}
	}
	for name, value := range other.Edit {
		if f.Edit == nil {
			f.Edit = map[string]any{}
		}
		f.Edit[name] = value
	}
}

// instead reports whether the fault replaces the endpoint, so that the request is not processed.
func (f Fault) instead() bool { return !f.Process && (f.Status >= 300 || f.Body != "") }

// apply edits the members of a JSON object or the parameters of a redirect or a challenge.
func (f Fault) apply(members map[string]any) {
	for name, value := range f.Edit {
		if value == nil {
			delete(members, name)
		} else {
			members[name] = value
		}
	}
}

// write sends the response of the fault, based on the response of the endpoint.
func (f Fault) write(w http.ResponseWriter, rec *recorder) {
	h := w.Header()
	for k, v := range rec.header {
		h[k] = v
	}
	if f.Type != "" {
		h.Set("Content-Type", f.Type)
	}
	if f.Retry != "" {
		h.Set("Retry-After", f.Retry)
	}
	if f.To != "" {
		h.Set("Location", f.To)
	}
	f.addHeader(h)
	body := rec.body.Bytes()
	if f.Body != "" {
		body = []byte(repeat(f.Body))
	}
	if f.Cut > 0 && f.Cut < len(body) {
		body = body[:f.Cut]
	}
	h.Del("Content-Length")
	w.WriteHeader(f.status(rec.status))
	w.Write(body)
}

// addHeader adds the header lines.
func (f Fault) addHeader(h http.Header) {
	for _, line := range f.Header {
		name, value, _ := strings.Cut(line, ":")
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
}

func (f Fault) status(prepared int) int {
	switch {
	case f.Status != 0:
		return f.Status
	case prepared != 0:
		return prepared
	}
	return http.StatusOK
}

// repeat expands "3*ab" to "ababab", so that a large body can be written briefly.
func repeat(s string) string {
	var n int
	var rest string
	if count, text, ok := strings.Cut(s, "*"); ok {
		if _, err := fmt.Sscanf(count+"\n", "%d\n", &n); err == nil && n > 0 {
			rest = text
		}
	}
	if rest == "" {
		return s
	}
	return strings.Repeat(rest, n)
}

// presetHelp lists the presets.
func presetHelp() string {
	var lines []string
	for name, words := range presets() {
		lines = append(lines, fmt.Sprintf("  %-17s %s", name, words))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n") + "\n"
}
