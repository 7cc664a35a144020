package config

// Foreign always returns "", because Windows has no shared folder that everybody may write to and in which projects are stored.
func Foreign(string) string { return "" }

// NotRoots always returns "", because Windows has no root.
func NotRoots(string) string { return "" }
