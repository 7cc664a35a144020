//go:build !windows

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A folder like /tmp: everybody may write, and a project below it finds what lies there.
func TestPlantedFile(t *testing.T) {
	open := t.TempDir()
	file := filepath.Join(open, ".mcp.json")
	project := filepath.Join(open, "project")
	if err := errors.Join(os.WriteFile(file, []byte(`{"mcpServers":{}}`), 0o644), os.Mkdir(project, 0o755), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	none := func(string) string { return "" }
	if path, err := Find(project, "", none); err != nil || path != file {
		t.Errorf("one's own file: %q, %v", path, err)
	}
	if os.Getuid() != 0 {
		t.Log("only root can give a file away; the rest of the rule is tested where root runs the tests")
		return
	}
	if err := os.Lchown(file, 4242, 4242); err != nil {
		t.Fatal(err)
	}
	var fault *Error
	if path, err := Find(project, "", none); !errors.As(err, &fault) || path != "" || !strings.Contains(err.Error(), file) {
		t.Errorf("somebody else's file in an open folder: %q, %v", path, err)
	}
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if path, err := Find(project, "", none); err != nil || path != file {
		t.Errorf("somebody else's file in a closed folder, as in a container: %q, %v", path, err)
	}
}
