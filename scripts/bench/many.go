package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// together starts n processes at once, and fails if a process fails. together returns the time until the last process has ended, and the
// sorted times of all processes.
func (b *bench) together(n int, command func() *exec.Cmd) (time.Duration, []time.Duration, error) {
	commands := make([]*exec.Cmd, n)
	for i := range commands {
		commands[i] = command()
	}
	each, failed := make([]time.Duration, n), make(chan error, n)
	var wait sync.WaitGroup
	begin := time.Now()
	for i, c := range commands {
		wait.Go(func() {
			_, err := b.measure(c)
			if each[i] = time.Since(begin); err != nil {
				failed <- err
			}
		})
	}
	wait.Wait()
	all := time.Since(begin)
	close(failed)
	slices.Sort(each)
	return all, each, <-failed
}

// crowd measures each contestant with fifty processes at once.
func (b *bench) crowd() error {
	const many = 50
	fmt.Printf("\n### %d processes at once, each one call, server of %s\n\n| | ms for all, http | ms for all, https |\n|---|---|---|\n", many, modern)
	plain, secure := b.contestants(b.site(modern, "http")), b.contestants(b.site(modern, "https"))
	for i := range 3 {
		var cells [2]time.Duration
		for j, c := range []contestant{plain[i], secure[i]} {
			if _, err := b.measure(c.command()); err != nil { // fills caches
				return err
			}
			var runs []time.Duration
			for range min(5, b.o.n) {
				all, _, err := b.together(many, c.command)
				if err != nil {
					return err
				}
				runs = append(runs, all)
			}
			cells[j] = median(runs)
		}
		fmt.Printf("| %s | %s | %s |\n", plain[i].name, ms(cells[0]), ms(cells[1]))
	}
	return nil
}

// thousand starts fifty and a thousand mcpauth processes over TLS, first with a valid token and then with a token that the server rejects.
func (b *bench) thousand() error {
	s := b.site(modern, "https")
	fmt.Printf("\n### Many processes of mcpauth at once over https, each one call\n\n| processes | token | refreshes | ms, median | ms, slowest |\n|---|---|---|---|---|\n")
	for _, n := range []int{50, 1000} {
		for _, expired := range []bool{false, true} {
			name, want := "good", 0
			if expired {
				name, want = "expired", 1
				if err := s.Set("expire"); err != nil {
					return err
				}
			}
			before := s.Count("refresh")
			_, each, err := b.together(n, func() *exec.Cmd { return b.call(s) })
			if err != nil {
				return err
			}
			if got := s.Count("refresh") - before; got != want {
				return fmt.Errorf("%d processes made %d refreshes, want %d", n, got, want)
			}
			fmt.Printf("| %d | %s | %d | %s | %s |\n", n, name, want, ms(each[n/2]), ms(each[n-1]))
		}
	}
	return nil
}

// batch measures a thousand calls in one process.
func (b *bench) batch() error {
	const calls, parallel = 1000, 4
	var lines bytes.Buffer
	for i := range calls {
		fmt.Fprintf(&lines, `{"id":%d,"tool":"echo","arguments":{"text":"hello"}}`+"\n", i)
	}
	fmt.Printf("\n### %d calls, %d at a time, http\n\n| | ms, server of %s | ms, server of %s |\n|---|---|---|\n", calls, parallel, modern, legacy)
	for _, c := range []struct {
		name    string
		command func(*site) *exec.Cmd
	}{
		{"bare SDK program", func(s *site) *exec.Cmd { return b.bare(s, calls, parallel) }},
		{"mcpauth call --batch", func(s *site) *exec.Cmd {
			c := b.command("call", s.name(), "--batch", "-", "--parallel", fmt.Sprint(parallel))
			c.Stdin = bytes.NewReader(lines.Bytes())
			return c
		}},
	} {
		fmt.Printf("| %s |", c.name)
		for _, era := range []string{modern, legacy} {
			got, err := b.repeat(min(5, b.o.n), nil, func() *exec.Cmd { return c.command(b.site(era, "http")) })
			if err != nil {
				return err
			}
			fmt.Printf(" %s |", ms(got.wall))
		}
		fmt.Println()
	}
	return nil
}
