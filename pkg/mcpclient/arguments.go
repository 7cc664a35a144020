package mcpclient

import (
	"encoding/json"
	"errors"

	"mcpauth/internal/toolargs"
)

// Arguments of a call: a whole object, single arguments, or both.
type Arguments = toolargs.Arguments

// Arg is one argument of a call.
type Arg = toolargs.Arg

// buildArguments makes the arguments object of a call. The error is an *ArgumentError.
func buildArguments(t Tool, a Arguments, validate bool) (json.RawMessage, error) {
	object, err := a.Build(t.schema, validate)
	if wrong := (*toolargs.Error)(nil); errors.As(err, &wrong) {
		return nil, &ArgumentError{Tool: t.Name, Argument: wrong.Argument, Reason: wrong.Reason, Nearest: wrong.Nearest}
	}
	return object, err
}
