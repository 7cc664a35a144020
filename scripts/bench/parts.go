package main

import (
	"fmt"
	"os"
	"os/exec"
)

// program prints the start-up cost of the binary.
func (b *bench) program() error {
	fmt.Printf("\n### The program\n\n| | |\n|---|---|\n")
	for _, word := range []string{"--version", "status"} {
		command := func() *exec.Cmd { return b.command(word) }
		got, err := b.repeat(b.o.n, nil, command)
		if err != nil {
			return err
		}
		count, err := b.instructions(3, nil, command)
		if err != nil {
			return err
		}
		fmt.Printf("| `mcpauth %s` | %s ms, %.1f M instructions |\n", word, ms(got.wall), float64(count)/1e6)
	}
	info, err := os.Stat(b.o.mcpauth)
	if err != nil {
		return err
	}
	fmt.Printf("| binary | %.1f MB |\n", float64(info.Size())/1e6)
	return nil
}

// stores measures a command that reads a credential and a command that writes a credential, with each credential store.
func (b *bench) stores() error {
	kinds := []string{"file"}
	if b.o.keychain {
		kinds = append(kinds, "keychain")
	}
	fmt.Printf("\n### The store\n\n| | `token` (reads) | `refresh` (locks, proves, reads, writes, reads back) |\n|---|---|---|\n")
	for _, kind := range kinds {
		name := "store-" + kind
		if _, err := b.measure(b.command("--keystore", kind, "login", b.site(modern, "http").URL(), "--name", name)); err != nil {
			return err
		}
		read, err := b.repeat(b.o.n, nil, func() *exec.Cmd { return b.command("--keystore", kind, "token", name) })
		if err != nil {
			return err
		}
		renew, err := b.repeat(b.o.n, nil, func() *exec.Cmd { return b.command("--keystore", kind, "refresh", name) })
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %s ms | %s ms |\n", kind, ms(read.wall), ms(renew.wall))
		if _, err := b.measure(b.command("--keystore", kind, "logout", name)); err != nil {
			return err
		}
	}
	return nil
}
