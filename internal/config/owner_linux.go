package config

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

// accessList is the extended attribute that contains the POSIX access list of a file.
const accessList = "system.posix_acl_access"

// otherWriter returns the reason why the access list of a file lets another user write the file, or "" if it does not. The list is a version
// of four bytes, and then entries of eight bytes: a tag, the permissions, and the ID of a user or group.
func otherWriter(path string, me uint32) string {
	const user, group, write = 2, 8, 2
	list := make([]byte, 64<<10) // Linux allows no larger attribute
	n, err := syscall.Getxattr(path, accessList, list)
	if err == syscall.ENODATA || err == syscall.ENOTSUP {
		return ""
	} else if err != nil {
		return "has an access list that cannot be read: " + err.Error()
	}
	for i := 4; i+8 <= n; i += 8 {
		tag, id := binary.LittleEndian.Uint16(list[i:]), binary.LittleEndian.Uint32(list[i+4:])
		switch {
		case binary.LittleEndian.Uint16(list[i+2:])&write == 0:
		case tag == user && id != me && id != 0:
			return fmt.Sprintf("may be written by user %d", id)
		case tag == group:
			return fmt.Sprintf("may be written by group %d", id)
		}
	}
	return ""
}
