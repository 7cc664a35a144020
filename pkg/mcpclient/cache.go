package mcpclient

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

const (
	cacheFormat  = 3
	maxCache     = 64 << 20            // maximum size of a cache file in bytes
	maxCaches    = 256 << 20           // maximum size of all cache files in bytes; beyond it, the oldest are deleted
	legacyKnown  = 24 * time.Hour      // how long the cache may say that a server is a legacy server
	legacyFresh  = 5 * time.Minute     // how long a tool list without ttlMs counts as current
	legacyUsable = 24 * time.Hour      // how long a call may use the cached list of a legacy server; after legacyFresh, Close fetches a new list
	maxTTL       = 24 * time.Hour      // limit of ttlMs
	cacheExpiry  = 30 * 24 * time.Hour // how long an unused file is kept
)

// cacheEntry is the cached data about a server.
type cacheEntry struct {
	era     protocolEra
	version string
	tasks   bool      // a legacy server accepts tools/call as a task (2025-11-25, Tasks, Capabilities)
	eraTime time.Time // when the era was determined
	list    *toolList // nil: not known
	changed bool      // the data differs from the cache file
}

// cacheHeader is the first line of the file. The second line maps the name of each tool to the size of its definition in bytes. The rest of
// the file contains the definitions, unchanged.
type cacheHeader struct {
	Format   int         `json:"format"`
	URL      string      `json:"url"`
	Era      protocolEra `json:"era"`
	Version  string      `json:"version"`
	Tasks    bool        `json:"tasks,omitempty"`
	Learned  time.Time   `json:"learned"`
	Received time.Time   `json:"received,omitzero"`
	TTL      int64       `json:"ttl_ms"`
	Sum      uint32      `json:"sum"` // CRC-32 of the definitions
}

// loadCache reads the cache file of a login.
func (c *Client) loadCache(grant string) *cacheEntry {
	if data, ok := c.readCache(c.cacheFile(grant, ".mcp")); ok {
		return decodeCache(data, c.URL, c.clock())
	}
	return &cacheEntry{}
}

// setEra records the server's era. A second call for the same legacy server does not change eraTime. After the duration legacyKnown, the
// client checks whether the server has been upgraded.
func (c *Client) setEra(e protocolEra, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.cache
	if m.era == e && m.version == version && (e != eraModern || c.clock().Sub(m.eraTime) < legacyKnown) {
		return
	}
	m.era, m.version, m.eraTime, m.changed = e, version, c.clock(), true
}

// setTaskSupport records whether a legacy server accepts tools/call as a task.
func (c *Client) setTaskSupport(initialized json.RawMessage) {
	v := jsonscan.Member(initialized, "capabilities")
	for _, name := range []string{"tasks", "requests", "tools", "call"} {
		v = jsonscan.Member(v, name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cache.changed = c.cache.changed || c.cache.tasks != (v != nil)
	c.cache.tasks = v != nil
}

// serverEra returns the server's era, or eraUnknown.
func (c *Client) serverEra() protocolEra {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cache.era
}

func (c *Client) readCache(name string) ([]byte, bool) {
	if c.CacheDir == "" || c.NoCache {
		return nil, false
	}
	data, err := httpx.ReadFile(name, maxCache)
	return data, err == nil
}

// decodeCache parses a file. An invalid file counts as empty.
func decodeCache(data []byte, url string, now time.Time) *cacheEntry {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	sizes, rest, _ := bytes.Cut(rest, []byte("\n"))
	var h cacheHeader
	if json.Unmarshal(line, &h) != nil || h.Format != cacheFormat || h.URL != url || h.Learned.After(now) || h.Received.After(now) {
		return &cacheEntry{}
	}
	m := &cacheEntry{era: h.Era, version: h.Version, tasks: h.Tasks, eraTime: h.Learned}
	switch h.Era {
	case eraModern:
	case eraLegacy, eraSSE:
		if now.Sub(h.Learned) > legacyKnown {
			m.era = eraUnknown
		}
	default:
		return &cacheEntry{}
	}
	if len(sizes) == 0 || h.TTL < 0 || crc32.ChecksumIEEE(rest) != h.Sum {
		return m
	}
	list := &toolList{received: h.Received, ttl: time.Duration(min(h.TTL, maxTTL.Milliseconds())) * time.Millisecond}
	for name, size := range jsonscan.Members(sizes) {
		n, err := strconv.Atoi(string(size))
		if err != nil || n < 1 || n > len(rest) {
			return m
		}
		list.names, list.defs = append(list.names, name), append(list.defs, rest[:n:n])
		rest = rest[n:]
	}
	if len(rest) == 0 {
		m.list = list
	}
	return m
}

func encodeCache(m *cacheEntry, url string) []byte {
	h := cacheHeader{Format: cacheFormat, URL: url, Era: m.era, Version: m.version, Tasks: m.tasks, Learned: m.eraTime}
	var defs []json.RawMessage
	var sizes bytes.Buffer
	if m.list != nil {
		defs = m.list.defs
		h.Received, h.TTL = m.list.received, m.list.ttl.Milliseconds()
		sizes.WriteByte('{')
		for i, def := range defs {
			addMember(&sizes, m.list.names[i], strconv.AppendInt(nil, int64(len(def)), 10))
			h.Sum = crc32.Update(h.Sum, crc32.IEEETable, def)
		}
		sizes.WriteByte('}')
	}
	line, _ := json.Marshal(h)
	data := make([]byte, 0, len(line)+sizes.Len()+sizeOf(defs)+len("\n\n"))
	data = append(append(data, line...), '\n')
	data = append(append(data, sizes.Bytes()...), '\n')
	for _, def := range defs {
		data = append(data, def...)
	}
	return data
}

// saveCache writes the cache file if the data has changed. A tool list that was fetched with another login is not written.
func (c *Client) saveCache() {
	grant, err := c.loginID(c.life)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.CacheDir == "" || c.NoCache || c.cache == nil || err != nil || !c.cache.changed && grant == c.grant {
		return
	}
	m := *c.cache
	if m.list != nil && (m.list.partial || m.list.grant != grant || sizeOf(m.list.defs) > maxCache || !c.mayStore(m.list.defs)) {
		m.list = nil
	}
	c.cache.changed = false
	name := c.cacheFile(grant, ".mcp")
	if m.era == eraUnknown {
		_ = os.Remove(name)
		return
	}
	if data := encodeCache(&m, c.URL); len(data) <= maxCache {
		_ = httpx.WriteFile(name, data) // errors are ignored, because the cache is optional
		c.pruneCache()
	}
}

// pruneCache keeps the cache folder below its limit.
func (c *Client) pruneCache() {
	pruneFiles(c.CacheDir, maxCaches, cacheExpiry, c.clock(), ".mcp", ".session", ".prompts", ".resources")
}

// mayStore reports whether no entry of a list contains a secret. The entries are checked one by one, because the check of one text takes
// several times the size of the text in memory.
func (c *Client) mayStore(entries []json.RawMessage) bool {
	secrets := c.link.LoginSecrets()
	return !slices.ContainsFunc(entries, func(e json.RawMessage) bool { return !secrets.MayStore(string(e)) })
}

// pruneFiles deletes the files of a folder that were not written for longer than expiry. If all files together have more than maxSize
// bytes, pruneFiles also deletes the oldest files. Files without one of the extensions do not count. Without pruneFiles, the folder could
// grow without limit. For example, a static token that changes every hour gets a new file each time, and a server can begin any number of
// tasks.
func pruneFiles(dir string, maxSize int64, expiry time.Duration, now time.Time, extensions ...string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	var kept []os.FileInfo
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		name, age := e.Name(), now.Sub(info.ModTime())
		ours := strings.HasPrefix(name, ".new-") || slices.Contains(extensions, filepath.Ext(name))
		switch {
		case ours && age > expiry:
			_ = os.Remove(filepath.Join(dir, name))
		case ours:
			kept = append(kept, info)
			total += info.Size()
		}
	}
	slices.SortFunc(kept, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range kept {
		if total <= maxSize {
			return
		}
		_ = os.Remove(filepath.Join(dir, info.Name()))
		total -= info.Size()
	}
}

// cacheFile returns the name of a file for one login. The server may send different lists to different users, so the name depends on the
// grant, on all headers and on the certificate (Caching, Cache Scope Field). Two logins never share a file, even if a server declares its lists public. The
// first part of the name is filePrefix, see Forget.
func (c *Client) cacheFile(grant, suffix string) string {
	words := []string{grant, c.Certificate}
	for _, name := range slices.Sorted(maps.Keys(c.Header)) {
		words = append(append(words, name), c.Header[name]...)
	}
	return filepath.Join(c.CacheDir, c.filePrefix()+shortHash(words...)+suffix)
}

// filePrefix is the first part of the names of all files of this server and CacheKey.
func (c *Client) filePrefix() string { return shortHash(c.fileURL(), c.CacheKey) + "-" }

func (c *Client) fileURL() string { return cmp.Or(c.CacheURL, c.URL) }

func shortHash(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		h.Write([]byte(w))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// cacheFiles returns the files of all logins with this CacheURL and CacheKey.
func (c *Client) cacheFiles(suffix string) []string {
	if c.CacheDir == "" {
		return nil
	}
	return filesIn(c.CacheDir, c.filePrefix()+"*"+suffix)
}

// filesIn returns the paths of the files in a folder whose names match a pattern. The folder's own path may contain any characters.
func filesIn(folder, pattern string) []string {
	names, _ := fs.Glob(os.DirFS(folder), pattern)
	for i, name := range names {
		names[i] = filepath.Join(folder, name)
	}
	return names
}

// newestCacheFile returns the most recently written file of all logins with this CacheURL and CacheKey, or "".
func (c *Client) newestCacheFile(suffix string) string {
	newest, at := "", time.Time{}
	for _, name := range c.cacheFiles(suffix) {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(at) {
			newest, at = name, info.ModTime()
		}
	}
	return newest
}

// keepList stores a list with these entries for shell completion. Write errors are ignored, because only completion uses the file.
// plainResult refuses a result that requires input, because a client must not cache such a result (Caching).
func (c *Client) keepList(ctx context.Context, suffix string, raw json.RawMessage, entries []json.RawMessage) {
	if c.CacheDir == "" || c.NoCache || len(raw) > maxCache || !c.mayStore(entries) {
		return
	}
	if grant, err := c.loginID(ctx); err == nil {
		_ = httpx.WriteFile(c.cacheFile(grant, suffix), raw)
		c.pruneCache()
	}
}

// keptList returns the cached list, or nil.
func (c *Client) keptList(suffix string) json.RawMessage {
	if data, ok := c.readCache(c.newestCacheFile(suffix)); ok && jsonscan.Valid(data) {
		return data
	}
	return nil
}

// EndSessions ends the stored sessions of all logins with this CacheURL and CacheKey.
func (c *Client) EndSessions() {
	c.init()
	for _, name := range c.cacheFiles(".session") {
		if s := (mcphttp.Keep{Path: name, URL: c.URL}).Load(); s != nil {
			c.link.End(s)
		}
		_ = os.Remove(name)
	}
}

// Forget ends the stored sessions of all logins with this CacheURL and CacheKey, and deletes their cached data. Call Forget before logging out,
// because the server requires the token to end a session. Forget never starts a login.
func (c *Client) Forget() {
	c.EndSessions()
	c.ForgetHere()
}

// ForgetHere deletes what Forget deletes, but sends no request.
func (c *Client) ForgetHere() {
	for _, name := range c.cacheFiles("") {
		_ = os.Remove(name)
	}
	for _, t := range c.KnownTasks() {
		c.ForgetTask(t.ID)
	}
}

// KnownTools returns the cached tools of this login, even if they are old. KnownTools sends no request and reads no credential, so shell
// completion can use it.
func (c *Client) KnownTools() []Tool {
	c.init()
	data, ok := c.readCache(c.newestCacheFile(".mcp"))
	if !ok {
		return nil
	}
	var out []Tool
	if list := decodeCache(data, c.URL, c.clock()).list; list != nil {
		for _, def := range list.defs {
			if tool := parseTool(def); !httpx.HidesArgument(tool.Name) {
				out = append(out, tool)
			}
		}
	}
	return out
}
