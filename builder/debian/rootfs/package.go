// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/deb"
	"osbuild/runner/spec"
)

// Package is one package of a root. Who makes it gives its name, version and
// places; the rest is read from its item.
type Package struct {
	Name, Version string
	// Item is the path of the deb item, Dir where it lies on the disk.
	Item, Dir string
	Meta      *deb.Meta
	Control   control.Stanza
	// Paths are all files and folders of the item, sorted, as a container
	// sees them.
	Paths []string
	// owners are those of Meta by path.
	owners map[string]spec.Owner
}

// read reads what the package says of itself.
func (p *Package) read() error {
	meta, err := deb.ReadMeta(p.Dir)
	if err != nil {
		return err
	}
	p.Meta, p.owners, p.Paths = meta, map[string]spec.Owner{}, nil
	for _, o := range meta.Owners {
		p.owners[o.Path] = o
	}
	text, err := p.Member("control")
	if err != nil {
		return err
	}
	if p.Control, err = control.ParseControl([]byte(text)); err != nil {
		return fmt.Errorf("cannot read package %s: %w", p.Name, err)
	}
	return nil
}

// Member is the text of a control member, "" when there is none.
func (p *Package) Member(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(p.Dir, deb.ControlDir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read package %s: %w", p.Name, err)
	}
	return string(data), nil
}

// Relations are those of a field of the control file; what cannot be read is
// left out, since the lock was made from the archive's index, not from here.
func (p *Package) Relations(field string) []control.Dependency {
	list, err := control.Relations(p.Control.Get(field)).Parse()
	if err != nil {
		return nil
	}
	return list
}
