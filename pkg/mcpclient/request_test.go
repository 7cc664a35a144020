package mcpclient

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// An idempotent call is sent again after Retry-After, if the time limit allows it. Other calls are sent once.
func TestCallWaitsForRetryAfter(t *testing.T) {
	const words = `429 Too Many Requests, "rate_limited": "slow down", retry after 7s`
	for _, tt := range []struct {
		name       string
		status     int
		idempotent bool
		limit      time.Duration
		pauses     []time.Duration
		err        string
	}{
		{"too many requests", 429, true, time.Minute, []time.Duration{7 * time.Second}, ""},
		{"unavailable", 503, true, time.Minute, []time.Duration{7 * time.Second}, ""},
		{"not idempotent", 429, false, time.Minute, nil, words},
		{"longer than the limit", 429, true, 5 * time.Second, nil, words},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, modern(hour, nil))
			refusals := 1
			s.setFront(func(w http.ResponseWriter, r *http.Request, rpc string) bool {
				if rpc != "tools/call" || refusals == 0 {
					return false
				}
				refusals--
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(tt.status)
				w.Write([]byte(`{"error":"rate_limited","error_description":"slow down"}`))
				return true
			})
			var pauses []time.Duration
			c := client(t, s, func(c *Client) {
				c.Idempotent = tt.idempotent
				c.pause = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
			})
			ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
			defer cancel()
			_, err := c.Call(ctx, "add", Arguments{Args: []Arg{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}})
			var status *StatusError
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("got %v", err)
			case tt.err != "" && (!errors.As(err, &status) || !strings.Contains(err.Error(), tt.err) || status.RetryAfter != 7*time.Second):
				t.Errorf("got %v, want %s", err, tt.err)
			}
			if !slices.Equal(pauses, tt.pauses) {
				t.Errorf("waited %v, want %v", pauses, tt.pauses)
			}
		})
	}
}
