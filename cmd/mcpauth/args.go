// Arguments of a tool on the command line:
//
//	name=value     text, or a number or boolean if the tool's schema requires one
//	name:=JSON     JSON
//	name=@FILE     text of a file
//	name:=@FILE    JSON of a file
//
// --args JSON|@FILE|- gives all arguments as one JSON object. The value of an argument is the text after the first "=".

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"mcpauth/internal/httpx"
	"mcpauth/internal/toolargs"
)

// toolArgument is one word, such as name=value. The value is text, JSON, or the name of a file that contains text or JSON.
type toolArgument struct {
	name, value string
	json, file  bool
}

// parseArg parses an argument. The error is a *usageError.
func parseArg(word string) (toolArgument, error) {
	name, value, ok := strings.Cut(word, "=")
	if !ok {
		return toolArgument{}, &usageError{message: "argument " + quote(word) + " is not name=value", hint: "name=text, name:=JSON, name=@FILE or name:=@FILE"}
	}
	a := toolArgument{value: value}
	a.name, a.json = strings.CutSuffix(name, ":")
	if a.name == "" {
		return toolArgument{}, usage("argument " + quote(word) + " has no name")
	}
	if a.value, a.file = strings.CutPrefix(value, "@"); a.file && a.value == "" {
		return toolArgument{}, usage("argument " + quote(word) + " names no file after @")
	}
	if !utf8.ValidString(a.name) || !a.file && !utf8.ValidString(a.value) {
		return toolArgument{}, usage("argument " + quote(word) + " is not UTF-8 text")
	}
	if a.json && !a.file {
		return a, checkJSON("argument "+quote(a.name), a.value)
	}
	return a, nil
}

// checkJSON returns an error if text is not one JSON value or has duplicate members, because JSON parsers treat duplicates differently.
func checkJSON(what, text string) error {
	err := httpx.UniqueFields([]byte(text))
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return usage(fmt.Sprintf("%s: not JSON at character %d", what, syntax.Offset)) // the text of err quotes a character, which may be part of a secret file
	}
	return usage(fmt.Sprintf("%s: not JSON: %v", what, err))
}

// toolArguments parses the arguments of a tool: words such as name=value, and whole, the value of --args.
func (p *program) toolArguments(words []string, whole string) (toolargs.Arguments, error) {
	var out toolargs.Arguments
	if whole != "" {
		object, err := p.wholeObject(whole)
		if err != nil {
			return out, err
		}
		out.Object, out.Private = object, !strings.HasPrefix(whole, "{")
	}
	for _, word := range words {
		a, err := parseArg(word)
		if err != nil {
			return out, err
		}
		if a.file {
			if a.value, err = readText("argument "+quote(a.name), a.value); err != nil {
				return out, err
			}
			if a.json {
				if err := checkJSON("argument "+quote(a.name), a.value); err != nil {
					return out, err
				}
			}
		}
		out.Args = append(out.Args, toolargs.Arg{Name: a.name, Value: a.value, JSON: a.json, Private: a.file})
	}
	return out, nil
}

// wholeObject reads the JSON object of --args from the command line, a file or standard input.
func (p *program) wholeObject(whole string) (json.RawMessage, error) {
	text := whole
	var err error
	if file, ok := strings.CutPrefix(whole, "@"); ok {
		text, err = readText("--args", file)
	} else if whole == "-" {
		text, err = p.stdinText("--args -")
	}
	if err != nil {
		return nil, err
	}
	return json.RawMessage(text), checkObject("--args", text)
}

// checkObject returns an error if text is not one JSON object.
func checkObject(what, text string) error {
	if err := checkJSON(what, text); err != nil {
		return err
	}
	if !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") {
		return usage(what + ` is not a JSON object: {"name": value, …}`)
	}
	return nil
}

// maxArguments limits a file with arguments, and the arguments on standard input, in bytes.
const maxArguments = 64 << 20

func (p *program) stdinText(what string) (string, error) {
	data, err := httpx.ReadLimited(p.stdin, maxArguments)
	switch {
	case err != nil:
		return "", &configError{message: what + ": " + err.Error()}
	case !utf8.Valid(data):
		return "", usage(what + ": standard input is not UTF-8 text")
	}
	return string(data), nil
}

// readText reads a UTF-8 file.
func readText(what, file string) (string, error) {
	data, err := httpx.ReadNamed(file, maxArguments)
	if err != nil {
		return "", &configError{message: fmt.Sprintf("%s: %v", what, err)}
	}
	if !utf8.Valid(data) {
		return "", usage(fmt.Sprintf("%s: %s is not UTF-8 text", what, quote(file)))
	}
	return string(data), nil
}
