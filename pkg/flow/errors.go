package flow

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrLoginRequired: there is no credential, or none that can be renewed without a browser.
	ErrLoginRequired = errors.New("not logged in")
	// ErrNoRefreshToken: the server gave no refresh token, or rejected it earlier, so only a new login renews the credential.
	ErrNoRefreshToken = errors.New("there is no refresh token: the server issued none, or no longer accepts it")
	// ErrGrantRejected: the authorization server refuses the refresh token (RFC 6749 §5.2).
	ErrGrantRejected = errors.New("the authorization server no longer accepts the refresh token")
	// ErrMaybeSpent: a refresh was interrupted after it may have reached the server, and the server now rejects the refresh token.
	ErrMaybeSpent = errors.New("an earlier refresh was interrupted and may have used up the refresh token")
	// ErrClientRejected: the authorization server no longer knows the registered client (invalid_client, unauthorized_client).
	ErrClientRejected = errors.New("the authorization server no longer accepts the client registration")
	// ErrTokenRefused: the server refuses a token that was just issued, so that another one would not help.
	ErrTokenRefused = errors.New("the server refuses a token that was just issued")
	// ErrForbidden: the server answered 403 without asking for more scope.
	ErrForbidden = errors.New("the server refuses this request for this login")
	// ErrIssuerChanged: the server names another authorization server than the one that the client is registered with.
	ErrIssuerChanged = errors.New("the server's authorization server changed")
	// ErrAccount: the login is for another account than Settings.ExpectAccount, or the server does not say for which.
	ErrAccount = errors.New("not the expected account")
	// ErrNoAnswer: nobody finished the login in the browser in time.
	ErrNoAnswer = errors.New("no answer from the browser")
	// ErrIdentityProvider: the enterprise's identity provider refuses the request or cannot be reached.
	ErrIdentityProvider = errors.New("identity provider")
	// ErrUnsupported: the authorization server does not offer what the login needs.
	ErrUnsupported = errors.New("not offered by the authorization server")
	// ErrOptions: the options contradict each other, or a required one is missing.
	ErrOptions = errors.New("login options")
	// ErrNoPending: no pending login matches.
	ErrNoPending = errors.New("no such pending login")
	// ErrBoundToken: the access token is bound to a key (DPoP), so it cannot be used as a bearer token.
	ErrBoundToken = errors.New("the access token is bound to a key (DPoP) and useless without it")
	// ErrCredential: the stored credential cannot be decoded.
	ErrCredential = errors.New("the stored credential is not readable")
)

// errForgotten is ErrClientRejected for a client that an earlier login registered. The login can register another client.
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

func quoteScopes(scopes []string) string { return "scope \"" + strings.Join(scopes, " ") + "\"" }

// StageError adds the stage of the flow to an error that does not name it.
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
