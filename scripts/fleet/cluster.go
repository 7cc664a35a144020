package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const password = "fleet-database-password"

// cluster is a primary and a synchronous replica.
type cluster struct {
	bin, dir         string
	primary, replica *node // replica is nil after a fail-over
	ports            []int
	made             int
}

type node struct {
	dir  string
	port int
}

func newCluster(bin, dir string) (*cluster, error) {
	c := &cluster{bin: bin, dir: dir}
	for range 2 {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		c.ports = append(c.ports, port)
	}
	if err := all("mkdir -p "+dir, "chown postgres "+dir, "printf %s "+password+" >"+dir+"/pw", "chmod 644 "+dir+"/pw"); err != nil {
		return nil, err
	}
	c.primary = c.next()
	if err := c.run("initdb", "-D", c.primary.dir, "-A", "scram-sha-256", "-U", "postgres", "--pwfile", dir+"/pw", "--no-sync"); err != nil {
		return nil, err
	}
	hba := "\nhost all all 10.231.77.0/24 scram-sha-256\nhost replication postgres 127.0.0.1/32 trust\n"
	conf := "\nlisten_addresses = '127.0.0.1," + dbHost + "'\nunix_socket_directories = '" + dir + "'\nlog_statement = 'all'\nmax_connections = 60\n"
	for file, text := range map[string]string{"pg_hba.conf": "host replication postgres 127.0.0.1/32 trust\n", "postgresql.conf": conf} {
		path := filepath.Join(c.primary.dir, file)
		data, err := os.ReadFile(path)
		if err == nil {
			if file == "pg_hba.conf" {
				data = append([]byte(text), append(data, hba...)...)
			} else {
				data = append(data, text...)
			}
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := c.up(c.primary); err != nil {
		return nil, err
	}
	if err := c.sql("CREATE ROLE fleet LOGIN PASSWORD '"+password+"'", "CREATE DATABASE mcpauth OWNER fleet"); err != nil {
		return nil, err
	}
	return c, c.rebuild()
}

// next returns a node with a new folder and with the port that the primary does not use. next does not create the database.
func (c *cluster) next() *node {
	c.made++
	port := c.ports[0]
	if c.primary != nil && c.primary.port == port {
		port = c.ports[1]
	}
	return &node{dir: filepath.Join(c.dir, "node"+strconv.Itoa(c.made)), port: port}
}

// run runs one of PostgreSQL's programs as the user postgres.
func (c *cluster) run(program string, args ...string) error {
	cmd := exec.Command("runuser", append([]string{"-u", "postgres", "--", filepath.Join(c.bin, program)}, args...)...)
	cmd.Dir = "/"
	log, err := os.OpenFile(c.dir+"/programs.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log // with a pipe, Run would not return, because the database server keeps the pipe open
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(c.dir + "/programs.log")
		return fmt.Errorf("%s %q: %w: %s", program, args, err, text[max(0, len(text)-500):])
	}
	return nil
}

func (c *cluster) up(n *node) error {
	return c.run("pg_ctl", "-D", n.dir, "-w", "-l", c.log(), "-o", fmt.Sprintf("-p %d", n.port), "start")
}

func (c *cluster) down(n *node) error { return c.run("pg_ctl", "-D", n.dir, "-m", "immediate", "stop") }

func (c *cluster) log() string { return c.dir + "/server.log" }

func (c *cluster) sql(statements ...string) error {
	args := []string{"-q", "-v", "ON_ERROR_STOP=1", "-d", fmt.Sprintf("host=127.0.0.1 port=%d user=postgres password=%s dbname=postgres", c.primary.port, password)}
	for _, s := range statements {
		args = append(args, "-c", s)
	}
	return command("psql", args...)
}

// rebuild creates a new synchronous replica.
func (c *cluster) rebuild() error {
	n := c.next()
	if err := c.run("pg_basebackup", "-h", "127.0.0.1", "-p", strconv.Itoa(c.primary.port), "-U", "postgres", "-D", n.dir, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"); err != nil {
		return err
	}
	if err := c.up(n); err != nil {
		return err
	}
	c.replica = n
	return c.synchronous("*")
}

func (c *cluster) synchronous(names string) error {
	return c.sql("ALTER SYSTEM SET synchronous_standby_names = '"+names+"'", "SELECT pg_reload_conf()")
}

// restart stops the primary immediately, without a shutdown, and starts it again.
func (c *cluster) restart() error {
	if err := c.down(c.primary); err != nil {
		return err
	}
	return c.up(c.primary)
}

// failOver stops and deletes the primary, and promotes the replica.
func (c *cluster) failOver() error {
	if err := c.down(c.primary); err != nil {
		return err
	}
	if err := os.RemoveAll(c.primary.dir); err != nil {
		return err
	}
	c.primary, c.replica = c.replica, nil
	return c.run("pg_ctl", "-D", c.primary.dir, "-w", "promote")
}

func (c *cluster) stop() {
	for _, n := range []*node{c.replica, c.primary} {
		if n != nil {
			_ = c.down(n)
		}
	}
}

// url returns the connection string for the machines, without the password.
func (c *cluster) url() string {
	var hosts []string
	for _, p := range c.ports {
		hosts = append(hosts, dbHost+":"+strconv.Itoa(p))
	}
	return "postgres://fleet@" + strings.Join(hosts, ",") + "/mcpauth?target_session_attrs=read-write&connect_timeout=2"
}

// freePort returns an unused loopback port.
func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return ln.Addr().(*net.TCPAddr).Port, ln.Close()
}

// pooler starts PgBouncer and returns its connection string.
func (c *cluster) pooler(l *lab, mode string) (string, error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	ini := fmt.Sprintf("[databases]\npostgres = host=127.0.0.1 port=%d dbname=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = %s/users\npool_mode = %s\n",
		c.primary.port, port, c.dir, mode)
	file := c.dir + "/" + mode + ".ini"
	for path, text := range map[string]string{file: ini, c.dir + "/users": fmt.Sprintf("\"postgres\" \"%s\"\n", password)} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	// setpriv replaces itself with the program, so that a signal to the child reaches the program. runuser does not replace itself.
	if err := l.child(exec.Command("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "pgbouncer", "-q", file)); err != nil {
		return "", err
	}
	return fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/postgres", password, port), listens(fmt.Sprintf("127.0.0.1:%d", port))
}
