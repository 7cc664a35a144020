package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/url"
	"os"
	"path"
	"strings"

	"mcpauth/pkg/mcpclient"
)

// saveDir is the folder of --save-dir. Nothing is written outside this folder. If --save-dir is not given, the *saveDir is nil.
type saveDir struct {
	ctx        context.Context // saving stops at the end of ctx, because a server may send very many blocks
	name       string
	root       *os.Root
	lastNumber map[string]int // the last number that was added to each file name
}

// openSaveDir creates the folder if it does not exist.
func openSaveDir(ctx context.Context, name string) (*saveDir, error) {
	if name == "" {
		return nil, nil
	}
	if err := os.MkdirAll(name, 0o777); err != nil {
		return nil, &configError{message: "--save-dir: " + err.Error()}
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, &configError{message: "--save-dir: " + err.Error()}
	}
	return &saveDir{ctx: ctx, name: name, root: root, lastNumber: map[string]int{}}, nil
}

// Close does nothing if d is nil.
func (d *saveDir) Close() {
	if d != nil {
		d.root.Close()
	}
}

// saveFile writes a new file and returns its path. If a file with this name exists, saveFile adds a number to the name.
func (d *saveDir) saveFile(name string, data []byte) (string, error) {
	ext := path.Ext(name)
	for {
		if err := d.ctx.Err(); err != nil {
			return "", err
		}
		d.lastNumber[name]++
		try := name
		if n := d.lastNumber[name]; n > 1 {
			try = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), n, ext)
		}
		f, err := d.root.OpenFile(try, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", &outputError{"--save-dir", err}
		}
		_, err = f.Write(data)
		if err = errors.Join(err, f.Close()); err != nil {
			_ = d.root.Remove(try) // do not keep an incomplete file
			return "", &outputError{"--save-dir", err}
		}
		return path.Join(d.name, try), nil
	}
}

// fileName derives a file name from the URI or the name of a block. If the block has neither, the file name consists of the tool's name and
// the block's number. The extension is that of the media type. clean removes secrets from the URI and the name before anything else changes them.
func fileName(b mcpclient.Block, tool string, number int, clean func(string) string) string {
	name := path.Base(strings.ReplaceAll(clean(b.Name), `\`, "/"))
	if u, err := url.Parse(b.URI); err == nil && b.URI != "" {
		if name = path.Base(clean(u.Path)); u.Path == "" {
			name = path.Base(clean(u.Opaque))
		}
	}
	name = safeName(name)
	if name == "" {
		name = fmt.Sprintf("%s-%d", cmp.Or(safeName(tool), "result"), number)
	}
	if ext := extensionFor(b); ext != "" && !strings.EqualFold(path.Ext(name), ext) && !(ext == ".jpg" && strings.EqualFold(path.Ext(name), ".jpeg")) {
		name += ext
	}
	return name
}

// safeName replaces characters other than letters, digits and ._- by an underscore. The result does not begin with a dot and is not a
// reserved name of Windows.
func safeName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '.' || r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') {
			return r
		}
		return '_'
	}, name[:min(len(name), 100)])
	name = strings.TrimRight(strings.TrimLeft(name, "._-"), "._")
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch {
	case stem == "CON" || stem == "PRN" || stem == "AUX" || stem == "NUL",
		len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")):
		return "_" + name
	}
	return name
}

// extensionFor returns the file extension for the media type of a block. The results of mime.ExtensionsByType differ between machines.
func extensionFor(b mcpclient.Block) string {
	kind, _, _ := mime.ParseMediaType(b.MIMEType)
	known := map[string]string{
		"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp", "image/svg+xml": ".svg", "image/bmp": ".bmp",
		"image/avif": ".avif", "image/tiff": ".tiff", "audio/wav": ".wav", "audio/x-wav": ".wav", "audio/mpeg": ".mp3", "audio/ogg": ".ogg",
		"audio/flac": ".flac", "audio/mp4": ".m4a", "audio/webm": ".weba", "video/mp4": ".mp4", "video/webm": ".webm", "application/pdf": ".pdf",
		"application/json": ".json", "application/xml": ".xml", "application/zip": ".zip", "application/gzip": ".gz", "text/plain": ".txt",
		"text/markdown": ".md", "text/html": ".html", "text/css": ".css", "text/csv": ".csv", "text/xml": ".xml", "text/javascript": ".js",
	}
	if ext, ok := known[kind]; ok {
		return ext
	}
	if b.Type == "image" || b.Type == "audio" || len(b.Data) > 0 && path.Ext(b.URI) == "" {
		return ".bin"
	}
	return ""
}
