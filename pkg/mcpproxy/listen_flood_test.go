package mcpproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"mcpauth/internal/mcphttp"
)

// flooded is a Listener to which a test opens connections, as any user of the machine can.
type flooded struct {
	*Listener
	t *testing.T
}

// newFlooded returns a flooded listener for the server, and a session of its program.
func newFlooded(t *testing.T, s *server) (f flooded, session string) {
	f = flooded{listen(t, s.proxy()), t}
	res, _ := post(t, f.URL, "", initialize)
	return f, res.Header.Get("Mcp-Session-Id")
}

func answerCalls(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) {
	if !greeted(w, m, "") {
		say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID))
	}
}

// request returns a call with the secret.
func (f flooded) request(session, name string) string {
	body := call("1", name)
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nMcp-Session-Id: %s\r\nContent-Length: %d\r\n\r\n%s",
		f.path(), f.host, session, len(body), body)
}

func (f flooded) path() string { return f.URL[len("http://"+f.host):] }

func (f flooded) connect(said string) net.Conn {
	f.t.Helper()
	c, err := net.Dial("tcp", f.host)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(c, said)
	return c
}

// A program opens a connection, another user opens many, and then the program sends its request. The program gets the response.
func TestListenFlood(t *testing.T) {
	f, session := newFlooded(t, newServer(t, answerCalls))
	program := f.connect("")
	for range 400 {
		f.connect("")
	}
	_, _ = io.WriteString(program, f.request(session, "a"))
	if res, err := http.ReadResponse(bufio.NewReader(program), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("the program gets %v, %v", res, err)
	}
}

// If the listener closes the connection of a request before it has read the secret, it does not forward the request, because its response
// could not arrive.
func TestListenFloodForwardsNothing(t *testing.T) {
	s := newServer(t, answerCalls)
	f, session := newFlooded(t, s)
	begun, release, ended := make(chan bool), make(chan bool), make(chan bool, 1)
	slow := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- true
		<-release
		f.ServeHTTP(w, r)
		ended <- true
	}))
	f.strangers.Watch(slow.Config)
	path := f.path()
	f.host = slow.Listener.Addr().String()
	f.URL = "http://" + f.host + path
	slow.Start()
	defer slow.Close()
	program := f.connect(f.request(session, "lost"))
	<-begun
	for range 600 {
		f.connect("")
	}
	if _, err := program.Read(make([]byte, 1)); err == nil {
		t.Error("the program gets a response")
	}
	release <- true
	<-ended
	program = f.connect(f.request(session, "next"))
	<-begun
	release <- true
	if res, err := http.ReadResponse(bufio.NewReader(program), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("the next connection gets %v, %v", res, err)
	}
	<-ended
	if got := s.seen("tools/call"); len(got) != 1 || param(got[0], "name") != "next" {
		t.Errorf("the server was sent %d calls", len(got))
	}
}
