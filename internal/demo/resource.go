package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const modern = "2026-07-28"

// mcpFront is the MCP server. Each request is passed to the SDK handler for its revision.
type mcpFront struct {
	s         *Server
	stateless http.Handler // 2026-07-28; nil: not spoken
	sessions  http.Handler // earlier revisions over streamable HTTP; nil: not supported
	events    http.Handler // HTTP+SSE of 2024-11-05; nil: not spoken
	servers   []*mcp.Server
}

func newMCPFront(s *Server) *mcpFront {
	f := &mcpFront{s: s}
	var versions []string
	for _, v := range mcp.SupportedProtocolVersions() {
		if s.o.Era == "both" || v == s.o.Era || v < s.o.Era && s.o.Era != modern {
			versions = append(versions, v)
		}
	}
	if s.o.Era == "sse" {
		f.events = mcp.NewSSEHandler(func(r *http.Request) *mcp.Server {
			return s.newMCPServer([]string{"2025-03-26", "2024-11-05"}, r.Header.Clone())
		}, nil)
		return f
	}
	if slices.Contains(versions, modern) {
		one := s.newMCPServer(versions, nil)
		f.servers = append(f.servers, one)
		f.stateless = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return one },
			&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: s.o.JSON, PropagateRequestCancellation: true})
	}
	if legacy := slices.DeleteFunc(versions, func(v string) bool { return v == modern }); len(legacy) > 0 {
		one := s.newMCPServer(legacy, nil)
		f.servers = append(f.servers, one)
		o := &mcp.StreamableHTTPOptions{JSONResponse: s.o.JSON, SessionTimeout: 10 * time.Minute}
		if s.o.Resumable {
			o.EventStore = mcp.NewMemoryEventStore(nil)
		}
		f.sessions = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return one }, o)
	}
	return f
}

// close ends the sessions.
func (f *mcpFront) close() {
	for _, server := range f.servers {
		for session := range server.Sessions() {
			session.Close()
		}
	}
}

// serve checks the authorization of an MCP request and then calls the handler for its revision.
func (f *mcpFront) serve(w http.ResponseWriter, r *request) {
	if f.s.authorized(w, r) && !f.s.serveTask(w, r) {
		f.era(w, r)
	}
}

// era selects the handler for the revision of a request. If the server does not support the revision, era refuses the request. The refusal
// is the one that servers of the supported revision send.
func (f *mcpFront) era(w http.ResponseWriter, r *request) {
	version := r.Header.Get("Mcp-Protocol-Version")
	switch {
	case f.events != nil:
		if r.Method == http.MethodPost && r.URL.Query().Get("sessionid") == "" {
			w.Header().Set("Allow", "GET")
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		f.events.ServeHTTP(w, r.Request)
	case version >= modern && f.stateless != nil:
		f.stateless.ServeHTTP(w, r.Request)
	case f.sessions == nil && r.RPC() == "initialize":
		rpcError(w, r, -32022, "Unsupported protocol version", map[string]any{"supported": []string{modern}, "requested": requestedVersion(r.body)})
	case f.sessions == nil:
		f.stateless.ServeHTTP(w, r.Request)
	case version >= modern || r.RPC() == "server/discover":
		rpcError(w, r, -32000, "Bad Request: Unsupported protocol version", nil)
	case r.RPC() == "initialize" && f.s.Settings().StrictInit && requestedVersion(r.body) > f.newest():
		rpcError(w, r, -32602, "Unsupported protocol version, expected "+f.newest(), nil)
	default:
		f.sessions.ServeHTTP(w, r.Request)
	}
}

// newest returns the newest supported revision that has sessions.
func (f *mcpFront) newest() string {
	if f.s.o.Era == "both" {
		return "2025-11-25"
	}
	return f.s.o.Era
}

// RPC returns the MCP method of the request.
func (r *request) RPC() string { return r.entry.RPC }

func requestedVersion(body []byte) string {
	var m struct {
		Params struct{ ProtocolVersion string }
	}
	json.Unmarshal(body, &m)
	return m.Params.ProtocolVersion
}

// rpcError sends a JSON-RPC error with status 400.
func rpcError(w http.ResponseWriter, r *request, code int, message string, data any) {
	var m struct {
		ID json.RawMessage `json:"id"`
	}
	json.Unmarshal(r.body, &m)
	if len(m.ID) == 0 {
		m.ID = json.RawMessage("null")
	}
	e := map[string]any{"code": code, "message": message}
	if data != nil {
		e["data"] = data
	}
	writeJSON(w, http.StatusBadRequest, map[string]any{"jsonrpc": "2.0", "id": m.ID, "error": e})
}

// authorized checks the token, its audience and its scopes. If the token, the audience or a scope is wrong, authorized sends the challenge
// and returns false.
func (s *Server) authorized(w http.ResponseWriter, r *request) bool {
	v := s.Settings()
	if r.fault.Deny {
		s.challenge(w, r, http.StatusUnauthorized, "invalid_token", "denied by request", v.base())
		return false
	}
	if v.open(r.RPC()) {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token == "" {
		s.challenge(w, r, http.StatusUnauthorized, "", "", v.base())
		return false
	}
	a, g, ok := s.introspect(token)
	if !ok || g.resource != s.resourceID(s.endpoint(r.URL.Path)) || g.cert != "" && g.cert != thumbprint(r.Request) {
		s.challenge(w, r, http.StatusUnauthorized, "invalid_token", "the token is unknown, expired, revoked, or for another resource", v.base())
		return false
	}
	if code, nonce := s.checkResourceProof(r, scheme, token, g.key); code != "" {
		if nonce != "" {
			w.Header().Set("DPoP-Nonce", nonce)
		}
		s.challenge(w, r, http.StatusUnauthorized, code, "the DPoP proof is missing or wrong", v.base())
		return false
	}
	needed := slices.Concat(v.base(), toolScopes(r.entry.Tool))
	for _, scope := range needed {
		if !slices.Contains(a.scopes, scope) {
			s.challenge(w, r, http.StatusForbidden, "insufficient_scope", "this needs the scope "+scope, needed)
			return false
		}
	}
	return true
}

// challenge sends a 401 or 403 with a challenge that names what is missing (RFC 6750 §3, RFC 9728 §5.1).
func (s *Server) challenge(w http.ResponseWriter, r *request, status int, code, description string, scopes []string) {
	s.count(fmt.Sprint(status))
	v := s.Settings()
	how := v.challenge()
	params := map[string]any{}
	if code != "" && !(status == http.StatusForbidden && v.Missing403) {
		params["error"], params["error_description"] = code, description
	}
	if len(scopes) > 0 && (how == "full" || how == "nometadata" || status == http.StatusForbidden) {
		params["scope"] = strings.Join(scopes, " ")
	}
	if how == "full" || how == "noscope" {
		params["resource_metadata"] = s.metadataURL(r.URL.Path)
	}
	r.fault.apply(params)
	if how != "none" {
		for _, scheme := range v.schemes() {
			w.Header().Add("WWW-Authenticate", scheme+parameters(params))
		}
	}
	s.note(r.entry, code)
	http.Error(w, orText(description, "authorization is needed"), status)
}

// schemes returns the authentication schemes of a challenge.
func (v Settings) schemes() []string {
	switch v.DPoP {
	case "require":
		return []string{"DPoP"}
	case "offer":
		return []string{"Bearer", "DPoP"}
	}
	return []string{"Bearer"}
}

// parameters returns the quoted parameters of a challenge in a fixed order.
func parameters(params map[string]any) string {
	names := []string{}
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names)
	var list []string
	for _, name := range names {
		value := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(textOf(params[name]))
		list = append(list, name+`="`+value+`"`)
	}
	if len(list) == 0 {
		return ""
	}
	return " " + strings.Join(list, ", ")
}

// endpoint returns the MCP endpoint at a path, which may end in a slash.
func (s *Server) endpoint(path string) string {
	if slices.Contains(s.o.Paths, path) {
		return path
	}
	return strings.TrimSuffix(path, "/")
}

// metadataURL returns the URL of the resource metadata of an endpoint.
func (s *Server) metadataURL(path string) string {
	if s.Settings().prm() == "root" {
		return s.origin + wellKnownResource
	}
	return s.origin + wellKnownResource + strings.TrimSuffix(path, "/")
}
