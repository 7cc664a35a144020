package httpx

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

const (
	minToken       = 8   // in bytes; a shorter token could be ordinary text
	maxCredentials = 200 // maximum number of remembered credentials
	maxLearned     = 70  // maximum number of sent secrets and of received secrets; older ones are dropped, because proofs and tokens change often
)

// Secrets remembers the secrets that a process has read, sent or received. The process passes all output, and all data that it stores
// outside the credential store, through the methods of Secrets. If a server repeats a secret in an answer, the process therefore neither
// prints nor stores the secret. The zero value is ready to use. A Secrets is safe for concurrent use.
type Secrets struct {
	mu          sync.Mutex
	values      []string // values of the user's headers and variables
	credentials []string // credentials passed to Learn, oldest first
	sent        []string // other secrets in requests to OAuth endpoints, oldest first
	received    []string // secrets in responses, oldest first; separate from sent, so that a server that sends many secrets cannot displace the sent ones

	hidden map[string]bool     // the members of values; the value is true for identifiers, which a server may use in its own texts
	forms  map[string][]string // Forms of each secret, in lower case
}

// Learn adds credentials. Mask replaces a credential even if only its beginning appears in the text.
func (k *Secrets) Learn(credentials ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range credentials {
		k.addLast(&k.credentials, c)
	}
	k.credentials = slices.Delete(k.credentials, 0, max(0, len(k.credentials)-maxCredentials))
}

// LearnIssued adds credentials that a server issued. Ordinary text is ignored, because only a hostile server issues ordinary text as a
// credential.
func (k *Secrets) LearnIssued(credentials ...string) {
	k.Learn(slices.DeleteFunc(slices.Clone(credentials), isOrdinaryText)...)
}

// Hide adds values of the user's headers and variables. A value is masked only if all of it appears, because its beginning may be ordinary
// text. A value shorter than LongValue bytes is not masked, but MayStore searches for it. Hide ignores a value that is shorter than
// minToken bytes or is only the origin of a URL.
func (k *Secrets) Hide(values ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, v := range values {
		if _, known := k.hidden[v]; len(v) >= minToken && !known && !isOrigin(v) {
			if k.hidden == nil {
				k.hidden = map[string]bool{}
			}
			k.hidden[v] = isUUID(v)
			k.values = append(k.values, v)
		}
	}
}

// HideHeader adds the secrets in a header of the user. If the name of the header says that the value is an identifier, such as X-Tenant,
// messages mask the value, but Holds, Reveals and MayStore ignore it.
func (k *Secrets) HideHeader(name, value string) {
	secrets := HeaderSecrets(name, value)
	k.Hide(secrets...)
	if !namesIdentifier(name) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range secrets {
		if _, known := k.hidden[s]; known {
			k.hidden[s] = true
		}
	}
}

// Mask replaces the secrets in a message.
func (k *Secrets) Mask(message string) string {
	return k.replaceSecrets(message, partLength, LongValue)
}

// MaskWhole replaces the secrets that appear completely in a text. Use MaskWhole for results that a program reads, because the beginning of
// a secret may be another value there, such as a client ID.
func (k *Secrets) MaskWhole(text string) string {
	return k.replaceSecrets(text, math.MaxInt, LongValue)
}

// Holds reports whether a server's text contains a secret. Reveals with no known text has the same result.
func (k *Secrets) Holds(text string) bool { return k.Reveals(text, "") }

// MayStore reports whether a text of a server contains no secret, so that the text may be stored in a file. In JSON, the decoded strings must
// contain no secret either. MayStore also searches for the user's values that are too short for Mask.
func (k *Secrets) MayStore(text string) bool {
	mask := func(s string) string { return k.replaceSecrets(s, math.MaxInt, minToken) }
	return !holds(text, mask) && string(maskJSON([]byte(text), true, mask)) == text
}

// holds reports whether mask changes a text, even if the text is percent-encoded up to three times.
func holds(text string, mask func(string) string) bool {
	for range 4 {
		if mask(text) != text {
			return true
		}
		text = percentDecoded(text)
	}
	return false
}

// percentDecoded decodes the valid %XX sequences of a text and keeps every other %.
func percentDecoded(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if decoded, err := hex.DecodeString(text[i+1 : i+3]); err == nil {
				b.Write(decoded)
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// replaceSecrets replaces each value from Hide of at least minLength bytes that appears completely, and each other secret of which at least
// the first minPrefix bytes appear.
func (k *Secrets) replaceSecrets(text string, minPrefix, minLength int) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var spans [][2]int
	folded := lowerASCII(text)
	find := func(form string, minPrefix int) {
		head := form[:min(len(form), minPrefix)]
		for at := 0; ; {
			i := strings.Index(folded[at:], head)
			if i < 0 {
				return
			}
			end := at + i + len(head)
			for n := len(head); n < len(form) && end < len(folded) && folded[end] == form[n]; n++ {
				end++
			}
			spans = append(spans, [2]int{at + i, end})
			at += i + 1
		}
	}
	for _, list := range [][]string{k.credentials, k.sent, k.received} {
		for _, secret := range list {
			for _, form := range k.formsOf(secret) {
				find(form, minPrefix)
			}
		}
	}
	for _, v := range k.values {
		if len(v) < minLength || k.hidden[v] && minLength < LongValue { // MayStore ignores identifiers
			continue
		}
		for _, form := range k.formsOf(v) {
			find(form, len(form))
		}
	}
	if spans == nil {
		return text
	}
	slices.SortFunc(spans, func(a, b [2]int) int { return a[0] - b[0] })
	var b strings.Builder
	end := 0 // end of the part of text that is already written or masked
	for i, s := range spans {
		if i == 0 || s[0] > end {
			b.WriteString(text[end:s[0]] + redacted)
		}
		end = max(end, s[1])
	}
	return strings.ToValidUTF8(b.String()+text[end:], "�") // the end of a span may be within a character
}

func (k *Secrets) formsOf(secret string) []string {
	forms, ok := k.forms[secret]
	if !ok {
		for i, form := range Forms([]string{secret}) {
			if i == 0 || !isOrdinaryText(form) || isOrdinaryText(secret) { // a server could encode ordinary text, so that the text is one of the forms
				forms = append(forms, lowerASCII(form))
			}
		}
		if k.forms == nil || len(k.forms) > 2*maxCredentials {
			k.forms = map[string][]string{}
		}
		k.forms[secret] = forms
	}
	return forms
}

// addLast adds a secret to the end of a list, or moves it to the end if the list already contains it.
func (k *Secrets) addLast(list *[]string, secret string) {
	if n := len(*list); len(secret) < minToken || n > 0 && (*list)[n-1] == secret {
		return
	}
	if i := slices.Index(*list, secret); i >= 0 {
		*list = slices.Delete(*list, i, i+1)
	}
	*list = append(*list, secret)
}

// dropOldest drops the oldest secrets of a list. Call it before an exchange adds secrets, because a later call could drop one of them.
func (k *Secrets) dropOldest(list *[]string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	*list = slices.Delete(*list, 0, max(0, len(*list)-maxLearned))
}

// learnRequest remembers the credentials in the Authorization header of a request. The user's own headers are hidden already. Other headers
// and the query are not remembered, because a server can choose them, for example Referer by a redirect.
func (k *Secrets) learnRequest(req *http.Request) {
	k.LearnIssued(authorizationSecrets(req.Header.Get("Authorization"))...)
}

// authorizationSecrets returns the secrets in an Authorization header. For client_secret_basic, they include the client secret without its
// form encoding (RFC 6749 §2.3.1).
func authorizationSecrets(authorization string) []string {
	scheme, rest, ok := strings.Cut(authorization, " ")
	if !ok {
		return []string{authorization}
	}
	all := []string{rest}
	if !strings.EqualFold(scheme, "Basic") {
		return all
	}
	pair, err := base64.StdEncoding.DecodeString(rest)
	_, secret, ok := strings.Cut(string(pair), ":")
	if err != nil || !ok {
		return all
	}
	if plain, err := url.QueryUnescape(secret); err == nil {
		all = append(all, plain)
	}
	return append(all, secret)
}

// learnBody remembers the secret members of a form or JSON body. If list is nil, learnBody remembers nothing. The result is the body as the
// trace shows it, or nil for any other body.
func (k *Secrets) learnBody(list *[]string, kind string, data []byte) (shown any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if kind == formType {
		form, _ := url.ParseQuery(string(data))
		k.addForm(list, form)
		return form
	}
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	return k.addJSON(list, "", v)
}

func (k *Secrets) addForm(list *[]string, form url.Values) {
	for name, values := range form {
		for _, v := range values {
			if secretName(name) {
				k.addNamed(list, name, v)
			}
		}
	}
}

// issuedMembers lists the members of responses that contain a secret (RFC 6749 §5.1, RFC 7591 §3.2.1, RFC 8628 §3.2, OpenID Connect Core
// §3.1.3.3).
var issuedMembers = []string{"access_token", "refresh_token", "id_token", "client_secret", "registration_access_token", "device_code"}

// addNamed adds the value of a secret member, unless the value is ordinary text. In a response, only the issuedMembers are added, because a
// hostile server could name any text a secret, and Mask would then remove that text from messages.
func (k *Secrets) addNamed(list *[]string, name, value string) {
	if list == nil || isOrdinaryText(value) || list == &k.received && !slices.Contains(issuedMembers, name) {
		return
	}
	k.addLast(list, value)
}

// addJSON remembers the string members that have secret names, and returns the value with these members redacted.
func (k *Secrets) addJSON(list *[]string, name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = k.addJSON(list, name, v[name])
		}
	case []any:
		for i := range v {
			v[i] = k.addJSON(list, name, v[i])
		}
	case string:
		if secretName(name) {
			k.addNamed(list, name, v)
			return redacted
		}
		if jwtLike().MatchString(v) { // such as the assertion of GitHub Actions, which is called value
			return redacted
		}
	}
	return v
}

// MaskJSON replaces the secrets that appear completely in the strings of a JSON text, except in the names of members. The rest of the text is
// unchanged.
func (k *Secrets) MaskJSON(data []byte) []byte { return maskJSON(data, false, k.MaskWhole) }

// maskJSON applies mask to the strings of a JSON text. If names is false, maskJSON does not change the names of members.
func maskJSON(data []byte, names bool, mask func(string) string) []byte {
	var out []byte
	for i := 0; i < len(data); {
		if data[i] != '"' {
			out = append(out, data[i])
			i++
			continue
		}
		end := i + 1
		for end < len(data) && data[end] != '"' {
			if data[end] == '\\' {
				end++
			}
			end++
		}
		word := data[i:min(end+1, len(data))]
		i += len(word)
		var s string
		if isName := bytes.HasPrefix(bytes.TrimLeft(data[i:min(i+8, len(data))], " \t\r\n"), []byte(":")); (names || !isName) && json.Unmarshal(word, &s) == nil {
			if clean := mask(s); clean != s {
				word, _ = json.Marshal(clean)
			}
		}
		out = append(out, word...)
	}
	return out
}

// Reveals reports whether a server's text contains a secret. The user has typed known, such as the server's URL, so a secret in known does
// not count. Reveals also finds secrets that are percent-encoded up to three times. A server may legitimately use some header values in its
// URLs. Reveals therefore ignores origins, UUIDs and values shorter than LongValue bytes, unless they are credentials.
func (k *Secrets) Reveals(text, known string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	decoded := func(s string) (all []string) {
		for range 4 {
			all = append(all, lowerASCII(s))
			s = percentDecoded(s)
		}
		return all
	}
	texts, typed := decoded(text), decoded(known)
	within := func(texts []string, secret string) bool {
		return slices.ContainsFunc(k.formsOf(secret), func(form string) bool {
			return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, form) })
		})
	}
	revealed := func(secret string) bool { return within(texts, secret) && !within(typed, secret) }
	return slices.ContainsFunc(k.credentials, revealed) || slices.ContainsFunc(slices.Concat(k.sent, k.received, k.values), func(s string) bool {
		return len(s) >= LongValue && !isOrigin(s) && !k.hidden[s] && revealed(s)
	})
}
