package config

// Foreign says why another user may have written a project's file. Windows has no folder in which everybody may write and projects are kept.
func Foreign(string) string { return "" }

// NotRoots says nothing: Windows has no root.
func NotRoots(string) string { return "" }
