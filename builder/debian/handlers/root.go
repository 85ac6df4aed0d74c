// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/deb"
	"osbuild/builder/debian/ldso"
	"osbuild/runner/spec"
)

// pkg is one package of the set.
type pkg struct {
	name, version string
	// item is the path of the deb item, dir where it lies on the disk.
	item, dir string
	meta      *deb.Meta
	control   control.Stanza
	// owners are those of meta by path.
	owners map[string]spec.Owner
	// paths are all files and folders below root/, sorted, as a container
	// sees them.
	paths []string
	// answers are the defaults of its questions, by name; nil until one is
	// asked.
	answers map[string]string

	// did are the classes that did something for its scripts.
	did map[string]bool
	// left are commands of its scripts that nobody did, in order.
	left []string
}

// root is what the packages of a set make together: a tree of files, and what
// their scripts say of accounts and the like. Classes change it, and write.go
// writes it down.
type root struct {
	pkgs   []*pkg
	byName map[string]*pkg
	top    *node

	accounts
	alternatives
	// diversions maps a path to where another package's file of that path
	// goes, and to the package that says so.
	diversions map[string]diversion
	collisions []collision
	// stacked are the packages in the order in which their trees lie on one
	// another, topmost first.
	stacked []*pkg
	// overrides are paths for which dpkg-statoverride holds an owner.
	overrides map[string]bool
	// capabilities are those that scripts give to programs.
	capabilities map[string][]string
	warnings     []string
	temporary    int
	// programs are the files that were looked into.
	programs map[*node]*ldso.Program
}

// open reads the packages of a set, sorted by name, into one tree.
func open(ctx context.Context, pkgs []*pkg) (*root, error) {
	r := &root{
		pkgs: pkgs, byName: map[string]*pkg{}, top: newFolder(),
		diversions: map[string]diversion{}, overrides: map[string]bool{}, capabilities: map[string][]string{}, programs: map[*node]*ldso.Program{},
	}
	r.give()
	for _, p := range pkgs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.read(); err != nil {
			return nil, err
		}
		r.byName[p.name] = p
		if err := r.merge(p, r.top, "", ""); err != nil {
			return nil, fmt.Errorf("cannot read package %s: %w", p.name, err)
		}
		slices.Sort(p.paths)
	}
	return r, r.readStatic()
}

// read reads what the package says of itself.
func (p *pkg) read() error {
	meta, err := deb.ReadMeta(p.dir)
	if err != nil {
		return err
	}
	p.meta, p.owners, p.did = meta, map[string]spec.Owner{}, map[string]bool{}
	for _, o := range meta.Owners {
		p.owners[o.Path] = o
	}
	text, err := p.member("control")
	if err != nil {
		return err
	}
	if p.control, err = control.ParseControl([]byte(text)); err != nil {
		return fmt.Errorf("cannot read package %s: %w", p.name, err)
	}
	return nil
}

// member is the text of a control member, "" when there is none.
func (p *pkg) member(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(p.dir, deb.ControlDir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read package %s: %w", p.name, err)
	}
	return string(data), nil
}

// relations are those of a field of the control file; what cannot be read is
// left out, since the lock was made from the archive's index, not from here.
func (p *pkg) relations(field string) []control.Dependency {
	list, err := control.Relations(p.control.Get(field)).Parse()
	if err != nil {
		return nil
	}
	return list
}

// merge adds the folder rel of a package to dir.
func (r *root) merge(p *pkg, dir *node, rel, disk string) error {
	if disk == "" {
		disk = filepath.Join(p.dir, deb.RootDir)
	}
	entries, err := os.ReadDir(disk)
	if errors.Is(err, fs.ErrNotExist) && rel == "" {
		return nil
	}
	if err != nil {
		return err
	}
	kept := strings.HasPrefix(rel, "/usr") || strings.HasPrefix(rel, "/opt")
	for _, e := range entries {
		at := rel + "/" + e.Name()
		n := &node{from: p, disk: disk + "/" + e.Name(), kept: kept}
		switch {
		case e.IsDir():
			n.kind, n.kids, n.kept = folder, map[string]*node{}, false
		case e.Type()&fs.ModeSymlink != 0:
			n.kind = link
		case e.Type().IsRegular():
			n.kind = file
		default:
			return fmt.Errorf("%s is no file, folder or link", at)
		}
		p.paths = append(p.paths, at)
		have := dir.kids[e.Name()]
		switch {
		case have == nil:
			dir.kids[e.Name()] = n
		case have.given && have.kind == file:
			continue
		case have.given && have.kind == folder && n.kind != folder, have.alias && n.kind == file:
			return fmt.Errorf("%s is a folder of every system, and this package has something else there", at)
		case have.alias && n.kind == link:
			continue
		case have.given && have.kind == link:
			return fmt.Errorf("%s does not lie in /usr", at)
		case have.alias && n.kind == folder:
			target, _, err := r.find(at, true)
			if err != nil {
				return err
			}
			n = target
		case have.given && have.kind == folder && n.kind == folder:
			if have.from == nil {
				have.from, have.disk = p, n.disk
			}
			n = have
		case have.kind == folder && n.kind == folder:
			n = have
		default:
			r.collisions = append(r.collisions, collision{path: at, first: have, second: n})
		}
		if n.kind == folder && e.IsDir() {
			if err := r.merge(p, n, at, disk+"/"+e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// lines are the lines of a text.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
