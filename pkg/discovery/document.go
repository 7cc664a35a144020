package discovery

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

// fetchDocument requests a metadata document and decodes it into v. A member of the wrong type counts as absent. If a required member has
// the wrong type, the document is not used. If found is false, the recorded attempt states the reason. If own is true, Options.OwnHTTP sends
// the request. The parameter own must be false for a URL that another tenant of a known host may own, because OwnHTTP may present the user's
// certificate.
func (f *finder) fetchDocument(ctx context.Context, own bool, stage, address string, v any, required ...string) (found bool, err error) {
	a := Attempt{Stage: stage, Method: http.MethodGet, URL: address}
	defer func() { f.r.Attempts = append(f.r.Attempts, a) }()
	u, err := httpx.Check(address, f.local)
	if err != nil {
		a.Outcome = "refused: " + err.Error()
		return false, &Error{Stage: stage, URL: address, Reason: err.Error(), Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, err
	}
	maps.Copy(req.Header, f.header)
	req.Header.Set("Accept", "application/json")
	hc := f.o.HTTP
	if own {
		hc = cmp.Or(f.o.OwnHTTP, hc)
	}
	res, err := httpx.Do(hc, req)
	if res != nil {
		a.Status = res.StatusCode
	}
	switch {
	case err != nil:
		a.Outcome = "no answer: " + innermostError(err)
		var refused *httpx.AddressError
		if ctx.Err() != nil {
			return false, fmt.Errorf("%s %s: %w", stage, address, httpx.Bare(err))
		}
		if errors.As(err, &refused) { // a redirect to a refused address does not mean that the document is absent
			return false, &Error{Stage: stage, URL: address, Reason: innermostError(err), Err: err}
		}
		return false, f.recordFailure(a)
	case res.StatusCode != http.StatusOK:
		a.Outcome = httpx.ReadRefusal(res, time.Now()).Words()
		if a.isRefused() {
			return false, nil
		}
		return false, f.recordFailure(a)
	}
	wrong, err := httpx.DecodeMembers(res.Body, v)
	if i := slices.IndexFunc(wrong, func(name string) bool { return slices.Contains(required, name) }); err == nil && i >= 0 {
		err = fmt.Errorf("%s is not of the expected type", wrong[i])
	}
	if err != nil {
		a.Outcome = "not a metadata document: " + httpx.Text(err.Error(), 120)
		if object := bytes.TrimSpace(res.Body); json.Valid(object) && object[0] == '{' { // an invalid document is not an absent one
			return false, &Error{Stage: stage, URL: address, Reason: a.Outcome, Section: specificationOf(stage) + " §2"}
		}
		return false, f.recordFailure(a)
	}
	if from, err := url.Parse(res.URL); stage == stageMetadata && (err != nil || !httpx.SameOrigin(from, u)) {
		a.Outcome = "refused: redirected to " + httpx.Text(res.URL, 200)
		return false, &Error{Stage: stage, URL: address, Section: issuerSection, Err: ErrIssuer,
			Reason: fmt.Sprintf("the document came from %s, expected the issuer's own origin", httpx.Quote(res.URL, 200))}
	}
	a.OK, a.Outcome, f.from = true, "found", res.URL
	if wrong != nil {
		n := Finding{stage, "member_type", fmt.Sprintf("%s: %s: not of the expected type; taken as absent", address, strings.Join(wrong, ", ")), specificationOf(stage) + " §2"}
		if err := f.recordDeviation(address, n, nil); err != nil {
			return true, err
		}
	}
	if kind := res.Header.Get("Content-Type"); !strings.HasPrefix(strings.ToLower(kind), "application/json") {
		return true, f.recordDeviation(address, Finding{stage, "content_type", fmt.Sprintf("%s is served as %s, not application/json", address, httpx.Quote(kind, 60)),
			specificationOf(stage) + " §3.2"}, nil)
	}
	return true, nil
}

// recordFailure records a Finding for a request that returned neither a document nor its absence, so that the discovery continues with the
// next URL. With Strict, the result is an error.
func (f *finder) recordFailure(a Attempt) error {
	came := a.Outcome
	if a.Status != 0 && a.Status != http.StatusOK {
		came = fmt.Sprint(a.Status, " ", came)
	}
	return f.recordDeviation(a.URL, Finding{a.Stage, "well_known_failed", a.URL + ": " + came + "; expected the document, or 404", specificationOf(a.Stage) + " §3.2"}, nil)
}

// specificationOf returns the RFC that specifies a document. In RFC 9728 and RFC 8414, §2 defines the members and §3.2 the response.
func specificationOf(stage string) string {
	if stage == stageResource {
		return "RFC 9728"
	}
	return "RFC 8414"
}

// isAbsent reports whether the server answered every attempt of a stage, from the given index on, that there is no document. After any other
// failure, the document may exist although it could not be fetched.
func (f *finder) isAbsent(stage string, first int) bool {
	return !slices.ContainsFunc(f.r.Attempts[first:], func(a Attempt) bool { return a.Stage == stage && !a.isRefused() })
}

// isRefused reports whether the server answered that there is no document: with a 4xx status, except those that ask the client to try again.
func (a Attempt) isRefused() bool {
	return a.Status/100 == 4 && a.Status != http.StatusRequestTimeout && a.Status != http.StatusTooEarly && a.Status != http.StatusTooManyRequests
}

// needsCertificate reports whether the server demanded a client certificate that the request did not present (RFC 8446 §6.2).
func (a Attempt) needsCertificate() bool {
	return strings.HasSuffix(a.Outcome, "tls: certificate required")
}

// hasServerError reports whether a server answered with a status that says neither that there is a document nor that there is none.
func (a Attempt) hasServerError() bool {
	return a.Status != 0 && a.Status != http.StatusOK && !a.isRefused()
}

// innermostError returns the text of the innermost part of a network error. The outer parts repeat the URL, which is printed separately.
func innermostError(err error) string {
	return httpx.Text(httpx.Bare(err).Error(), 160)
}
