// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package control reads what Debian writes about packages: stanzas of fields
// (deb822), versions and their order, relations between packages, and the
// records of an archive's index.
//
// It never opens a file, never chooses a package and knows no archive: it
// gets bytes and gives values, and takes none of the bytes on trust. Start
// with [ReadPackages] for indexes, with [ReadStanzas] for everything else.
package control

import (
	"fmt"
	"strings"
)

// Package is one record of an index. The relations are kept as they are
// written, since most packages of an index are never looked at: see
// [Relations.Parse].
type Package struct {
	Name      string
	Version   Version
	Arch      string
	Source    string // as written, "" where it is Name
	Section   string
	Priority  string
	MultiArch string // "", "same", "foreign" or "allowed"
	Essential bool

	PreDepends, Depends, Conflicts, Breaks, Replaces, Provides Relations

	Filename string // relative to the archive's root, clean
	Size     int64  // of the .deb, in bytes
	// InstalledSize is in KiB, as Debian counts it.
	InstalledSize int64
	SHA256        string // lower-case hexadecimal
	Suite         string // what the caller of ReadPackages gave
}

// Before orders candidates of one name: the higher version comes first, and
// of equal ones that which was read first.
func (p *Package) Before(q *Package) bool { return p.Version.Compare(q.Version) > 0 }

// CheckName says whether name can be the name of a package.
func CheckName(name string) error {
	if name == "" {
		return fmt.Errorf("a package name is empty")
	}
	if len(name) > 128 {
		return fmt.Errorf("the package name %.20q… has more than 128 characters", name)
	}
	for i := range len(name) {
		if c := name[i]; !alnum(c) && (i == 0 || strings.IndexByte("+-._", c) < 0) {
			return fmt.Errorf("%q is not a package name: it has the character %q", name, c)
		}
	}
	return nil
}

func alnum(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z'
}
