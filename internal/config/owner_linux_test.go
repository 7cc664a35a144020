package config

import (
	"cmp"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A file with an access list is foreign only if the list lets somebody else write it.
func TestAccessList(t *testing.T) {
	const userObj, user, groupObj, group, mask, other, none = 1, 2, 4, 8, 16, 32, ^uint32(0)
	me := uint32(os.Getuid())
	for _, tt := range []struct {
		name        string
		named, perm uint16
		id          uint32
		mask        uint16
		want        string
	}{
		{"a user who writes", user, 6, 4242, 6, "may be written by user 4242"},
		{"a group that writes", group, 6, 4243, 6, "may be written by group 4243"},
		{"a user who reads", user, 4, 4242, 6, ""},
		{"a user whom the mask keeps from writing", user, 6, 4242, 4, ""},
		{"oneself", user, 6, me, 6, ""},
		{"root", user, 6, 0, 6, ""},
	} {
		file := filepath.Join(t.TempDir(), ".mcp.json")
		if err := os.WriteFile(file, []byte("{}"), 0o664); err != nil {
			t.Fatal(err)
		}
		type entry struct {
			tag, perm uint16
			id        uint32
		}
		entries := []entry{{userObj, 6, none}, {tt.named, tt.perm, tt.id}, {groupObj, 4, none}, {mask, tt.mask, none}, {other, 4, none}}
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.tag, b.tag) })
		list := binary.LittleEndian.AppendUint32(nil, 2)
		for _, e := range entries {
			list = binary.LittleEndian.AppendUint16(list, e.tag)
			list = binary.LittleEndian.AppendUint16(list, e.perm)
			list = binary.LittleEndian.AppendUint32(list, e.id)
		}
		if err := syscall.Setxattr(file, accessList, list, 0); err == syscall.ENOTSUP {
			t.Log("this file system has no access lists")
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if got := Foreign(file); tt.want == "" && got != "" || !strings.HasSuffix(got, tt.want) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
