// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package nar reads, writes, hashes and unpacks NAR archives: the one
// serialisation of a file tree that has no freedom, so that its hash names
// the tree. The format is that of Nix.
//
// It owns the byte format and its rules (entries sorted and unique, nesting
// below 64, names and targets bounded, fields in one order), which the
// reader enforces and the writer cannot break. It keeps nothing of a file but
// what a store item has: type, content, the executable bit, link target. It
// never knows what a store path is. Start with [Reader] and [Tree].
package nar

import (
	"errors"
	"fmt"
	"strings"
)

// magic is the first string of every archive.
const magic = "nix-archive-1"

// Limits of the format, those of current Nix.
const (
	// MaxDepth bounds nesting: an entry lies in fewer than 64 folders.
	MaxDepth = 64
	// MaxName and MaxTarget are the kernel's limits of a name and a link.
	MaxName   = 255
	MaxTarget = 4095
)

// Type is the type of a node.
type Type string

// The three types that a store item may hold, spelled as in the archive.
const (
	Regular   Type = "regular"
	Directory Type = "directory"
	Symlink   Type = "symlink"
)

// ErrFormat is wrapped by every error that is the archive's fault.
var ErrFormat = errors.New("malformed archive")

// Filter says whether a tree's entry belongs to the archive. rel is its
// slash-separated path below the tree's top, typ "regular", "directory" or
// "symlink". A folder that is left out takes its content along. The top
// itself is never asked about.
type Filter func(rel, typ string) bool

// checkName says whether a folder may hold an entry of this name.
func checkName(name string) error {
	switch {
	case name == "", name == ".", name == "..":
		return fmt.Errorf("%w: an entry is named %q", ErrFormat, name)
	case len(name) > MaxName:
		return fmt.Errorf("%w: the name %.40q… is longer than %d bytes", ErrFormat, name, MaxName)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w: the name %q holds a slash or a NUL", ErrFormat, name)
	}
	return nil
}

// checkTarget says whether a link may point to target.
func checkTarget(target string) error {
	switch {
	case target == "":
		return fmt.Errorf("%w: a link has an empty target", ErrFormat)
	case len(target) > MaxTarget:
		return fmt.Errorf("%w: a link's target is longer than %d bytes", ErrFormat, MaxTarget)
	case strings.ContainsRune(target, 0):
		return fmt.Errorf("%w: a link's target holds a NUL", ErrFormat)
	}
	return nil
}
