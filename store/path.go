// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Dir is the logical folder of every store. It is part of every digest and
// the same on every machine; where a store physically lies is the root's
// business.
const Dir = "/osbuild/store"

// Lengths of the two parts of an item's base name.
const (
	digestLen  = 32
	maxNameLen = 211
)

// Path is the logical path of an item, /osbuild/store/<digest>-<name>. A Path
// that came from [ParsePath] or from one of the path functions is well
// formed; the zero value names nothing.
type Path string

// ParsePath checks that s is the logical path of an item, with nothing
// behind it.
func ParsePath(s string) (Path, error) {
	base, ok := strings.CutPrefix(s, Dir+"/")
	if !ok {
		return "", fmt.Errorf("cannot use %q as a store path: it does not start with %s/", s, Dir)
	}
	if err := checkBase(base); err != nil {
		return "", err
	}
	return Path(s), nil
}

// parseBase makes a Path of an item's base name.
func parseBase(base string) (Path, error) {
	if err := checkBase(base); err != nil {
		return "", err
	}
	return Path(Dir + "/" + base), nil
}

func checkBase(base string) error {
	if len(base) < digestLen+2 || base[digestLen] != '-' {
		return fmt.Errorf("cannot use %q as a store item: it is not <32 characters>-<name>", base)
	}
	for i := range digestLen {
		if base32Value[base[i]] == invalidDigit {
			return fmt.Errorf("cannot use %q as a store item: %q does not occur in a digest", base, base[i])
		}
	}
	if err := ValidName(base[digestLen+1:]); err != nil {
		return fmt.Errorf("cannot use %q as a store item: %w", base, err)
	}
	return nil
}

// Base returns <digest>-<name>.
func (p Path) Base() string { return string(p[min(len(p), len(Dir)+1):]) }

// Digest returns the 32 characters that identify the item.
func (p Path) Digest() string { return p.Base()[:min(len(p.Base()), digestLen)] }

// Name returns what follows the digest and its dash.
func (p Path) Name() string { return p.Base()[min(len(p.Base()), digestLen+1):] }

// ValidName says whether name may be the name of an item: 1 to 211
// characters of letters, digits and +-._?=, and not one that would read as
// a folder of its own (".", "..", or one of these followed by a dash).
func ValidName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the name is empty")
	case len(name) > maxNameLen:
		return fmt.Errorf("the name %q is longer than %d characters", name, maxNameLen)
	}
	for i := range len(name) {
		c := name[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("+-._?=", c) >= 0 {
			continue
		}
		return fmt.Errorf("the name %q holds %q: only letters, digits and +-._?= may occur (give another one with --name)", name, c)
	}
	head, _, _ := strings.Cut(name, "-")
	if head == "." || head == ".." {
		return fmt.Errorf("the name %q may not start with a dot alone", name)
	}
	return nil
}

// Resolve finds the item that arg means and what follows it: a logical path,
// an item's base name, or a physical path of this root, each with an
// optional rest (a file inside the item, without leading slash).
func (s *Store) Resolve(arg string) (Path, string, error) {
	rest := arg
	if tail, ok := strings.CutPrefix(arg, Dir+"/"); ok {
		rest = tail
	} else if strings.Contains(arg, "/") {
		abs, err := filepath.Abs(arg)
		if err != nil {
			return "", "", fmt.Errorf("cannot find the item %q: %w", arg, err)
		}
		tail, inside := cutFolder(abs, filepath.Join(s.root, storeFolder))
		if !inside {
			// The root or the argument may go through a link: a root link
			// made by build is one.
			if real, err := filepath.EvalSymlinks(abs); err == nil {
				if root, err := filepath.EvalSymlinks(s.root); err == nil {
					tail, inside = cutFolder(real, filepath.Join(root, storeFolder))
				}
			}
		}
		if inside {
			rest = tail
		}
	}
	base, sub, _ := strings.Cut(rest, "/")
	p, err := parseBase(base)
	if err != nil {
		if strings.Contains(arg, "/") {
			return "", "", fmt.Errorf("cannot find an item for %q: it lies neither in %s nor in %s", arg, Dir, filepath.Join(s.root, storeFolder))
		}
		return "", "", err
	}
	return p, strings.Trim(sub, "/"), nil
}

// cutFolder returns what follows folder in path.
func cutFolder(path, folder string) (string, bool) {
	return strings.CutPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// sortPaths returns paths sorted and without doubles, in a slice of its own.
func sortPaths(paths []Path) []Path {
	out := slices.Clone(paths)
	slices.SortFunc(out, func(a, b Path) int { return cmp.Compare(a, b) })
	return slices.Compact(out)
}
