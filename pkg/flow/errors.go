package flow

import (
	"errors"
	"fmt"
	"strings"

	"mcpauth/pkg/discovery"
)

var (
	// ErrLoginRequired is returned if there is no credential, or if the credential cannot be renewed without a browser.
	ErrLoginRequired = errors.New("not logged in")
	// ErrNoRefreshToken is returned if the server issued no refresh token, or if the reason of an earlier refusal was not stored.
	ErrNoRefreshToken = errors.New("there is no refresh token: the server issued none, or no longer accepts it")
	// ErrGrantRejected is returned if the authorization server refuses the refresh token (RFC 6749 §5.2).
	ErrGrantRejected = errors.New("the authorization server no longer accepts the refresh token")
	// ErrMaybeSpent is returned if the server refuses a refresh token that an interrupted refresh may have used up.
	ErrMaybeSpent = errors.New("an earlier refresh was interrupted and may have used up the refresh token")
	// ErrClientRejected is returned if the authorization server no longer knows the client (invalid_client, unauthorized_client).
	ErrClientRejected = errors.New("the authorization server no longer accepts the client registration")
	// ErrTokenRefused is returned if the MCP server refuses a token that was just issued.
	ErrTokenRefused = errors.New("the server refuses a token that was just issued")
	// ErrManyScopes is returned if the server requires more scopes than a login may request.
	ErrManyScopes = errors.New("the server names too many scopes")
	// ErrLongScopes is returned if the scopes that the user names make the authorization URL too long.
	ErrLongScopes = errors.New("the scopes that you named make the authorization URL too long")

	// ErrForbidden is returned if the MCP server answers 403 without requesting more scopes.
	ErrForbidden = errors.New("the server refuses this request for this login")
	// ErrIssuerChanged is returned if a client or a secret would be used at another authorization server than before.
	ErrIssuerChanged = errors.New("the server's authorization server changed")
	// ErrMoved is returned if another login has stored another redirect target of the MCP server than the one that a Handler uses.
	ErrMoved = errors.New("the login is now for another address")
	// ErrWiderResource is returned if a Handler would log in for a parent of the server's URL, or for that URL with another query, and the stored
	// login has another resource. ErrWiderResource wraps discovery.ErrResource.
	ErrWiderResource = fmt.Errorf("%w: only a login that you start can use another resource", discovery.ErrResource)
	// ErrAuthParam is returned if the URL of the authorization endpoint contains another value of a parameter in Settings.AuthParams, or one that
	// AuthParams removes. ErrAuthParam wraps discovery.ErrIssuer.
	ErrAuthParam = fmt.Errorf("%w: the authorization endpoint and the login differ in a parameter", discovery.ErrIssuer)
	// ErrAccount is returned if the login is for another account than Settings.ExpectAccount, or for an unknown account.
	ErrAccount = errors.New("not the expected account")
	// ErrNoAnswer is returned if nobody finished the login in the browser in time.
	ErrNoAnswer = errors.New("no answer from the browser")
	// ErrIdentityProvider is returned if the enterprise's identity provider refuses a request or cannot be reached.
	ErrIdentityProvider = errors.New("identity provider")
	// ErrUnsupported is returned if the authorization server does not offer what the login needs.
	ErrUnsupported = errors.New("not offered by the authorization server")
	// ErrOptions is returned if options contradict each other, or if a required option is missing.
	ErrOptions = errors.New("login options")
	// ErrNoPending is returned if no pending login matches the response.
	ErrNoPending = errors.New("no such pending login")
	// ErrOtherSettings is returned by Finish if the user names a setting that the pending login does not have.
	ErrOtherSettings = errors.New("the pending login has other settings")
	// ErrBoundToken is returned if a bearer token is needed, but the access token is bound to a DPoP key.
	ErrBoundToken = errors.New("the access token is bound to a key (DPoP) and useless without it")
	// ErrCredential is returned if the stored credential cannot be decoded.
	ErrCredential = errors.New("the stored credential is not readable")
)

// errForgotten is ErrClientRejected for a client that an earlier login registered. After errForgotten, Login registers another client.
var errForgotten = fmt.Errorf("%w; it was registered by an earlier login", ErrClientRejected)

// ScopeError is returned if the server requires more scopes than the credential has (RFC 6750 §3.1, insufficient_scope).
type ScopeError struct {
	Scopes  []string // the scopes to request: those of earlier logins and those of the challenge
	Granted bool     // the scopes are already granted, and the server still refuses
}

func (e *ScopeError) Error() string {
	if e.Granted {
		return "the server still answers insufficient_scope after a login with " + quoteScopes(e.Scopes) + " (RFC 6750 §3.1)"
	}
	return "the server requires " + quoteScopes(e.Scopes) + " (RFC 6750 §3.1)"
}

// quoteScopes has the quotes of POSIX shells, because the user may paste the scopes of a server after --scope.
func quoteScopes(scopes []string) string {
	return "scope '" + strings.ReplaceAll(joinScopes(scopes), "'", `'\''`) + "'"
}

// StageError adds the name of the stage to an error.
type StageError struct {
	Stage string // name of the stage, such as "registration", "authorization", "token exchange" or "refresh"
	Err   error
}

func (e *StageError) Error() string { return e.Stage + ": " + e.Err.Error() }
func (e *StageError) Unwrap() error { return e.Err }

func stage(name string, err error) error {
	if err == nil {
		return nil
	}
	return &StageError{Stage: name, Err: err}
}
