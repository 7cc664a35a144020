// The honest server listens on loopback, but the program knows it under the host name of a remote server. Each URL is translated in both
// directions.

package attack

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// replacer replaces URLs, both unchanged and percent-encoded.
func replacer(pairs ...string) *strings.Replacer {
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, pairs[i], pairs[i+1], url.QueryEscape(pairs[i]), url.QueryEscape(pairs[i+1]))
	}
	return strings.NewReplacer(all...)
}

// fill replaces placeholders by URLs that are known only at run time.
func (w *World) fill(words string) string {
	trap := w.trap.Addr().String()
	return strings.NewReplacer("TRAP-HOST", trap, "TRAP", "http://"+trap, "EVIL", Evil).Replace(words)
}

// forward sends a request to the honest server at the address to. The parameter as is the authorization server's origin in the World.
func (w *World) forward(rw http.ResponseWriter, r *http.Request, to, as string) {
	names := []string{MCP, w.good.Origin(), as, w.good.Issuer()}
	if w.provider != nil {
		names = append(names, IDP, w.provider.Issuer())
	}
	in := replacer(names...)
	slices.Reverse(names)
	out := replacer(names...)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, to+in.Replace(r.URL.RequestURI()), strings.NewReader(in.Replace(string(body))))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	req.Header = r.Header.Clone()
	req.Header.Del("Accept-Encoding")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		panic(http.ErrAbortHandler) // the honest server dropped the connection because of a fault
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	text := out.Replace(string(answer))
	if w.attack.Edit != nil && w.Begun() {
		text = w.attack.Edit(r, text)
	}
	for name, values := range res.Header {
		for _, v := range values {
			rw.Header().Add(name, out.Replace(v))
		}
	}
	rw.Header().Del("Content-Length")
	rw.WriteHeader(res.StatusCode)
	io.WriteString(rw, text)
}
