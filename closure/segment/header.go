// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"
)

// modeBits are all that an entry's mode may hold.
const modeBits = 0o7777

// linkMode is what every system shows of a link.
const linkMode = 0o777

// header is the tar header of an entry. Its form is chosen by archive/tar:
// ustar where the entry fits, else with just the pax records that it needs.
func (n *Entry) header() (*tar.Header, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	h := &tar.Header{
		Typeflag: byte(n.Type), Name: n.Path, Mode: int64(n.Mode), Uid: n.UID, Gid: n.GID, ModTime: entryTime,
	}
	switch n.Type {
	case Regular:
		h.Size = n.Size
	case Directory:
		h.Name += "/"
	case Symlink:
		h.Linkname, h.Mode = n.Target, linkMode
	}
	return h, nil
}

func (n *Entry) check() error {
	switch {
	case !utf8.ValidString(n.Path + n.Target):
		return errors.New("names in images are UTF-8, and this one is not")
	case !fs.ValidPath(n.Path) || n.Path == ".":
		return errors.New("the path is not relative and clean")
	case strings.HasPrefix(path.Base(n.Path), ".wh."):
		return ErrWhiteout
	case n.Type != Regular && n.Type != Directory && n.Type != Symlink:
		return fmt.Errorf("unknown kind of entry %q", string(n.Type))
	case n.Mode&^modeBits != 0 || n.UID < 0 || n.GID < 0 || n.Size < 0:
		return fmt.Errorf("mode %o, owner %d:%d or size %d cannot be", n.Mode, n.UID, n.GID, n.Size)
	case n.Type == Symlink && n.Target == "":
		return errors.New("the link says nothing")
	case strings.ContainsRune(n.Path+n.Target, 0):
		return errors.New("a name holds a NUL byte")
	}
	return nil
}
