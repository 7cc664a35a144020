package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// machine simulates a computer with its own network namespace, home folder and clock. One network address of the machine reaches the
// database, and another one reaches the MCP server.
type machine struct {
	l    *lab
	ns   string
	ip   string // address of the machine in the network of the database
	home string
	env  []string
}

func namespace(i int) string { return "mcpfleet" + strconv.Itoa(i) }

func (l *lab) newMachine(i int) (*machine, error) {
	ns, outside, ip, other := namespace(i), "mcpfv"+strconv.Itoa(i), fmt.Sprintf("10.231.77.%d", 10+i), fmt.Sprintf("10.231.77.%d", 30+i)
	err := all(
		"ip netns add "+ns,
		"ip link add "+outside+" type veth peer name eth0 netns "+ns,
		"ip link set "+outside+" master "+bridge+" up",
		"ip -n "+ns+" addr add "+ip+"/24 dev eth0",
		"ip -n "+ns+" addr add "+other+"/24 dev eth0",
		"ip -n "+ns+" link set eth0 up",
		"ip -n "+ns+" route add "+mcpHost+" dev eth0 src "+other,
		"ip -n "+ns+" link set lo up",
	)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port := l.server.Port()
	if err := l.child(exec.Command("nsenter", "--net=/run/netns/"+ns, self, "forward", "127.0.0.1:"+port, mcpHost+":"+port)); err != nil {
		return nil, err
	}
	m := &machine{l: l, ns: ns, ip: ip, home: filepath.Join(l.work, "machine"+strconv.Itoa(i))}
	skew := []int{0, 4, -3, 7}[i-1]
	m.env = []string{"PATH=" + l.work + ":" + os.Getenv("PATH"), "HOME=" + m.home, "HOSTNAME=" + ns, "FLEET_SKEW=" + strconv.Itoa(skew), "BROWSER=browser",
		"MCPAUTH_KEYSTORE=postgres", "MCPAUTH_KEYSTORE_KEY_FILE=" + l.key, "MCPAUTH_KEYSTORE_URL=" + l.db.url(), "PGPASSWORD=" + password}
	return m, os.MkdirAll(m.home, 0o700)
}

// child starts a process that runs until the lab ends.
func (l *lab) child(c *exec.Cmd) error {
	c.Dir = "/"
	if err := c.Start(); err != nil {
		return err
	}
	l.children = append(l.children, c)
	return nil
}

// listens waits until a server listens at the address.
func listens(address string) error {
	for range 100 {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("nobody listens on %s", address)
}

// cut drops all packets between the machine and the database, until heal is called.
func (m *machine) cut() error {
	return all("ip -n "+m.ns+" neigh replace "+dbHost+" lladdr 02:00:00:00:00:99 nud permanent dev eth0",
		"ip neigh replace "+m.ip+" lladdr 02:00:00:00:00:99 nud permanent dev "+bridge)
}

func (m *machine) heal() error {
	return all("ip -n "+m.ns+" neigh del "+dbHost+" dev eth0", "ip neigh del "+m.ip+" dev "+bridge)
}

// process is one run of mcpauth.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
	began          time.Time
	took           time.Duration
	code           int // -1: killed
}

func (m *machine) start(args ...string) (*process, error) {
	for i, a := range args {
		if a == "SERVER" {
			args[i] = m.l.server.URL()
		}
	}
	p := &process{Cmd: exec.Command("nsenter", append([]string{"--net=/run/netns/" + m.ns, filepath.Join(m.l.work, "mcpauth")}, args...)...), began: time.Now()}
	p.Env, p.Dir, p.Stdout, p.Stderr = m.env, m.home, &p.stdout, &p.stderr
	return p, p.Start()
}

func (p *process) end() error {
	err := p.Wait()
	p.took, p.code = time.Since(p.began), p.ProcessState.ExitCode()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return err
}

func (m *machine) run(args ...string) (*process, error) {
	p, err := m.start(args...)
	if err != nil {
		return nil, err
	}
	return p, p.end()
}

// does runs mcpauth and returns an error unless the exit code is code.
func (m *machine) does(code int, args ...string) (*process, error) {
	p, err := m.run(args...)
	if err == nil && p.code != code {
		err = fmt.Errorf("%s: %q: exit %d, expected %d\n%s%s", m.ns, args, p.code, code, &p.stdout, &p.stderr)
	}
	return p, err
}
