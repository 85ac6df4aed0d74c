// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds how many links may stand on one way, as for path_resolution(7).
const maxLinks = 40

// openFolder opens the folder at an absolute path and makes what is missing of
// it. It follows links of root's and our own alone: any other was made by a
// service in a folder of its own, to have us write elsewhere as root.
func openFolder(name string) (int, error) {
	fail := func(err error) (int, error) { return -1, fmt.Errorf("cannot open the folder %s: %w", name, err) }
	at, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	rest := strings.Split(path.Clean(name), "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		next, target, err := step(at, part)
		if err == nil && target != "" {
			if links++; links > maxLinks {
				err = unix.ELOOP
			} else if path.IsAbs(target) {
				next, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			} else {
				next, err = unix.FcntlInt(uintptr(at), unix.F_DUPFD_CLOEXEC, 0)
			}
			rest = append(strings.Split(target, "/"), rest...)
		}
		unix.Close(at)
		if err != nil {
			return fail(err)
		}
		at = next
	}
	return at, nil
}

// errForeignLink is a link on the way that belongs to neither root nor us.
var errForeignLink = errors.New("a symbolic link on the way belongs to a service, and such links are not followed")

// step opens one name in a folder, which is made when it is missing. For a link
// that may be followed it gives the target.
func step(at int, part string) (fd int, target string, err error) {
	for {
		fd, err = unix.Openat(at, part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.ENOENT) {
			break
		}
		if err := unix.Mkdirat(at, part, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return -1, "", err
		}
	}
	if err != nil {
		return -1, "", err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, "", err
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return fd, "", nil
	case st.Mode&unix.S_IFMT != unix.S_IFLNK:
		unix.Close(fd)
		return -1, "", unix.ENOTDIR
	}
	defer unix.Close(fd)
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return -1, "", errForeignLink
	}
	// An empty name reads the link that is open, see readlink(2).
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return -1, "", err
	}
	return -1, string(buf[:n]), nil
}
