package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/config"
	"mcpauth/internal/httpx"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/mcpclient"
	"mcpauth/pkg/token"
)

// hintInput contains what a hint can depend on.
type hintInput struct {
	typed       commandLine
	server      string // the SERVER as the user typed it, quoted for a shell
	staticToken bool   // MCPAUTH_ACCESS_TOKEN is in use
	timeLeft    bool   // see hasTimeLeft
	sent        bool   // an HTTP request was sent
	login       string // the hint that makes a login possible; empty: loginLine
	err         error
}

// hintAbout returns the input of a hint with commands for a server. The server must be quoted for a shell.
func (p *program) hintAbout(server string) hintInput {
	return hintInput{typed: p.userLine, server: server}
}

// aboutUnfinished returns a copy of its receiver whose commands name an unfinished login by its URL and --name, because the name alone does not
// select the login. The copy has no secrets, because an untrusted project may have chosen the URL.
func (a hintInput) aboutUnfinished(t flow.Target) hintInput {
	a = a.withoutSecrets().withoutFlags("--name")
	a.server = shellWord(t.URL)
	if isLoginName(t.Profile) {
		a.typed.flags = append(a.typed.flags, typedFlag{"--name", "--name " + t.Profile})
	}
	return a
}

// hasFlag reports whether the user gave a flag.
func (a hintInput) hasFlag(name string) bool {
	return slices.ContainsFunc(a.typed.flags, func(f typedFlag) bool { return f.name == name })
}

// withoutFlags returns a copy of its receiver without these flags.
func (a hintInput) withoutFlags(names ...string) hintInput {
	a.typed.flags = slices.DeleteFunc(slices.Clone(a.typed.flags), func(f typedFlag) bool { return slices.Contains(names, f.name) })
	return a
}

// withoutSecrets returns a copy of its receiver without the flags that select a secret or a header to send. A hint may contain a URL that
// an MCP server chose, and the user's secrets must not be sent to that URL.
func (a hintInput) withoutSecrets() hintInput {
	return a.withoutFlags(secretFlags()...)
}

// conflictingFlags returns the flags of login that cannot be combined with a flag.
func conflictingFlags(flag string) []string {
	return map[string][]string{
		"--assume-pkce-s256": {"--strict"},
		"--resource":         {"--strict", "--no-resource"},
		"--no-resource":      {"--strict", "--resource"},
		"--new-client":       {"--client-id", "--client-secret-env", "--client-secret-file", "--client-secret-stdin", "--client-metadata-url", "--client-key"},
	}[flag]
}

// loginLine returns the command line of a login to the server, with the flags that the user gave. The parameter flags contains additional
// flags. An additional flag other than --auth-param replaces a flag of the same name that the user gave.
func (a hintInput) loginLine(flags ...string) string {
	a = a.withoutFlags("--print-url", "--callback-url", "--if-needed", "--all")
	added := ""
	if i := len(flags) - 1; i > 0 && strings.HasPrefix(flags[i], "-") { // mcpauth must not parse a value that begins with - as a flag
		flags = append(slices.Clone(flags[:i-1]), flags[i-1]+"="+flags[i])
	}
	for _, word := range flags {
		if name, _, _ := strings.Cut(word, "="); strings.HasPrefix(name, "--") {
			replaced := conflictingFlags(name)
			if name != "--auth-param" { // a login can have several parameters; the last one of a name applies
				replaced = append(replaced, name)
			}
			a = a.withoutFlags(replaced...)
		}
		added += " " + shellWord(word)
	}
	line := "mcpauth login " + a.server
	for _, f := range a.typed.flags {
		line += " " + f.text
	}
	return line + added
}

// command returns the command line of another command than login, with the global flags that the user gave. command quotes the words.
func (a hintInput) command(name string, words ...string) string {
	line := "mcpauth " + name + " " + a.server + a.globalFlags()
	for _, w := range words {
		line += " " + dataWord(w)
	}
	return line
}

func (a hintInput) globalFlags() string {
	line := ""
	for _, f := range a.typed.flags {
		if slices.Contains([]string{"--config", "--keystore", "--cacert", "--cert", "--key", "--header"}, f.name) {
			line += " " + f.text
		}
	}
	return line
}

// strictNote returns a note that loginLine leaves out --strict, or "" if it does not.
func (a hintInput) strictNote(flags ...string) string {
	if a.hasFlag("--strict") && slices.ContainsFunc(flags, func(f string) bool { return slices.Contains(conflictingFlags(f), "--strict") }) {
		return "the command leaves out --strict, which forbids the flag; "
	}
	return ""
}

// suggestLogin returns a hint function. The hint is reason followed by the command line of a login.
func suggestLogin(reason string, flags ...string) func(hintInput) string {
	return func(a hintInput) string { return a.strictNote(flags...) + reason + a.loginLine(flags...) }
}

// fixedHint returns a hint function for a hint that is always the same.
func fixedHint(hint string) func(hintInput) string {
	return func(hintInput) string { return hint }
}

// fromLogin reports whether an error is from a login or a renewal, and not from a request to the MCP server.
func fromLogin(err error) bool { return isA[*flow.StageError](err) || isA[*discovery.Error](err) }

const administrator = "only the administrator of the identity provider can correct this"

func operatorHint(a hintInput) string {
	return "only the server's operator can correct this; " + a.command("discover") + " shows what the server answers"
}

const publicText = "if the repeated text is public, such as the name of a tenant, name the authorization server: "

func addressHint(a hintInput, e *httpx.AddressError) string {
	if httpx.IsRedacted(e.Address) {
		return publicText + a.loginLine("--issuer", "URL")
	}
	return operatorHint(a)
}

func discoverHint(a hintInput) string {
	if a.typed.command == "discover" {
		return "if the steps above do not explain it, ask the server's operator"
	}
	return a.command("discover") + " shows name resolution, connection, TLS and every answer"
}

func loginHint(a hintInput) string {
	if a.staticToken {
		return "the server rejects the token in " + accessTokenVariable + ": set a new one"
	}
	return cmp.Or(a.login, a.loginLine())
}

func anewHint(a hintInput) string {
	return "start over: " + a.command("logout") + ", then: " + a.loginLine()
}

func damagedFileHint(a hintInput) string {
	return "delete this file, and repeat the command: " + shellWord(damagedFile(a.err))
}

const folderVariables = "MCPAUTH_STATE_DIR and MCPAUTH_KEYSTORE_DIR choose the folders"

func modeHint(_ hintInput, e *keystore.Error) string {
	mode := "600"
	if info, err := os.Stat(e.Path); err == nil && info.IsDir() {
		mode = "700"
		if info.Mode()&os.ModeSticky != 0 { // others use the folder too, as they use /tmp
			return "use a folder of your own: " + folderVariables
		}
	}
	return "chmod " + mode + " " + shellWord(e.Path)
}

func elsewhereHint(a hintInput) string {
	return "to use the store that has the login, add --keystore auto; to log out of it there: " + a.withoutFlags("--keystore").command("logout") + " --keystore auto"
}

// hintFrom returns a hint function that calls hint with the error of type E in the error's chain.
func hintFrom[E error](hint func(hintInput, E) string) func(hintInput) string {
	return func(a hintInput) string {
		e, ok := errors.AsType[E](a.err)
		if !ok {
			return ""
		}
		return hint(a, e)
	}
}

// argumentHint suggests a similar tool, argument or value. The user will type it as the hint shows it. So the hint contains no name of an
// argument such as x=@FILE, and a value only with its name.
func argumentHint(a hintInput, e *mcpclient.ArgumentError) string {
	switch {
	case e.Nearest != "" && canBeShown(e.Nearest) && (e.Argument == "" || isTypable(e.Nearest)):
		return "did you mean " + dataWord(e.Nearest) + "?"
	case e.NearestValue != "" && isTypable(e.Argument):
		value, _ := json.Marshal(e.NearestValue)
		return "did you mean " + exampleValue{e.Argument, value}.typedForm() + "?"
	case e.Argument == "":
		return a.command("tools") + " lists the tools"
	}
	return a.command("tools", e.Tool) + " lists its arguments"
}

// isTypable reports whether a user can type the name of an argument as shellWord shows it. The name may begin with $ or @, as in $filter.
func isTypable(name string) bool {
	return plainName(strings.TrimLeft(name, "$@")) && strings.Contains(shellWord(name), name)
}

// fileHint suggests how to correct a configuration file.
func fileHint(_ hintInput, e *config.Error) string {
	if e.Variable != "" && isShowable(e.Variable) {
		return "set the variable " + e.Variable + ", or give it a default in the file: ${" + e.Variable + ":-DEFAULT}"
	}
	return "correct the file, or use another one: --config FILE"
}

func unknownHint(a hintInput, e *mcpclient.UnknownError) string {
	if e.Arguments {
		return a.command("prompts", e.Name) + " lists its arguments"
	}
	return fmt.Sprintf("list the %ss: %s", e.Kind, a.command(e.Kind+"s"))
}

func scopeHint(a hintInput, e *flow.ScopeError) string {
	if e.Granted {
		return "the server granted the scope and still refuses the request; only its operator can help"
	}
	return a.loginLine("--scope", cmp.Or(strings.Join(e.Scopes, " "), "SCOPE"))
}

// namedHint suggests a login at another authorization server. The user must name it, because --issuer also allows mcpauth to send the stored
// secrets to it.
func namedHint(a hintInput) string {
	return "if you know that the server moved, name the authorization server that you trust: " + a.withoutSecrets().loginLine("--issuer", "URL")
}

// movedHint suggests a login to the URL to which the server redirects. A login follows a redirect below the server's URL by itself.
func movedHint(a hintInput) string {
	if e, ok := errors.AsType[*mcpclient.StatusError](a.err); ok && e.RedirectsBelow() {
		return "log in again, because a login stores the new address: " + a.loginLine()
	}
	to := redirectTarget(a.err)
	if to == "" {
		return "only the server's operator can correct this"
	}
	a.server = shellWord(to)
	return "if you trust this address: " + a.withoutSecrets().loginLine()
}

// redirectTarget returns the URL to which the server redirects, or "" if there is none or if it was shortened or masked.
func redirectTarget(err error) string {
	if e, ok := errors.AsType[*discovery.Error](err); ok {
		return e.Location
	}
	if e, ok := errors.AsType[*mcpclient.StatusError](err); ok && !strings.HasSuffix(e.Location, "…") && !httpx.IsRedacted(e.Location) {
		return e.Location
	}
	return ""
}

// strictHint suggests a login without --strict, or with --issuer if a metadata URL did not get the client certificate.
func strictHint(a hintInput) string {
	if e, ok := errors.AsType[*discovery.Error](a.err); ok && e.NeedsCertificate() && !a.hasFlag("--issuer") {
		return "mcpauth presents no client certificate to a URL that only the server names; if you know its authorization server, name it: " + a.loginLine("--issuer", "URL")
	}
	if a.hasFlag("--strict") {
		return "only the server's operator can correct this; to tolerate it: " + a.withoutFlags("--strict").loginLine()
	}
	return discoverHint(a)
}

// certificateHint is the hint for a server that requires a client certificate, or refuses the one that it got.
func certificateHint(a hintInput) string {
	if a.hasFlag("--cert") && !a.hasFlag("--issuer") {
		return "mcpauth presents the certificate only at URLs that belong to the server or to an issuer that you name; if you know that the URL in the message belongs to the authorization server, name the issuer of this server: " +
			a.loginLine("--issuer", "ISSUER") + "; or give another certificate"
	}
	return "if the server requires a client certificate: " + a.loginLine("--cert", "FILE", "--key", "FILE")
}

// innerHint returns the hint that login would print for the error inside e.
func innerHint(a hintInput, e *unworkableError) string {
	a.err = e.err
	if r := rowFor(e.err); r.hint != nil {
		return r.hint(a)
	}
	return ""
}

func clientHint(a hintInput) string {
	return "register a client with the server's operator, then: " + a.loginLine("--client-id", "ID") + " (with --client-secret-env VAR if it has a secret), " +
		"or: " + a.loginLine("--client-metadata-url", "URL")
}

// allowedHint is the hint for servers, such as Figma, that register only clients on an allow list.
func allowedHint(a hintInput) string {
	return "the server registers only clients it knows; " + clientHint(a) +
		"; if the operator has put a name on the list for you: " + a.loginLine("--client-name", "NAME")
}

func rejectedClientHint(a hintInput) string {
	if a.hasFlag("--client-id") || a.hasFlag("--client-metadata-url") {
		return "only the server's operator can say whether this client still exists and which secret it has; to register a new client instead: " + a.loginLine("--new-client")
	}
	return "register again: " + a.loginLine("--new-client")
}

func noAnswerHint(a hintInput) string {
	longer := inWords(max(10*time.Minute, 2*a.typed.limit))
	hint := "for more time: " + a.loginLine("--timeout", longer)
	a = a.withoutFlags("--timeout")
	if !a.hasFlag("--client-id") {
		hint += "; after an error page in the browser: " + a.loginLine("--new-client")
	}
	return hint + "; if the page asks for an administrator's consent: " + a.loginLine("--auth-param", "prompt=")
}

func unsupportedHint(a hintInput) string {
	return "only the server's operator can offer it; " + a.command("discover") + " shows what the server offers"
}

func boundHint(a hintInput) string {
	return a.command("call") + " and " + a.command("proxy") + " use it; for a bearer token: " + a.loginLine("--dpop", "never")
}

func portHint(a hintInput) string {
	return "stop the program that listens on the port, or use another port: " + a.withoutFlags("--callback-port").loginLine()
}

// refusesResource reports whether an authorization server refuses the resource parameter: with invalid_target (RFC 8707 §2), an error of
// Microsoft Entra, or another code and a text about the parameter.
func refusesResource(err error) bool {
	words := strings.ToLower(responseOf(err).description)
	return !errors.Is(err, flow.ErrIdentityProvider) && (oauthCode("invalid_target")(err) || strings.Contains(words, "aadsts9010") || // AADSTS901002, AADSTS9010010
		strings.Contains(words, "resource") && strings.Contains(words, "parameter"))
}

// oauthHint suggests a flag that may avoid an OAuth error. An honest authorization server refuses the resource of a hostile MCP server, so the
// hint says what a token without resource is.
func oauthHint(a hintInput) string {
	r := responseOf(a.err)
	words := strings.ToLower(r.code + " " + r.description)
	switch {
	case refusesResource(a.err) && !a.hasFlag("--no-resource"):
		return a.strictNote("--no-resource") + "without the resource parameter, which the authorization server refuses, other servers may accept the token, and this MCP server gets it; if you trust this server: " +
			a.loginLine("--no-resource") + ", or: " + a.loginLine("--resource", "URI")
	case oauthCode("invalid_scope")(a.err), strings.Contains(words, "scope"):
		return a.command("discover") + " lists the scopes that the server knows; choose among them: " + a.loginLine("--scope", "SCOPE")
	case oauthCode("invalid_client", "unauthorized_client")(a.err):
		return rejectedClientHint(a)
	case a.typed.command != "login":
		return a.loginLine()
	}
	return "only the server's operator can explain this answer; " + a.command("discover") + " shows what the server offers"
}

// grantHint is the hint for a rejected refresh token. If the error code is not invalid_grant, the hint may add a flag to the login.
func grantHint(a hintInput) string {
	if refused, ok := errors.AsType[*token.Error](a.err); ok && refused.Code != "invalid_grant" {
		return oauthHint(a)
	}
	return a.loginLine()
}

// unlockHint says how to unlock the keychain of a system.
func unlockHint(goos string) string {
	switch goos {
	case "darwin":
		return "security unlock-keychain ~/Library/Keychains/login.keychain-db"
	case "windows":
		return "sign in to Windows again, or store credentials in files: --keystore file"
	}
	return "unlock the keyring (log in to the desktop, or gnome-keyring-daemon --unlock), or store credentials in files: --keystore file"
}
