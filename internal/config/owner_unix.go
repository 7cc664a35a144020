//go:build !windows

package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Foreign returns the reason why another user could have written a file, or "" if no other user could. Foreign checks the file, its folder,
// each symbolic link in the path and the link's folder, and follows no link of another user.
func Foreign(path string) string {
	if _, err := walkOwn(path, anyPart); err != nil {
		return reasonWithoutPath(err)
	}
	return ""
}

// Exposed returns the reason why another user can replace the file at an absolute path without links, or "" if no other user can. Exposed checks
// the file and every folder above it. In a folder like /tmp, another user can add files, but not replace or rename those of this user.
func Exposed(path string) string {
	_, err := walkPath(path, anyPart, func(part string, info fs.FileInfo) error {
		reason := otherOwner(info)
		if sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0; reason == "" && !sticky {
			reason = writableByOthers(part, info)
		}
		if reason != "" {
			return errors.New(part + " " + reason)
		}
		return nil
	})
	if err != nil {
		return reasonWithoutPath(err)
	}
	return ""
}

// foreign returns the reason why another user could have written or can change one file or folder.
func foreign(path string, info fs.FileInfo) string {
	return cmp.Or(otherOwner(info), writableByOthers(path, info))
}

// otherOwner returns a reason if a file belongs neither to the user nor to root.
func otherOwner(info fs.FileInfo) string {
	if owner := ownerOf(info); owner != uint32(os.Geteuid()) && owner != 0 {
		return fmt.Sprintf("belongs to user %d", owner)
	}
	return ""
}

func ownerOf(info fs.FileInfo) uint32 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Uid
	}
	return 0
}

func writableByOthers(path string, info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	me := uint32(os.Geteuid())
	mode := info.Mode()
	switch {
	case !ok || mode&fs.ModeSymlink != 0: // the mode of a link has no meaning
		return ""
	case mode&0o002 != 0:
		return "may be written by everybody"
	case mode&0o020 == 0: // then an access list lets nobody else write it either
		return ""
	case stat.Gid != me && stat.Gid != 0:
		return fmt.Sprintf("may be written by group %d", stat.Gid)
	}
	users, _ := os.ReadFile("/etc/passwd")
	groups, _ := os.ReadFile("/etc/group")
	if other := otherMember(string(users), string(groups), stat.Gid, me); other != "" {
		return fmt.Sprintf("may be written by %s, a member of group %d", other, stat.Gid)
	}
	return otherWriter(path, me)
}

// otherMember returns a member of a group other than root and the user, or "" if there is none. With umask 002, the user's private group, which
// has the ID of the user, can write the user's files. Accounts without a shell, such as operator, may belong to the group of root.
func otherMember(users, groups string, gid, uid uint32) string {
	group, own := strconv.Itoa(int(gid)), []string{""}
	for line := range strings.Lines(users) {
		switch f := strings.Split(line, ":"); {
		case len(f) < 4:
		case f[2] == "0" || f[2] == strconv.Itoa(int(uid)):
			own = append(own, f[0])
		case f[3] == group && (gid != 0 || len(f) == 7 && strings.HasSuffix(strings.TrimSpace(f[6]), "sh")):
			return f[0]
		}
	}
	for line := range strings.Lines(groups) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 4 && f[2] == group {
			for member := range strings.SplitSeq(f[3], ",") {
				if !slices.Contains(own, member) {
					return member
				}
			}
		}
	}
	return ""
}

// ForeignFolder explains why another user can change the files in a folder. The result is "" if no other user can, or if the folder does
// not exist.
func ForeignFolder(folder string) string {
	for _, stat := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} {
		if info, err := stat(folder); err == nil {
			if reason := foreign(folder, info); reason != "" {
				return folder + " " + reason
			}
		}
	}
	return ""
}

// NotRoots returns a message if mcpauth runs as root and another user owns the folder, a folder above it or a symbolic link in its path, and ""
// in all other cases. For example, sudo without -H may keep the HOME of the caller. Parts of the path that do not exist are ignored.
func NotRoots(folder string) string {
	if os.Geteuid() != 0 {
		return ""
	}
	return partOfOther(folder, func(_ string, info fs.FileInfo) string { return otherOwner(info) })
}

// ForeignLink returns a message if another user could have made a symbolic link in a path, and so chosen where it leads: the link belongs to
// this user, and other users can write to its folder. Parts of the path that do not exist are ignored. The owner of the folder / counts as root,
// because a user namespace may not know root.
func ForeignLink(path string) string {
	top, err := os.Lstat("/")
	return partOfOther(path, func(part string, info fs.FileInfo) string {
		reason := otherOwner(info)
		if reason == "" || info.Mode()&fs.ModeSymlink == 0 || err == nil && ownerOf(info) == ownerOf(top) {
			return ""
		}
		folder := filepath.Dir(part)
		if above, err := os.Lstat(folder); err == nil && foreign(folder, above) == "" {
			return "" // such as a link that was unpacked with its owner
		}
		return reason
	})
}

// partOfOther returns the first part of a path for which reasonFor returns a reason, and the reason.
func partOfOther(path string, reasonFor func(part string, info fs.FileInfo) string) string {
	found := ""
	_, _ = walkPath(path, anyPart, func(part string, info fs.FileInfo) error {
		if reason := reasonFor(part, info); reason != "" {
			found = part + " " + reason
			return errors.New(found)
		}
		return nil
	})
	return found
}
