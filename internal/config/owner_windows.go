// This file tells whose file a project file is. Windows has no folder where everybody may write and that projects are kept in.

package config

func planted(string) bool { return false }
