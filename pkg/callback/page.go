package callback

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

//go:embed page.html
var pageHTML string

// pageTemplate parses the page on first use, because most commands do not show the page.
var pageTemplate = sync.OnceValue(func() *template.Template { return template.Must(template.New("page").Parse(pageHTML)) })

// contentPolicy returns a Content-Security-Policy that allows only the style sheet in the page. A hash identifies this style sheet.
func contentPolicy() string {
	return "default-src 'none'; style-src 'sha256-" + styleHash(pageHTML) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

func styleHash(html string) string {
	_, after, _ := strings.Cut(html, "<style>")
	style, _, _ := strings.Cut(after, "</style>")
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

type content struct {
	Good          bool
	Title, Detail string
	Code, Words   string // error and error_description of the authorization server; empty: no error
}

var (
	donePage        = content{Good: true, Title: "Login complete", Detail: "mcpauth received the response. You can close this window and return to your terminal."}
	notResponsePage = content{Title: "Not a login response", Detail: "This is not the response that mcpauth is waiting for. mcpauth ignored it."}
	wrongIssuerPage = content{Title: "Login stopped", Detail: "The response did not come from the expected authorization server. mcpauth did not use it. See your terminal for details."}
	malformedPage   = content{Title: "Login failed", Detail: "The authorization server sent a malformed response. See your terminal for details."}
)

// showAnswer sends the page with the result of the login.
func showAnswer(w http.ResponseWriter, err error) {
	var refused *AuthorizationError
	switch {
	case err == nil:
		sendPage(w, http.StatusOK, donePage)
	case errors.As(err, &refused):
		sendPage(w, http.StatusOK, content{Title: "Login refused", Detail: "The authorization server did not grant access. See your terminal for details.",
			Code: refused.Code, Words: refused.Description})
	case errors.Is(err, ErrIssuer):
		sendPage(w, http.StatusOK, wrongIssuerPage)
	default:
		sendPage(w, http.StatusOK, malformedPage)
	}
}

func sendPage(w http.ResponseWriter, status int, c content) {
	var b bytes.Buffer
	if err := pageTemplate().Execute(&b, c); err != nil {
		http.Error(w, c.Title, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentPolicy())
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
