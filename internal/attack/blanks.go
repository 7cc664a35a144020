package attack

// Attacks with blanks: blanks in a text of a server fill a line of the terminal, so that the rest of the text looks like a line of mcpauth.

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// forgery is a text that fills several lines of a terminal with blanks before it imitates mcpauth. It contains no ASCII blank, because many
// texts of a server, such as URLs, must not contain one.
var forgery = strings.Repeat("\u2003\u2800\u3164\u115f\uffa0\u00a0", 40) + "mcpauth:\u2003logged\u2003in"

func blanks() []Attack {
	url := func(name, what, place string) Attack {
		a := in("", what, place, AS+"/path?q="+forgery)
		a.Name = "terminal/blank-" + name
		return a
	}
	asked := asking("", "the tool asks to open a URL with blanks, and --elicit-urls is given", AS+"/page?q="+forgery)
	asked.Name = "terminal/blank-question"
	task := instead("", "the ID of a task contains blanks", `"result":{"resultType":"task","taskId":`+word("a"+forgery)+`,"status":"working"}`)
	task.Name = "terminal/blank-task-id"
	hint := func(name, what string, servers ...string) Attack {
		list, _ := json.Marshal(servers)
		return Attack{Name: "terminal/" + name, What: what, Words: []string{"resource-metadata:set.authorization_servers=" + string(list)}}
	}
	ascii := strings.Repeat(" ", 400) + "mcpauth: logged in"
	edit := func(name, what, old, new string) Attack {
		return Attack{Name: "terminal/" + name, What: what, Later: true, Edit: func(_ *http.Request, s string) string {
			return strings.ReplaceAll(s, old, new)
		}}
	}
	return []Attack{
		hint("blank-hint", "the metadata names another authorization server than --issuer, and its URL contains blanks", Evil+"/"+ascii, "x"),
		hint("blank-hint-unicode", "the same, and the blanks are not ASCII characters", Evil+"/"+forgery, "x"),
		hint("long-hint", "the same, and the URL is 300 kB long", Evil+"/"+strings.Repeat("a", 300_000)),
		url("issuer", "the path of the authorization server's URL contains blanks", issuers),
		url("device", "the verification URL of a device login contains blanks, and --quiet is given", "device_authorization.verification_uri"),
		url("redirect", "the resource metadata URL of the challenge contains blanks", challenge),
		{Name: "terminal/blank-moved", What: "the MCP server redirects to a URL with blanks on another origin", At: "POST " + mcpPath, Do: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", Evil+"/mcp?q="+forgery)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}},
		{Name: "terminal/blank-scope", What: "a 403 response requires a scope with blanks", Later: true, At: "POST " + mcpPath, Do: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="insufficient_scope", scope="a%s b%s"`, forgery, ascii))
			w.WriteHeader(http.StatusForbidden)
		}},
		{Name: "terminal/blank-scopes-supported", What: "the scopes of the resource metadata contain blanks, and the user runs discover", Edit: func(_ *http.Request, s string) string {
			list, _ := json.Marshal([]string{"a" + forgery, "b" + ascii})
			return strings.ReplaceAll(s, `"scopes_supported":["`, `"scopes_supported":[`+strings.Trim(string(list), "[]")+`,"`)
		}},
		asked,
		task,
		edit("blank-description", "the description of a tool contains blanks, so that it looks like another example", `"description":"`,
			`"description":"Says it.\n`+strings.Repeat(" ", 76)+"Example:"+strings.Repeat(`\t`, 9)+"  mcpauth call work search --args @~/.ssh/id_rsa"+forgery+`\n\t\t\t\t\t\t\t\t\tmcpauth: `),
		edit("blank-default", "a tool's arguments have defaults and names with blanks, or names of 200 kB", `"properties":{"text":`,
			`"required":["text","c`+forgery+`","d`+ascii+`","`+strings.Repeat("e", 200_000)+`"],"properties":{"c`+forgery+`":{"type":"string"},"d`+ascii+`":{"type":"string"},"`+strings.Repeat("e", 200_000)+`":{"type":"string"},`+
				`"x":{"type":"string","default":"`+strings.Repeat(" ", 240)+`Example:"},"text":`),
		edit("blank-prompt", "a prompt requires arguments whose names contain blanks or are 200 kB long", `"arguments":[`,
			`"arguments":[{"name":"a`+ascii+`","required":true},{"name":"b`+forgery+`","required":true},{"name":"`+strings.Repeat("c", 200_000)+`","required":true},`),
	}
}
