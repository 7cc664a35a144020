package keystore

import "golang.org/x/sys/unix"

// peerOf returns the user whose process listens at the other end of a connected socket.
func peerOf(fd int) (uid uint32, err error) {
	c, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, err
	}
	return c.Uid, nil
}
