//go:build unix

// Command security simulates /usr/bin/security of macOS, as far as go-keyring and scripts/macos-keychain use it. The command has the
// limits, the quoting and the exit codes of the real program. In interactive mode, at most 4095 bytes of a line are read at a time. The
// exit code is the last byte of the OSStatus. Each keychain of this program is an unencrypted file.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// OSStatus values that /usr/bin/security returns.
const (
	duplicate   = -25299
	notFound    = -25300
	noDefault   = -25307
	interaction = -25308 // the keychain is locked, and no user can be asked
	badAuth     = -25293
	badUsage    = 2
)

const (
	maxLine  = 4095                  // number of bytes of a line that /usr/bin/security reads at a time
	slowness = 20 * time.Millisecond // duration of each operation
)

// keychain is the content of a keychain file.
type keychain struct {
	Password string
	Locked   bool
	Items    map[string]string // by service and account
}

func main() { os.Exit(run(os.Args[1:], os.Stdin) & 0xff) }

func run(args []string, stdin io.Reader) int {
	time.Sleep(slowness)
	unlock, err := lock()
	if err != nil {
		return say(err.Error(), 1)
	}
	defer unlock()
	if len(args) == 1 && args[0] == "-i" {
		return interactive(stdin)
	}
	return execute(args)
}

// interactive runs one command per line and returns the result of the last one.
func interactive(stdin io.Reader) int {
	result := 0
	for r := bufio.NewReaderSize(stdin, maxLine); ; {
		line, err := r.ReadSlice('\n') // ReadSlice returns at most 4095 bytes of a longer line; the next call returns the rest
		if len(line) > 0 {
			result = execute(split(strings.TrimSuffix(string(line), "\n")))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return result
		}
	}
}

// split splits a line at blanks, with quotes and backslashes.
func split(line string) []string {
	var words []string
	var word strings.Builder
	var quote byte
	started := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quote != '\'' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			started = true
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, started = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if started {
				words = append(words, word.String())
				word.Reset()
			}
			started = false
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if started {
		words = append(words, word.String())
	}
	return words
}

// execute runs one command.
func execute(args []string) int {
	if len(args) == 0 {
		return 0
	}
	f := flag.NewFlagSet("security", flag.ContinueOnError)
	service, account, password := f.String("s", "", ""), f.String("a", "", ""), ""
	show, update := false, f.Bool("U", false, "")
	switch args[0] {
	case "find-generic-password": // -w shows the password; "-wa ACCOUNT" is -w and -a
		f.BoolVar(&show, "w", false, "")
		f.Func("wa", "", func(s string) error {
			*account, show = s, true
			return nil
		})
	case "add-generic-password":
		f.StringVar(&password, "w", "", "")
	default:
		f.StringVar(&password, "p", "", "")
	}
	if err := f.Parse(args[1:]); err != nil {
		return badUsage
	}
	if args[0] == "default-keychain" {
		return defaultKeychain(*service)
	}
	file := f.Arg(0)
	if file == "" {
		if file = readDefault(); file == "" {
			return say("A default keychain could not be found.", noDefault)
		}
	}
	k, err := load(file)
	if err != nil && args[0] != "create-keychain" {
		return say("The specified keychain could not be found.", noDefault)
	}
	item := *service + "\x00" + *account
	value, found := k.Items[item]
	for name := range k.Items {
		found = found || *account == "" && strings.HasPrefix(name, item)
	}
	switch args[0] {
	case "create-keychain":
		return save(file, keychain{Password: password, Items: map[string]string{}})
	case "delete-keychain":
		return code(os.Remove(file))
	case "lock-keychain":
		k.Locked = true
		return save(file, k)
	case "unlock-keychain":
		if password != k.Password {
			return say("The user name or passphrase you entered is not correct.", badAuth)
		}
		k.Locked = false
		return save(file, k)
	case "set-keychain-settings":
		return 0
	case "add-generic-password":
		switch {
		case k.Locked:
			return say("User interaction is not allowed.", interaction)
		case found && !*update:
			return say("The specified item already exists in the keychain.", duplicate)
		}
		k.Items[item] = password
		return save(file, k)
	case "find-generic-password", "delete-generic-password":
		switch {
		case !found:
			return say("The specified item could not be found in the keychain.", notFound)
		case args[0] == "delete-generic-password":
			delete(k.Items, item)
			fmt.Fprintln(os.Stderr, "password has been deleted.")
			return save(file, k)
		case show && k.Locked:
			return say("User interaction is not allowed.", interaction)
		case show:
			fmt.Println(value)
		}
		return 0
	}
	return say("unknown command "+args[0], badUsage)
}

func say(text string, result int) int {
	fmt.Fprintln(os.Stderr, "security: "+text)
	return result
}

func code(err error) int {
	if err != nil {
		return say(err.Error(), 1)
	}
	return 0
}

func setting() string { return filepath.Join(os.Getenv("HOME"), ".default-keychain") }

func readDefault() string {
	data, _ := os.ReadFile(setting())
	return string(data)
}

// defaultKeychain sets the default keychain, or prints it as the real program does.
func defaultKeychain(file string) int {
	if file != "" {
		return code(os.WriteFile(setting(), []byte(file), 0o600))
	}
	fmt.Printf("    %q\n", readDefault())
	return 0
}

func load(file string) (keychain, error) {
	var k keychain
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	return k, err
}

func save(file string, k keychain) int {
	data, err := json.Marshal(k)
	if err != nil {
		return code(err)
	}
	return code(os.WriteFile(file, data, 0o600))
}

// lock lets only one process use the keychains at a time, as the daemon of macOS does.
func lock() (unlock func(), err error) {
	f, err := os.OpenFile(setting()+".lock", os.O_CREATE|os.O_RDWR, fs.FileMode(0o600))
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
}
