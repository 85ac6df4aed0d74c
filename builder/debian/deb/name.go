// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Limits of what an item can hold; root/ is one folder of the depth.
const (
	maxDepth  = 62
	maxName   = 255
	maxTarget = 4095
)

// merged are the top-level folders that are links into /usr.
var merged = map[string]bool{"bin": true, "sbin": true, "lib": true, "lib32": true, "lib64": true, "libx32": true}

// merge gives the place of a clean path in a system of merged /usr.
func merge(name string) string {
	top, _, _ := strings.Cut(name, "/")
	if merged[top] {
		return "usr/" + name
	}
	return name
}

// cleanName checks a path of an archive; "." is the top.
func cleanName(name string) (string, error) {
	if name == "" || path.IsAbs(name) {
		return "", fmt.Errorf("%w: its path is not relative", ErrUnsafe)
	}
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%w: its path holds a NUL", ErrUnsafe)
	}
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
		case part == "..":
			return "", fmt.Errorf("%w: its path holds \"..\"", ErrUnsafe)
		case len(part) > maxName:
			return "", fmt.Errorf("%w: a name is longer than %d bytes", ErrUnsafe, maxName)
		default:
			depth++
		}
	}
	if depth > maxDepth {
		return "", fmt.Errorf("%w: it lies more than %d folders deep", ErrUnsafe, maxDepth)
	}
	return path.Clean(name), nil
}

// checkHeader refuses what dpkg would not understand either, and what no item
// can hold.
func checkHeader(h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return fmt.Errorf("%w: it speaks for files that follow", ErrUnsafe)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "SCHILY.xattr.") || strings.HasPrefix(key, "LIBARCHIVE.xattr.") || strings.HasPrefix(key, "SCHILY.acl.") {
			return fmt.Errorf("%w: it has extended attributes, which no item can hold", ErrUnsafe)
		}
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("%w: it is a sparse file", ErrUnsafe)
		}
	}
	return nil
}

func typeName(flag byte) string {
	switch flag {
	case tar.TypeChar, tar.TypeBlock:
		return "device"
	case tar.TypeFifo:
		return "pipe"
	case tar.TypeDir:
		return "folder"
	case tar.TypeSymlink, tar.TypeLink:
		return "link"
	case tar.TypeGNUSparse:
		return "sparse file"
	}
	return fmt.Sprintf("special file of type %q", flag)
}

// tarError says of an error of the tar reader that the archive is the cause.
func tarError(err error) error {
	if errors.Is(err, ErrFormat) || errors.Is(err, ErrUnsafe) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrFormat)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}
