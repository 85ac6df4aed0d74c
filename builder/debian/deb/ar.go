// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The outer archive: ar(5), as deb(5) uses it. Numbers are decimal texts,
// filled up with blanks, and each member begins at an even offset.
const (
	arMagic     = "!<arch>\n"
	arHeader    = 60
	arHeaderEnd = "`\n"
	// maxMembers is far more than the three that a package needs.
	maxMembers = 32
)

// member is one file of the outer archive.
type member struct {
	name    string
	content *io.SectionReader
}

// readAr lists the members of an archive. Every byte of the archive belongs to
// one: there is room for nothing else.
func readAr(r io.ReaderAt, size int64) ([]member, error) {
	magic := make([]byte, len(arMagic))
	if err := readAt(r, size, 0, magic); err != nil {
		return nil, err
	}
	if string(magic) != arMagic {
		return nil, fmt.Errorf("%w: it does not begin as an ar archive", ErrFormat)
	}
	var members []member
	header := make([]byte, arHeader)
	for at := int64(len(arMagic)); at < size; {
		if len(members) == maxMembers {
			return nil, fmt.Errorf("%w: it has more than %d members", ErrFormat, maxMembers)
		}
		if err := readAt(r, size, at, header); err != nil {
			return nil, err
		}
		at += arHeader
		name, length, err := parseArHeader(header)
		if err != nil {
			return nil, fmt.Errorf("member %d: %w", len(members)+1, err)
		}
		if length > size-at {
			return nil, fmt.Errorf("%w: its member %q has %d bytes, and only %d are left", ErrFormat, name, length, size-at)
		}
		members = append(members, member{name, io.NewSectionReader(r, at, length)})
		at += length
		if length%2 == 0 {
			continue
		}
		var padding [1]byte
		if err := readAt(r, size, at, padding[:]); err != nil {
			return nil, err
		}
		if padding[0] != '\n' {
			return nil, fmt.Errorf("%w: the padding behind its member %q is %q", ErrFormat, name, padding[0])
		}
		at++
	}
	return members, nil
}

func parseArHeader(h []byte) (name string, size int64, err error) {
	if string(h[58:]) != arHeaderEnd {
		return "", 0, fmt.Errorf("%w: its header does not end as one of ar", ErrFormat)
	}
	// Some writers put a slash behind the name.
	name = strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/")
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return "", 0, fmt.Errorf("%w: it has the name %q", ErrFormat, name)
	}
	text := strings.TrimRight(string(h[48:58]), " ")
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return "", 0, fmt.Errorf("%w: its size is %q", ErrFormat, text)
	}
	return name, int64(n), nil
}

// readAt fills p from an archive of this size.
func readAt(r io.ReaderAt, size, at int64, p []byte) error {
	if at+int64(len(p)) > size {
		return fmt.Errorf("%w: it ends too early, after %d bytes", ErrFormat, size)
	}
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	return err
}
