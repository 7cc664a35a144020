package main

import (
	"fmt"
	"strings"

	"mcpauth/pkg/flow"
)

// protectLogin makes sure that a project's file does not change a stored login. The file may add headers only if the user has trusted the
// file, and never a credential. Other settings of the file are used only if no login is stored. flags are the settings from the flags of login,
// or nil for other commands. If login would ignore a setting of the file that differs from the stored login, the result of Check is an error. Check
// runs each time the login is read, because another process may log in while this command runs.
func (s *server) protectLogin(flags *flow.Settings) {
	if !s.inProject {
		return
	}
	var given flow.Settings
	s.target.IfStored = &flow.Settings{}
	if flags != nil {
		given, s.target.IfStored = s.target.Settings.Without(*flags), flags
	}
	untrusted, credential := s.untrusted, s.credential
	s.target.Check = func(t flow.Target, stored flow.Settings) error {
		if untrusted != nil {
			return untrusted
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
