package main

import (
	"fmt"
	"reflect"
	"strings"

	"mcpauth/pkg/flow"
)

// storedLoginCheck returns the check that keeps a project's file from changing a stored login, or nil if the file sets nothing. A setting of the
// file must equal the setting of the login. The same holds if the server has ended the grant of the login, because the next login uses the
// stored settings. The file may add headers only if the user has trusted the file. The check runs each time the login is read, because another
// process may log in while this command runs.
func (s server) storedLoginCheck() func(flow.Target, flow.Settings) error {
	given, credential := s.target.Settings, s.target.Header.Get("Authorization") != ""
	if !s.inProject || s.untrusted == nil && !credential && reflect.ValueOf(given).IsZero() {
		return nil
	}
	return func(t flow.Target, stored flow.Settings) error {
		if s.untrusted != nil {
			return s.untrusted
		}
		if credential {
			return changedLoginError(t, "the header Authorization", "another credential", "its own")
		}
		if name, own, other := stored.Difference(given); name != "" {
			return changedLoginError(t, strings.ReplaceAll(name, "_", " "), other, own)
		}
		return nil
	}
}

// changedLoginError is the error for a setting of a project's file that differs from the stored login. fmt prints no secret of the settings.
func changedLoginError(t flow.Target, what string, given, stored any) error {
	return &configError{message: fmt.Sprintf("the project's file sets %s to %s, but the stored login %s has %s; a project's file cannot change a login",
		what, quote(fmt.Sprint(given)), quote(t.Profile), quote(fmt.Sprint(stored))), hint: "if the file is right: mcpauth logout " + shellWord(t.Profile)}
}
