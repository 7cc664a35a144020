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
func (p *program) protectLogin(s *server, flags *flow.Settings) {
	if !s.inProject {
		return
	}
	var given flow.Settings
	s.target.IfStored = &flow.Settings{}
	if flags != nil {
		given, s.target.IfStored = s.target.Settings.Without(*flags), flags
	}
	s.target.IfStored.NameOfProject = s.target.NameOfProject
	noToken := s.noToken
	s.target.Check = func(t flow.Target, stored flow.Settings) error {
		if noToken != nil {
			return noToken
		}
		if name, own, other := stored.Difference(given); name != "" {
			return &configError{message: fmt.Sprintf("the project's file sets %s to %s, but the stored login %s has %s; a project's file cannot change a login", // fmt prints no secret
				strings.ReplaceAll(name, "_", " "), quote(fmt.Sprint(other)), quote(t.Profile), quote(fmt.Sprint(own))),
				hint: "if the file is right, and you no longer need the settings of this login, such as --strict or --dpop always: " + p.hintAbout(shellWord(t.Profile)).command("logout")}
		}
		return nil
	}
}
