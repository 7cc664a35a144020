package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// allowed is the percentage by which a command may exceed the recorded number of instructions.
const allowed = 10

// gate counts the instructions of the most common commands. gate either records the counts, or compares them with the recorded counts.
func (b *bench) gate() error {
	plain, secure := b.site(modern, "http"), b.site(modern, "https")
	commands := []struct {
		name    string
		command func() *exec.Cmd
	}{
		{"version", func() *exec.Cmd { return b.command("--version") }},
		{"token", func() *exec.Cmd { return b.command("token", plain.name()) }},
		{"status", func() *exec.Cmd { return b.command("status") }},
		{"call-http", func() *exec.Cmd { return b.call(plain) }},
		{"call-https", func() *exec.Cmd { return b.call(secure) }},
	}
	recorded, err := readCounts(b.o.instructions)
	if err != nil && !b.o.record {
		return err
	}
	var counts strings.Builder
	var risen []string
	for _, c := range commands {
		if _, err := b.measure(c.command()); err != nil { // fills caches
			return err
		}
		got, err := b.instructions(7, nil, c.command)
		if err != nil {
			return err
		}
		want := recorded[c.name]
		fmt.Printf("%-10s %11d instructions, recorded %11d\n", c.name, got, want)
		fmt.Fprintf(&counts, "%s %d\n", c.name, got)
		if got > want+want*allowed/100 {
			risen = append(risen, c.name)
		}
	}
	if b.o.record {
		return os.WriteFile(b.o.instructions, []byte(counts.String()), 0o644)
	}
	if risen != nil {
		return fmt.Errorf("more than %d %% above the recorded number: %s; if that is meant: scripts/bench/instructions -record", allowed, strings.Join(risen, ", "))
	}
	return nil
}

// readCounts reads lines that consist of a name and a number.
func readCounts(file string) (map[string]int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		name, number, _ := strings.Cut(lines.Text(), " ")
		if counts[name], err = strconv.Atoi(number); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return counts, nil
}

var instructionsLine = regexp.MustCompile(`I +refs: +([0-9,]+)`)

// instructions returns the number of instructions that a command executes in user space. The Go scheduler executes a different number of
// instructions in each run, so the result is the minimum of n runs.
func (b *bench) instructions(n int, before func() error, command func() *exec.Cmd) (int, error) {
	var counts []int
	for range n {
		if before != nil {
			if err := before(); err != nil {
				return 0, err
			}
		}
		c := command()
		v := b.other("valgrind", append([]string{"--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", c.Path}, c.Args[1:]...)...)
		v.Env, v.Stdin = append(slices.Clone(c.Env), "GODEBUG=cpu.rdtscp=off"), c.Stdin // valgrind does not support RDTSCP on every processor
		var report bytes.Buffer
		v.Stderr = &report
		if err := v.Run(); err != nil {
			return 0, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args[:min(4, len(c.Args))], " "), err, &report)
		}
		m := instructionsLine.FindStringSubmatch(report.String())
		if m == nil {
			return 0, fmt.Errorf("valgrind counted nothing:\n%s", &report)
		}
		count, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
		if err != nil {
			return 0, err
		}
		counts = append(counts, count)
	}
	return slices.Min(counts), nil
}
