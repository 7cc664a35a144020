package httpx

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

const (
	minToken       = 8   // in bytes; a shorter value never counts; a shorter credential counts only in messages and error responses
	longValue      = 16  // in bytes; a shorter value of the user, such as the name of a tenant, may appear in a server's texts
	maxCredentials = 200 // maximum number of credentials passed to Learn
	maxLearned     = 70  // maximum number of sent and of received credentials; older ones are dropped, because proofs and tokens change often
)

// Secrets contains the secrets of one login: its credentials, and the values of the user's headers and variables. A client that
// Secrets.Client returns removes these secrets from the responses of OAuth endpoints and from the headers of refusals. Text that reaches the
// program in another way must pass through Clean. The program's own text is passed only to MaskValues of a Secrets without a server's tokens,
// because the server chooses these tokens. The zero value is ready to use. A Secrets is safe for concurrent use.
type Secrets struct {
	mu          sync.Mutex
	credentials []*secret          // oldest first
	values      map[string]*secret // values of the user
	typed       map[string]bool    // texts that the user typed, in lower case; a secret in them does not count
	shown       []string           // see AddShown; in lower case

	finders map[use]*finder // results of finder; nil: a secret has changed since the last call
}

// A secret is a credential or a value of the user.
type secret struct {
	text   string
	origin origin
	forms  []string // result of lowerForms for text; nil: not computed yet
}

// An origin is the place that a secret comes from.
type origin int

const (
	kept               origin = iota // passed to Learn
	inHeader                         // in an Authorization header passed to AddHeader
	sent                             // in a request
	received                         // in a response; separate from sent, so that a server that sends many secrets cannot displace the sent ones
	ofUser                           // a value of the user
	ofSecretHeader                   // a value of a header whose name says that it is a secret, of at least minToken bytes
	identifier                       // a UUID or URL in a variable of the user, which a server may use in its texts
	ofIdentifierHeader               // a value of a header that is an identifier by its name or form; only a secret header makes it a secret
)

// A use is a kind of text that is searched for secrets.
type use int

const (
	ownText    use = iota // a text of the program
	lastCheck             // a text of the program that may contain a text of the server; no ordinary word counts
	inMessage             // a message or refusal of a server, in which parts of credentials count too
	inResponse            // another text of a server, such as a URL, which an ordinary word that is masked would damage
	inFile                // a text of a server that may be stored
)

// The method counts reports whether a secret counts in a text. A value of the user has at least minToken bytes.
func (s *secret) counts(u use) bool {
	long := len(s.text) >= longValue
	switch s.origin {
	case ofUser:
		return long || u == inFile
	case ofSecretHeader:
		return long || u == inMessage || u == inFile || (u == inResponse || u == lastCheck) && !isWord(s.text)
	case identifier:
		return long && u == ownText
	case ofIdentifierHeader:
		return false
	}
	if u == lastCheck {
		return isRandom(s.text)
	}
	return u == inMessage || len(s.text) >= minToken && (long || u == ownText || !isSmall(s.text)) // a word such as development may be part of a URL
}

// isRandom reports whether a text that a server chose is no word such as assume-pkce-s256, URL or host name in a text of the program.
func isRandom(s string) bool {
	digits := 0
	for _, c := range []byte(s) {
		if '0' <= c && c <= '9' {
			digits++
		}
	}
	mixed := digits > 0 && strings.ToLower(s) != s && strings.ToUpper(s) != s
	return len(s) >= longValue && (digits >= 4 || mixed) && !strings.ContainsAny(s, " :%") && (len(s) >= 64 || !strings.ContainsAny(s, "./"))
}

// Learn adds credentials.
func (s *Secrets) Learn(credentials ...string) { s.learn(kept, credentials...) }

func (s *Secrets) learn(from origin, credentials ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range credentials {
		if len(text) < minSecret || s.isTyped(text) {
			continue
		}
		c := &secret{text: text, origin: from}
		if i := slices.IndexFunc(s.credentials, func(c *secret) bool { return c.text == text }); i >= 0 { // a known credential becomes the newest one
			c = s.credentials[i]
			c.origin = min(c.origin, from)
			s.credentials = slices.Delete(s.credentials, i, i+1)
		} else {
			s.finders = nil
		}
		s.credentials = append(s.credentials, c)
	}
	if from == kept || from == inHeader {
		s.dropOldest(from, maxCredentials)
	}
}

// maxBytes limits the size of all credentials of an origin. To find the parts of a credential takes many times its size in memory.
const maxBytes = 256 << 10

// dropOldest drops the oldest credentials of an origin until at most limit of them remain, with at most maxBytes. Sent and received credentials
// are dropped only before an exchange, so that the credentials of the exchange itself remain.
func (s *Secrets) dropOldest(from origin, limit int) {
	var remaining []*secret
	count, size := 0, 0
	for _, c := range slices.Backward(s.credentials) {
		if c.origin == from {
			count++
			size += len(c.text)
			if count > limit || size > maxBytes {
				continue
			}
		}
		remaining = append(remaining, c)
	}
	if len(remaining) < len(s.credentials) {
		slices.Reverse(remaining)
		s.credentials, s.finders = remaining, nil
	}
}

// AddValues adds values of the user, such as those of variables. Only a complete value counts, because its beginning may be ordinary text. Where
// Clean and MaskValues see that a text was cut, a beginning of at least partLength bytes counts too. A server may use a value that is public by
// its form, and a value shorter than longValue bytes.
func (s *Secrets) AddValues(values ...string) {
	for _, v := range values {
		s.addValues(ofUser, []string{v, strings.TrimSpace(v)})
	}
}

func (s *Secrets) addValues(from origin, values []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		known := s.values[v]
		if len(v) < minToken || known != nil && (from == ofUser || known.origin == ofSecretHeader) || from == ofUser && isName(v) || s.isTyped(v) {
			continue
		}
		if s.values == nil {
			s.values = map[string]*secret{}
		}
		s.values[v], s.finders = &secret{text: v, origin: from}, nil
		if from == ofUser && (isUUID(v) || isURL(v)) {
			s.values[v].origin = identifier
		}
	}
}

// AddHeader adds the secrets in a header of the user. The secrets in an Authorization header are credentials. The name of another header may
// say that its value is a secret, such as X-Api-Key, or only an identifier, such as X-Tenant.
func (s *Secrets) AddHeader(name, value string) {
	value = strings.Trim(value, " \t") // as net/http sends it
	secrets := HeaderSecrets(name, value)
	if key, password := basicPair(value); password == "" && !isWord(key) || isRandom(key) { // many services take an API key as the user name
		secrets = append(secrets, key)
	}
	switch {
	case strings.EqualFold(name, "Authorization"):
		s.learn(inHeader, secrets...)
	case namesSecret(name):
		s.addValues(ofSecretHeader, secrets)
	case namesIdentifier(name) || isUUID(value) || isURL(value) || !strings.ContainsAny(value, "0123456789"): // without a digit, such as a list of tools
		s.addValues(ofIdentifierHeader, secrets)
	default:
		s.AddValues(secrets...)
	}
}

// AddTyped adds texts that the user typed for this login, such as the server's URL. Servers may use every secret that these texts contain.
func (s *Secrets) AddTyped(texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := len(s.typed)
	if s.typed == nil {
		s.typed = map[string]bool{}
	}
	for _, text := range texts {
		s.typed[lowerCase(text)], s.typed[lowerCase(percentDecoded(text))] = true, true
	}
	if len(s.typed) == known {
		return
	}
	s.finders = nil
	for v := range s.values {
		if s.isTyped(v) {
			delete(s.values, v)
		}
	}
	s.credentials = slices.DeleteFunc(s.credentials, func(c *secret) bool { return s.isTyped(c.text) })
}

// AddShown adds the arguments of the user's command, such as name=value. A message may show a value of the user that they contain, unless its
// origin is ofSecretHeader. Credentials, and texts that are stored or used, are not affected.
func (s *Secrets) AddShown(texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown, s.finders = nil, nil
	for _, text := range texts {
		s.shown = append(s.shown, lowerCase(text))
	}
}

// isShown reports whether a message may show a value of the user.
func (s *Secrets) isShown(v *secret) bool {
	return (v.origin == ofUser || v.origin == identifier) && slices.ContainsFunc(s.shown, func(t string) bool { return strings.Contains(t, lowerCase(v.text)) })
}

func (s *Secrets) isTyped(text string) bool {
	text = lowerCase(text)
	for t := range s.typed {
		if strings.Contains(t, text) {
			return true
		}
	}
	return false
}

// Clean replaces the secrets in a message of a server. A credential of at least minSecret bytes counts, or a part of a credential of at
// least partLength bytes. A value of the user counts if it has at least longValue bytes and is no identifier, or if its origin is
// ofSecretHeader. The beginning of such a value counts before "…" and at the end of the message.
func (s *Secrets) Clean(message string) string { return s.finder(inMessage).clean(message) }

// CleanJSON applies Clean to the decoded strings and names of a JSON text of a server.
func (s *Secrets) CleanJSON(data []byte) []byte {
	return s.finder(inMessage).rewriteStrings(data, noneStays)
}

// Holds reports whether a server's text contains a complete secret. Use Holds if the text cannot be masked, for example a URL.
func (s *Secrets) Holds(text string) bool { return s.finder(inResponse).clean(text) != text }

// IsCredential reports whether a text is a complete credential of at least longValue bytes. A URL does not count, because a server could issue
// the value of a variable such as HTTPS_PROXY as a token. A credential of AddHeader does not count, because an untrusted project's file may
// contain the header.
func (s *Secrets) IsCredential(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(text) >= longValue && !isURL(text) && slices.ContainsFunc(s.credentials, func(c *secret) bool { return c.text == text && c.origin != inHeader })
}

// MayStore reports whether a text of a server contains no secret, so that the text may be stored in a file. In JSON, the decoded strings must
// contain no secret either. MayStore also searches for values of the user that are too short for Clean.
func (s *Secrets) MayStore(text string) bool {
	f := s.finder(inFile)
	return f.clean(text) == text && string(f.rewriteStrings([]byte(text), noneStays)) == text
}

// MaskValues replaces the complete values of the user, also UUIDs and URLs in variables, and the credentials of an Authorization header in a text of the
// program, and their beginnings before "…".
func (s *Secrets) MaskValues(text string) string { return s.finder(ownText).clean(text) }

// MaskIssued replaces the tokens and secrets of the login that are no ordinary words in a text of the program. Call MaskIssued last: a text of the
// server in it may have become readable after Clean, for example when it was decoded.
func (s *Secrets) MaskIssued(text string) string { return s.finder(lastCheck).clean(text) }

// MaskJSON applies MaskValues to the strings of a JSON text, except to the names of members.
func (s *Secrets) MaskJSON(data []byte) []byte {
	f := *s.finder(ownText)
	f.marks = false // the quotes of JSON strings stay valid
	return f.rewriteStrings(data, namesStay)
}

// finder returns the finder for a kind of text.
func (s *Secrets) finder(u use) *finder {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finders == nil {
		s.finders = map[use]*finder{}
	}
	if s.finders[u] == nil {
		s.finders[u] = s.newFinder(u)
	}
	return s.finders[u]
}

func (s *Secrets) newFinder(u use) *finder {
	f := &finder{cut: u == inMessage, marks: u == ownText || u == lastCheck}
	var whole, begins []string
	add := func(c *secret) {
		if !c.counts(u) {
			return
		}
		forms := c.inLowerCase()
		if u == lastCheck { // a server can issue the encoded form of a word
			forms = slices.DeleteFunc(slices.Clone(forms), func(form string) bool { return len(c.text) >= longValue && !isRandom(form) })
		}
		whole = append(whole, forms...)
		if (u == inMessage || u == ownText || u == lastCheck) && c.origin != identifier && !strings.Contains(c.text, "://") { // the beginning of a URL or UUID may be ordinary text
			begins = append(begins, forms...)
		}
	}
	for _, c := range s.credentials {
		add(c)
	}
	if u == inMessage {
		f.parts = newPartSet(whole) // only parts of credentials, because a part of a value may be ordinary text
	}
	for _, v := range s.values {
		if u == inResponse || u == inFile || !s.isShown(v) {
			add(v)
		}
	}
	f.whole, f.begins = newFormIndex(whole), newFormIndex(begins)
	return f
}

// isWord reports whether a text contains only letters, '-' and '_', such as access_token or Production.
func isWord(s string) bool {
	return isSmall(strings.NewReplacer("-", "", "_", "").Replace(lowerCase(s)))
}

func (s *secret) inLowerCase() []string {
	if s.forms == nil {
		s.forms = lowerForms(s.text)
	}
	return s.forms
}

// learnRequest adds the credentials in the Authorization and DPoP headers of a request. In a request to an OAuth endpoint, learnRequest also
// adds the other headers and the secret fields of the form. The query is ignored, because a server may have chosen it.
func (s *Secrets) learnRequest(req *http.Request, oauth bool) {
	s.mu.Lock()
	s.dropOldest(sent, maxLearned)
	s.dropOldest(received, maxLearned)
	s.mu.Unlock()
	if authorization := req.Header.Get("Authorization"); authorization != "" {
		s.learn(sent, authorizationSecrets(authorization)...)
	}
	s.learn(sent, req.Header.Get("Dpop"))
	if !oauth {
		return
	}
	for name, values := range req.Header {
		if name == "Authorization" || name == "Dpop" || name == "Referer" { // a server can choose Referer by a redirect
			continue
		}
		for _, value := range values {
			s.AddHeader(name, value)
		}
	}
	if req.GetBody == nil || req.Header.Get("Content-Type") != formType {
		return
	}
	if body, err := req.GetBody(); err == nil {
		data, _ := io.ReadAll(io.LimitReader(body, MaxBody))
		body.Close()
		form, _ := url.ParseQuery(string(data))
		s.learn(sent, formSecrets(form)...)
	}
}

// learnProxyPassword adds the proxy password after a failure, because the error may contain the proxy's status line, and that line may
// repeat the password.
func (s *Secrets) learnProxyPassword(req *http.Request) {
	if proxy, _ := ProxyFor(req); proxy != nil && proxy.User != nil {
		password, _ := proxy.User.Password()
		s.Learn(password, proxy.User.Username()+":"+password)
	}
}
