package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/token"
)

// ErrAssertionExpired is returned if an assertion has expired and was therefore not sent.
var ErrAssertionExpired = errors.New("the assertion has expired")

// AssertionSources returns the forms that Settings.Assertion can have. Every token request reads the assertion again.
//
//	file:FILE        a file
//	env:VAR          an environment variable
//	exec:COMMAND     output of a command, whose words are separated by spaces; it runs without a shell, in the folder of the login
//	github-actions   the OIDC token of a GitHub Actions job, with the issuer as audience
func AssertionSources() []string {
	return []string{"file:FILE", "env:VAR", "exec:COMMAND", fromActions}
}

// fromActions is the source of an assertion that the runner of GitHub Actions issues.
const fromActions = "github-actions"

const (
	commandLimit = 20 * time.Second // time limit of a command that prints an assertion
	clockSkew    = 30 * time.Second // tolerated difference of clocks when a validity period is checked
)

// checkAssertion checks the source of the assertion before a request is sent. It reads an assertion file, but it runs no command, does not look
// at the command's folder, and reads no environment variable: login --if-needed may need none of them.
func (c *Client) checkAssertion(s Settings) error {
	if s.Assertion == "" {
		_, err := c.loadAssertion(s)
		return err
	}
	kind, rest, _ := strings.Cut(s.Assertion, ":")
	switch {
	case (kind == "env" || kind == "exec") && strings.TrimSpace(rest) != "", s.Assertion == fromActions:
		return nil
	}
	return fmt.Errorf("%w: the source of an assertion must be %s, not %q", ErrOptions, strings.Join(AssertionSources(), ", "), s.Assertion)
}

// checkCommandDir returns an error if the folder in which the command runs is unknown. A record of an earlier version does not contain the
// folder. The working directory may be a cloned repository, whose programs and files must not print the assertion.
func (s Settings) checkCommandDir() error {
	if filepath.IsAbs(s.AssertionDir) {
		return nil
	}
	return fmt.Errorf("%w: the folder in which the command %q prints the assertion is unknown; log in again with --assertion", ErrOptions, strings.TrimPrefix(s.Assertion, "exec:"))
}

// assertionVariable returns the name of the environment variable with the assertion, or with a secret for fetching the assertion.
func (s Settings) assertionVariable() string {
	if s.Assertion == fromActions {
		return "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
	}
	name, ok := strings.CutPrefix(s.Assertion, "env:")
	if !ok {
		return ""
	}
	return name
}

// unexpiredAssertion returns an assertion that has not expired (RFC 7523 §2.1).
func (c *Client) unexpiredAssertion(ctx context.Context, s Settings, issuer string) (string, error) {
	text, err := c.fetchAssertion(ctx, s, issuer)
	if err != nil {
		return "", err
	}
	claims, _ := token.Claims(text) // fetchAssertion returns only JWTs
	var exp float64
	if _ = json.Unmarshal(claims["exp"], &exp); exp <= 0 {
		return text, nil
	}
	if end := time.Unix(int64(exp), 0); c.now().After(end.Add(clockSkew)) {
		return "", fmt.Errorf("%w, at %s (RFC 7523 §3)", ErrAssertionExpired, end.UTC().Format(time.RFC3339))
	}
	return text, nil
}

func (c *Client) fetchAssertion(ctx context.Context, s Settings, issuer string) (string, error) {
	kind, rest, _ := strings.Cut(s.Assertion, ":")
	if kind == "file" { // a record of an earlier version
		kind, s.AssertionFile = "", rest
	}
	switch kind {
	case "":
		return c.loadAssertion(s)
	case "env":
		return checkedAssertion("environment variable "+rest, os.Getenv(rest))
	case "exec":
		if err := s.checkCommandDir(); err != nil {
			return "", err
		}
		return c.runForAssertion(ctx, s.AssertionDir, strings.Fields(rest))
	}
	return c.actionsToken(ctx, issuer)
}

// checkedAssertion returns the text without surrounding white space, or an error if the text is not a JWT. The error does not quote the
// text.
func checkedAssertion(where, text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", fmt.Errorf("%w: %s is empty", ErrOptions, where)
	}
	if _, err := token.Claims(text); err != nil {
		return "", fmt.Errorf("%w: %s: %w (RFC 7523 §3)", ErrOptions, where, err)
	}
	return text, nil
}

// runForAssertion runs a command in a folder and returns its output as the assertion. The user sees the stderr of the command. Package
// os/exec looks for a relative path such as ./print in the folder, and for a word such as print in PATH, but never in the working directory.
func (c *Client) runForAssertion(ctx context.Context, dir string, words []string) (string, error) {
	limit, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(limit, words[0], words[1:]...)
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	if c.Environ != nil {
		cmd.Env = slices.Concat(c.Environ(), []string{"PWD=" + dir})
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limitedWriter{&out, maxSecretFile}, os.Stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", fmt.Errorf("the command %q that prints the assertion: %w", words[0], context.Cause(ctx))
	}
	if err != nil {
		return "", fmt.Errorf("%w: the command %q that prints the assertion: %w", ErrOptions, words[0], err)
	}
	return checkedAssertion(fmt.Sprintf("the output of %q", words[0]), out.String())
}

// limitedWriter refuses a write that exceeds the remaining number of bytes.
type limitedWriter struct {
	w         io.Writer
	remaining int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	if l.remaining -= len(p); l.remaining < 0 {
		return 0, errors.New("too much output")
	}
	return l.w.Write(p)
}

// actionsToken requests an OIDC token from the token service of a GitHub Actions runner. The job needs the permission id-token: write.
func (c *Client) actionsToken(ctx context.Context, issuer string) (string, error) {
	address, bearer := os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), os.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	if address == "" || bearer == "" {
		return "", fmt.Errorf("%w: ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN are not set; "+
			"github-actions works in a job of GitHub Actions with the permission id-token: write", ErrOptions)
	}
	u, err := httpx.Check(address, true) // the URL is from the runner's environment and not from a server, so http is allowed
	if err != nil {
		return "", fmt.Errorf("%w: ACTIONS_ID_TOKEN_REQUEST_URL: %w", ErrOptions, err)
	}
	q := u.Query()
	q.Set("audience", issuer)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Accept", "application/json")
	res, err := httpx.Do(c.HTTP, req)
	if err != nil {
		return "", stage("token service of the runner", err)
	}
	var answer struct{ Value string }
	if res.StatusCode != http.StatusOK || json.Unmarshal(res.Body, &answer) != nil {
		return "", stage("token service of the runner", fmt.Errorf("%s: answered %d without a token",
			httpx.Text((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(), 200), res.StatusCode))
	}
	return checkedAssertion("the answer of the runner's token service", answer.Value)
}
