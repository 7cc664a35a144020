// These tests run the program as a separate process, as scripts do.

package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary run as the program.
func TestMain(m *testing.M) {
	if os.Getenv("DEMO_SERVE") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// program starts the program and returns the URL that it prints first.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, stdin io.WriteCloser, address string) {
	t.Helper()
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "DEMO_SERVE=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, stdin, strings.TrimSpace(line)
}

func TestServesUntilStandardInputEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "port")
	cmd, stdin, address := program(t, "-stdin", "-port-file", file, "-fault", "mcp:status=418,n=1", "-fault", "ttl=5s")
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 418 {
		t.Errorf("the fault: %d", res.StatusCode)
	}
	port, err := os.ReadFile(file)
	if err != nil || address != "http://127.0.0.1:"+strings.TrimSpace(string(port))+"/mcp" {
		t.Errorf("port file %q, address %q (%v)", port, address, err)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("end: %v", err)
	}
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{{"-what"}, {"-fault", "nonsense"}, {"-era", "1999-01-01"}, {"-client", "{}"}, {"-addr", "nowhere"}} {
		var stdout, stderr strings.Builder
		if code := run(args, strings.NewReader(""), &stdout, &stderr); code != 2 || stdout.Len() > 0 || stderr.Len() == 0 {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", args, code, stdout.String(), stderr.String())
		}
	}
	var stderr strings.Builder
	if code := run([]string{"-help"}, nil, io.Discard, &stderr); code != 0 || !strings.Contains(stderr.String(), "_demo/set") {
		t.Errorf("-help: exit %d %q", code, stderr.String())
	}
}
