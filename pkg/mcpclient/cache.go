// This file remembers servers between processes: their era and version, and their tools for as long as they allow (2026-07-28, Caching;
// Versioning: the era "may be persisted across restarts"). One file per server and login. A cache that is damaged, foreign or unwritable is
// no cache: it never makes a call fail.

package mcpclient

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	cacheFormat  = 1
	maxCache     = 64 << 20            // bytes of a cache file
	legacyKnown  = 24 * time.Hour      // how long a server is taken for a legacy one without asking: it may have been upgraded
	legacyFresh  = 5 * time.Minute     // how long the tools of a server that names no ttlMs are taken for current
	legacyUsable = 24 * time.Hour      // how long they may be used at all: the list is fetched anew after the call
	maxTTL       = 24 * time.Hour      // the longest ttlMs that is believed
	cacheExpiry  = 30 * 24 * time.Hour // when the file of a server that nobody calls is removed
)

// memory is what is known of a server.
type memory struct {
	era     era
	version string
	learned time.Time // when the era was seen last
	list    *toolList // nil: not known
	dirty   bool      // differs from the file
}

// cacheHeader is the first line of the file; the pages of the tool list follow as they came.
type cacheHeader struct {
	Format   int       `json:"format"`
	URL      string    `json:"url"`
	Era      era       `json:"era"`
	Version  string    `json:"version"`
	Learned  time.Time `json:"learned"`
	Received time.Time `json:"received,omitzero"`
	TTL      int64     `json:"ttl_ms"`
	Pages    []int     `json:"pages"` // bytes of each
}

// server returns what is known of the server. The caller holds c.mu.
func (c *Client) server() *memory {
	if c.memory == nil {
		c.memory = &memory{}
		if data, ok := c.readCache(); ok {
			c.memory = decodeCache(data, c.URL, c.clock())
		}
	}
	return c.memory
}

// learn records the server's era.
func (c *Client) learn(e era, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.server()
	m.dirty = m.dirty || m.era != e || m.version != version || c.clock().Sub(m.learned) > legacyFresh
	m.era, m.version, m.learned = e, version, c.clock()
}

// known returns the server's era as far as it is proved.
func (c *Client) known() era {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server().era
}

func (c *Client) readCache() ([]byte, bool) {
	if c.CacheDir == "" || c.NoCache {
		return nil, false
	}
	name := c.cacheFile()
	if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() || info.Size() > maxCache {
		return nil, false
	}
	data, err := os.ReadFile(name)
	return data, err == nil
}

// decodeCache reads a file; whatever is wrong with it makes it empty.
func decodeCache(data []byte, url string, now time.Time) *memory {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	var h cacheHeader
	if json.Unmarshal(line, &h) != nil || h.Format != cacheFormat || h.URL != url || h.Learned.After(now) || h.Received.After(now) {
		return &memory{}
	}
	m := &memory{era: h.Era, version: h.Version, learned: h.Learned}
	switch h.Era {
	case eraModern:
	case eraLegacy, eraSSE:
		if now.Sub(h.Learned) > legacyKnown {
			m.era = eraUnknown
		}
	default:
		return &memory{}
	}
	var pages []json.RawMessage
	for _, n := range h.Pages {
		if n < 0 || n > len(rest) || !valid(rest[:n]) {
			return m
		}
		pages = append(pages, rest[:n:n])
		rest = rest[n:]
	}
	if len(pages) > 0 && len(rest) == 0 && h.TTL >= 0 {
		m.list = &toolList{pages: pages, received: h.Received, ttl: time.Duration(min(h.TTL, maxTTL.Milliseconds())) * time.Millisecond}
	}
	return m
}

func encodeCache(m *memory, url string) []byte {
	h := cacheHeader{Format: cacheFormat, URL: url, Era: m.era, Version: m.version, Learned: m.learned}
	var pages []byte
	if m.list != nil {
		h.Received, h.TTL = m.list.received, m.list.ttl.Milliseconds()
		for _, p := range m.list.pages {
			h.Pages = append(h.Pages, len(p))
			pages = append(pages, p...)
		}
	}
	line, _ := json.Marshal(h)
	return append(append(line, '\n'), pages...)
}

// save writes the file, where there is something new.
func (c *Client) save() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.CacheDir == "" || c.NoCache || c.memory == nil || !c.memory.dirty {
		return
	}
	c.memory.dirty = false
	if c.memory.era == eraUnknown {
		_ = os.Remove(c.cacheFile())
		return
	}
	if data := encodeCache(c.memory, c.URL); len(data) <= maxCache {
		writeCache(c.cacheFile(), data)
		c.prune()
	}
}

// writeCache replaces the file in one step, so that nobody reads half of it. It is not forced to the disk: what is lost is asked again.
func writeCache(name string, data []byte) {
	dir := filepath.Dir(name)
	if os.MkdirAll(dir, 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return
	}
	_, err = f.Write(data)
	if closed := f.Close(); err != nil || closed != nil || os.Rename(f.Name(), name) != nil {
		_ = os.Remove(f.Name())
	}
}

// prune removes files that nobody has written for long: a static token that changes every hour has a file of its own each time.
func (c *Client) prune() {
	entries, err := os.ReadDir(c.CacheDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		ours := strings.HasPrefix(e.Name(), ".new-") || strings.HasSuffix(e.Name(), ".mcp")
		if err == nil && ours && info.Mode().IsRegular() && c.clock().Sub(info.ModTime()) > cacheExpiry {
			_ = os.Remove(filepath.Join(c.CacheDir, e.Name()))
		}
	}
}

// cacheFile is the file of this server for this login. A list may be private to the authorization it was asked with, so everything that
// authorizes is part of the name (Caching, Cache Scope Field).
func (c *Client) cacheFile() string {
	h := sha256.New()
	add := func(s string) {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	add(c.URL)
	add(c.CacheKey)
	names := make([]string, 0, len(c.Header))
	for name := range c.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		add(name)
		for _, v := range c.Header[name] {
			add(v)
		}
	}
	return filepath.Join(c.CacheDir, hex.EncodeToString(h.Sum(nil)[:16])+".mcp")
}
