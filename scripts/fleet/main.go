// Fleet tests four machines that share one login in the postgres store. During the test, processes, the network and the database fail.
// scripts/fleet/run starts Fleet.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"filippo.io/age"

	"mcpauth/internal/demo"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "forward" {
		fail(forward(os.Args[2], os.Args[3]))
	}
	l := &lab{}
	soak := flag.Duration("soak", 5*time.Minute, "")
	flag.StringVar(&l.work, "work", "", "folder for everything")
	flag.StringVar(&l.bin, "pg", "", "folder of PostgreSQL's programs")
	keystore := flag.String("keystore", "", "folder of the package keystore")
	flag.Parse()
	err := l.start()
	if err == nil {
		err = l.play(*keystore, *soak)
	}
	l.stop()
	fail(err)
}

func fail(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "fleet:", err)
	os.Exit(1)
}

const (
	bridge   = "mcpfleet0"
	dbHost   = "10.231.77.1" // machine.cut blocks this address
	mcpHost  = "10.231.77.2" // machine.cut does not block this address
	machines = 4
)

// lab consists of the network, the database, the MCP server and the machines.
type lab struct {
	work, bin string
	db        *cluster
	server    *demo.Server
	machines  []*machine
	children  []*exec.Cmd
	key       string
}

func (l *lab) start() error {
	server, err := demo.Start(demo.Options{})
	if err != nil {
		return err
	}
	l.server = server
	if err := l.network(); err != nil {
		return err
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	l.key = filepath.Join(l.work, "fleet.key")
	if err := os.WriteFile(l.key, []byte(id.String()+"\n"), 0o600); err != nil {
		return err
	}
	if l.db, err = newCluster(l.bin, filepath.Join(l.work, "pg")); err != nil {
		return err
	}
	for i := range machines {
		m, err := l.newMachine(i + 1)
		if err != nil {
			return err
		}
		l.machines = append(l.machines, m)
	}
	return nil
}

// network creates a bridge with an address for the database and an address for the MCP server. mcpauth accepts a server without TLS only
// on loopback, so each machine forwards a port of its own loopback address to the MCP server.
func (l *lab) network() error {
	l.clearNetwork()
	err := all(
		"ip link add "+bridge+" type bridge",
		"ip addr add "+dbHost+"/24 dev "+bridge,
		"ip addr add "+mcpHost+"/24 dev "+bridge,
		"ip link set "+bridge+" up",
	)
	if err != nil {
		return err
	}
	go func() { fail(forward(mcpHost+":"+l.server.Port(), "127.0.0.1:"+l.server.Port())) }()
	return nil
}

func (l *lab) clearNetwork() {
	for i := range machines {
		_ = all("ip netns del " + namespace(i+1))
	}
	_ = all("ip link del " + bridge)
}

func (l *lab) stop() {
	for _, c := range l.children {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	if l.db != nil {
		l.db.stop()
	}
	l.clearNetwork()
	if l.server != nil {
		l.server.Close()
	}
}

// all runs shell commands until one fails.
func all(commands ...string) error {
	for _, c := range commands {
		if err := command("sh", "-c", c); err != nil {
			return err
		}
	}
	return nil
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w: %s", name, args, err, out)
	}
	return nil
}

// forward forwards the connections of a listener to an address.
func forward(from, to string) error {
	ln, err := net.Listen("tcp", from)
	if err != nil {
		return err
	}
	for {
		in, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer out.Close()
			go func() {
				_, _ = io.Copy(out, in)
				_ = out.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(in, out)
		}()
	}
}

var errLost = errors.New("lost")
