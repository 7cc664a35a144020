package config

import "io/fs"

// Foreign always returns "", because projects on Windows are not usually stored in a folder that every user can write to.
func Foreign(string) string { return "" }

func foreign(string, fs.FileInfo) string { return "" }

func otherOwner(fs.FileInfo) string { return "" }

// Exposed always returns "", for the same reason.
func Exposed(string) string { return "" }

// ForeignFolder always returns "", because the folders of a user's profile are private on Windows.
func ForeignFolder(string) string { return "" }

// ForeignLink always returns "", because users of Windows need a privilege to make symbolic links.
func ForeignLink(string) string { return "" }

// NotRoots always returns "", because Windows has no root.
func NotRoots(string) string { return "" }
