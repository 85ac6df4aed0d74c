// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package deb reads Debian binary packages, and unpacks them to the trees that
// items hold.
//
// It owns the archive format (ar, tar, the compressions), what is refused in
// it, and the form of a deb item: root/ with the files, control/ with the raw
// control members, and meta.json with what an item's modes cannot say. It
// never runs a script, never makes a file outside of the folder it is given,
// and trusts nothing in an archive, signed or not. Start with [Unpack].
package deb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"osbuild/runner/spec"
)

// The parts of a deb item.
const (
	// RootDir holds the files of the package, in the form of a system whose
	// /bin, /sbin and /lib are links into /usr.
	RootDir = "root"
	// ControlDir holds the control members as they are.
	ControlDir = "control"
	// MetaFile holds a [Meta].
	MetaFile = "meta.json"
)

// MetaFormat is the form of deb items that this package makes and reads.
const MetaFormat = "osbuild-deb-1"

// Meta is what a deb item says of itself.
type Meta struct {
	Format       string `json:"format"`
	Package      string `json:"package"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
	// Source is the source package, with its version in parentheses where
	// that is another one.
	Source    string `json:"source,omitempty"`
	Essential bool   `json:"essential,omitempty"`
	// InstalledSize is in KiB, as the package says.
	InstalledSize int64 `json:"installedSize,omitempty"`
	// Owners are the files and folders of the package that are not root's with
	// the mode 0644, or 0755 where they are executable or folders. Paths are
	// as a container sees them, "/usr/bin/su".
	Owners []spec.Owner `json:"owners,omitempty"`
	// Conffiles are absolute paths as a container sees them, sorted.
	Conffiles []string `json:"conffiles,omitempty"`
	// Scripts are the maintainer scripts that are there, sorted.
	Scripts []string `json:"scripts,omitempty"`
	// Triggers are the lines of the member triggers, without comments.
	Triggers []string `json:"triggers,omitempty"`
}

// ErrNoItem is wrapped by the error for a folder that is no deb item, or one
// of a form that this osbuild does not know.
var ErrNoItem = errors.New("not a deb item")

// ReadMeta reads what the deb item at dir says of itself. It follows no link:
// another item may be one, to anywhere.
func ReadMeta(dir string) (*Meta, error) {
	noItem := fmt.Errorf("cannot read package %s: %w", dir, ErrNoItem)
	if info, err := os.Lstat(dir); err != nil {
		return nil, fmt.Errorf("cannot read package: %w", err)
	} else if !info.IsDir() {
		return nil, noItem
	}
	file := filepath.Join(dir, MetaFile)
	info, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, noItem
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read package: %w", err)
	}
	m := &Meta{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("cannot read package %s: %w: %v", dir, ErrNoItem, err)
	}
	if m.Format != MetaFormat {
		return nil, fmt.Errorf("cannot read package %s: %w: its form is %q, and this osbuild knows %q", dir, ErrNoItem, m.Format, MetaFormat)
	}
	return m, nil
}

// IsItem says whether the tree at dir is a deb item.
func IsItem(dir string) bool {
	_, err := ReadMeta(dir)
	return err == nil
}

// encode gives the bytes of meta.json.
func (m *Meta) encode() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}
