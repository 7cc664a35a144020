package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

const (
	grantDevice     = "urn:ietf:params:oauth:grant-type:device_code"
	defaultInterval = 5 * time.Second  // RFC 8628 §3.2: "If no value is provided, clients MUST use 5 as the default"
	slowDown        = 5 * time.Second  // RFC 8628 §3.5: "the interval MUST be increased by 5 seconds"
	defaultWindow   = 10 * time.Minute // lifetime of a device code if the server omits the required expires_in
)

// isUserCode reports whether a code can be typed: up to five groups of ASCII letters and digits with a blank, '_' or '-' between two groups, at
// most 40 characters (RFC 8628 §6.1). A code with blanks must not contain lower-case letters, because the code could be a sentence. A code with
// dots could be a host name or an IP address.
func isUserCode(s string) bool {
	group, groups, lower := 0, 1, false // group is the length of the current group
	for _, r := range s {
		switch {
		case '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z':
			group++
			lower = lower || r >= 'a'
		case strings.ContainsRune(" _-", r) && group > 0:
			group, groups = 0, groups+1
		default:
			return false
		}
	}
	return group > 0 && groups <= 5 && len(s) <= 40 && !(lower && strings.Contains(s, " "))
}

// DeviceCode contains what the user needs to approve a device login (RFC 8628 §3.2). It does not contain device_code, which is a secret of
// the client.
type DeviceCode struct {
	UserCode                string        // code that the user enters at VerificationURI
	VerificationURI         string        // https URL; also http on loopback if Endpoint.Local is set
	VerificationURIComplete string        // URL that contains UserCode; empty: the server sent none
	Expires                 time.Time     // when UserCode expires
	Interval                time.Duration // time between two polls
}

// Device runs the device authorization grant (RFC 8628). Device requests a device code, calls showCode, and polls the token endpoint until
// the user approves or refuses, or the code expires. If the server refuses, the error is an *Error, for example with Code access_denied. The
// end of ctx ends the first request and the time between two polls. The end of polls ends a poll, whose response may contain the tokens.
// After a network error or a 5xx response, Device continues to poll, but more slowly (RFC 8628 §3.5).
func (e Endpoint) Device(ctx, polls context.Context, deviceEndpoint, scope string, showCode func(DeviceCode)) (Token, error) {
	code, device, err := e.requestDeviceCode(ctx, deviceEndpoint, scope)
	if err != nil {
		return Token{}, err
	}
	showCode(device)
	sleep := e.Sleep
	if sleep == nil {
		sleep = Sleep
	}
	for wait := device.Interval; ; {
		// When the code expires, poll once more, because the user may have just approved.
		left := device.Expires.Sub(e.now())
		if err := sleep(ctx, max(0, min(wait, left))); err != nil {
			return Token{}, fmt.Errorf("%s %s: waiting for the user's approval: %w", atToken, httpx.Text(e.URL, 300), err)
		}
		tok, err := e.grant(polls, grantDevice, map[string]string{"device_code": code})
		if err == nil {
			return tok, nil
		}
		var retry bool
		if wait, retry = nextPoll(wait, err); !retry {
			return Token{}, err
		}
		if !e.now().Before(device.Expires) {
			return Token{}, &Error{Stage: atToken, URL: e.URL, Code: "expired_token", Description: "the user did not approve in time"}
		}
	}
}

// nextPoll reports whether to poll again after an error, and how long to wait before this poll (RFC 8628 §3.5).
func nextPoll(wait time.Duration, err error) (time.Duration, bool) {
	var refused *Error
	var broken *requestError
	switch {
	case errors.As(err, &refused) && refused.Code == "authorization_pending":
		return max(wait, refused.RetryAfter), true
	case errors.As(err, &refused) && refused.Code == "slow_down":
		return max(wait+slowDown, refused.RetryAfter), true
	case errors.As(err, &refused) && (refused.StatusCode >= 500 || refused.StatusCode == 429):
		return max(2*wait, refused.RetryAfter), true
	case errors.As(err, &broken) && broken.network:
		return 2 * wait, true
	}
	return wait, false
}

// requestDeviceCode sends the device authorization request (RFC 8628 §3.1) and reads the response (RFC 8628 §3.2).
func (e Endpoint) requestDeviceCode(ctx context.Context, address, scope string) (string, DeviceCode, error) {
	a, err := formRequest{e: e, stage: atDevice, url: address, form: e.newForm(map[string]string{"scope": scope})}.sendForm(ctx)
	if err != nil {
		return "", DeviceCode{}, err
	}
	return e.parseDevice(a)
}

func (e Endpoint) parseDevice(a *formResponse) (string, DeviceCode, error) {
	m, err := e.readObject(a)
	if err != nil {
		return "", DeviceCode{}, err
	}
	d := DeviceCode{UserCode: m.stringMember("user_code"), VerificationURI: m.stringMember("verification_uri"),
		VerificationURIComplete: m.stringMember("verification_uri_complete")}
	if old := m.stringMember("verification_url"); d.VerificationURI == "" && old != "" {
		// An earlier draft of RFC 8628 used verification_url, and Google still does.
		if err := e.reportDeviation(a, "verification_url", "device_code, user_code or verification_uri is missing, but there is a verification_url (RFC 8628 §3.2)"); err != nil {
			return "", DeviceCode{}, err
		}
		d.VerificationURI = old
	}
	code := m.stringMember("device_code")
	switch {
	case code == "" || d.UserCode == "" || d.VerificationURI == "":
		return "", DeviceCode{}, a.malformedError("device_code, user_code or verification_uri is missing (RFC 8628 §3.2)")
	case !isPrintable(code, ' '):
		return "", DeviceCode{}, a.malformedError("device_code is not printable text (RFC 8628 §3.2)")
	case !isUserCode(d.UserCode):
		// user_code is shown even with --quiet, so it must not be a sentence, a URL or invisible.
		return "", DeviceCode{}, a.malformedError("user_code is not a short word or up to five groups of letters and digits (RFC 8628 §6.1)")
	}
	for _, address := range []*string{&d.VerificationURI, &d.VerificationURIComplete} {
		if *address == "" {
			continue
		}
		u, err := httpx.Check(*address, e.Local)
		if err != nil {
			return "", DeviceCode{}, &requestError{stage: a.stage, url: a.url, reason: "verification " + err.Error(), err: err}
		}
		*address = u.String()
	}
	window, err := e.readSeconds(a, m, "expires_in")
	if err != nil {
		return "", DeviceCode{}, err
	}
	interval, err := e.readSeconds(a, m, "interval")
	if err != nil {
		return "", DeviceCode{}, err
	}
	d.Interval = max(cmp.Or(interval, defaultInterval), time.Second)
	d.Expires = a.sent.Add(cmp.Or(window, defaultWindow)) // with the monotonic clock, so that a jump of the wall clock does not end the polls
	return code, d, nil
}

// Sleep waits for d. If ctx ends first, Sleep returns the error of ctx.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
