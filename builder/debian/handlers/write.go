// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"osbuild/builder/debian/deb"
	"osbuild/runner/spec"
)

// writer writes a root down as an item.
type writer struct {
	r *root
	// out is where the item is made, self its path as others see it.
	out, self string

	root spec.Root
	// run are the folders of /run, made at each boot.
	run []spec.Dir
}

// writeTo makes the item of the root.
func (r *root) writeTo(out, self string, warnings []string) error {
	w := &writer{r: r, out: out, self: self}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	for _, name := range r.top.names() {
		if err := w.topLevel(name, r.top.kids[name]); err != nil {
			return err
		}
	}
	w.root.Usr = append(w.root.Usr, w.lowers("usr")...)
	w.root.Opt = append(w.root.Opt, w.lowers("opt")...)
	slices.SortFunc(w.root.Owners, func(a, b spec.Owner) int { return strings.Compare(a.Path, b.Path) })
	if err := w.document(spec.PackagesRoot, w.root); err != nil {
		return err
	}
	if err := w.document(spec.PackagesPlan, w.plan()); err != nil {
		return err
	}
	if err := w.document(packagesList, r.list()); err != nil {
		return err
	}
	text := ""
	for _, line := range warnings {
		text += line + "\n"
	}
	return os.WriteFile(filepath.Join(out, warningsFile), []byte(text), 0o644)
}

// topLevel writes one folder of the root.
func (w *writer) topLevel(name string, n *node) error {
	p := "/" + name
	switch {
	case n.kind == link && n.given:
		return nil
	case name == "run":
		return w.volatile(p, n)
	case slices.Contains(volatile, name):
		return nil
	case (name == "usr" || name == "opt") && n.kind == folder:
		return w.lower(name, n)
	case slices.Contains(ownNames, name), name == "opt":
		return fmt.Errorf("cannot put %s of package %s into a system: something else has this name", p, n.maker())
	case n.kind == link:
		target, err := n.target()
		w.root.Links = append(w.root.Links, spec.Link{Path: p, Target: target})
		return err
	case n.kind == file:
		return fmt.Errorf("cannot put %s of package %s into a system: the root has folders only", p, n.maker())
	case !n.written():
		if !n.given {
			w.root.Dirs = append(w.root.Dirs, w.dir(p, n))
		}
		return nil
	}
	tree := spec.Tree{From: w.self + p, To: p}
	err := n.each(p, func(p string, n *node) error {
		if n.given && n.kind == file {
			return nil
		}
		return w.writable(p, n, &tree)
	})
	w.root.Trees = append(w.root.Trees, tree)
	return err
}

// ownNames are what lies beside the folders of the root in its item, and the
// folder that holds the items.
var ownNames = []string{spec.PackagesRoot, spec.PackagesPlan, packagesList, warningsFile, "osbuild"}

const (
	packagesList = "packages.json"
	warningsFile = "warnings"
)

// maker is the package that brought a node.
func (n *node) maker() string {
	if n.from == nil {
		return "(by a script)"
	}
	return n.from.name
}

// written says whether a folder holds more than what every container has.
func (n *node) written() bool {
	for _, k := range n.kids {
		if !k.given {
			return true
		}
	}
	return false
}

// writable writes a file, folder or link of the defaults for writable folders.
func (w *writer) writable(p string, n *node, tree *spec.Tree) error {
	at := filepath.Join(w.out, p)
	exec, err := w.emit(at, n)
	if err != nil || n.kind == link {
		return err
	}
	if o, ok := w.ownerOf(p, n); ok && !(isRoot(o.User) && isRoot(o.Group) && o.Mode == plainMode(n, exec)) {
		tree.Owners = append(tree.Owners, o)
	}
	return nil
}

func plainMode(n *node, exec bool) uint32 {
	if n.kind == folder || exec {
		return 0o755
	}
	return 0o644
}

// dir is an empty folder with its owner.
func (w *writer) dir(p string, n *node) spec.Dir {
	o, ok := w.ownerOf(p, n)
	if !ok {
		o.Mode = 0o755
	}
	return spec.Dir{Path: p, Mode: o.Mode, User: o.User, Group: o.Group}
}

// ownerOf is an owner that somebody speaks of.
func (w *writer) ownerOf(p string, n *node) (spec.Owner, bool) {
	o := spec.Owner{Path: p}
	switch {
	case n.owner != nil:
		o = *n.owner
		o.Path = p
	case n.from != nil:
		have, ok := n.from.owners[p]
		if !ok {
			return o, false
		}
		o = have
	default:
		return o, false
	}
	for _, name := range []*string{&o.User, &o.Group} {
		if isRoot(*name) {
			*name = ""
		}
	}
	return o, true
}

// emit makes one node on the disk.
func (w *writer) emit(at string, n *node) (exec bool, err error) {
	switch n.kind {
	case folder:
		return false, os.Mkdir(at, 0o755)
	case link:
		target, err := n.target()
		if err != nil {
			return false, err
		}
		return false, os.Symlink(target, at)
	}
	if n.owner != nil {
		exec = n.owner.Mode&0o111 != 0
	} else {
		exec = n.exec
	}
	if n.disk == "" {
		return exec, os.WriteFile(at, []byte(n.text), fileMode(exec))
	}
	from, err := os.Open(n.disk)
	if err != nil {
		return false, err
	}
	defer from.Close()
	if n.owner == nil {
		info, err := from.Stat()
		if err != nil {
			return false, err
		}
		exec = info.Mode()&0o111 != 0
	}
	to, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode(exec))
	if err != nil {
		return false, err
	}
	_, err = io.Copy(to, from)
	if closed := to.Close(); err == nil {
		err = closed
	}
	return exec, err
}

func fileMode(exec bool) os.FileMode {
	if exec {
		return 0o755
	}
	return 0o644
}

// lower writes what was made in /usr or /opt; files of packages stay in their
// items, and only their owners are told.
func (w *writer) lower(name string, top *node) error {
	wrote := false
	folders := map[string]bool{}
	// dirs makes the folder of a path, and those above it.
	var dirs func(p string) error
	dirs = func(p string) error {
		if p == "/" || folders[p] {
			return nil
		}
		if err := dirs(path.Dir(p)); err != nil {
			return err
		}
		folders[p] = true
		wrote = true
		return os.Mkdir(filepath.Join(w.out, p), 0o755)
	}
	err := top.each("/"+name, func(p string, n *node) error {
		if o, ok := w.ownerOf(p, n); ok && n.kind != link {
			if n.owner == nil || !isRoot(o.User) || !isRoot(o.Group) || !plain(o, n) {
				w.root.Owners = append(w.root.Owners, o)
			}
		}
		if n.kept || n.given {
			return nil
		}
		if n.kind == folder {
			if n.from != nil || n == top {
				return nil
			}
			return dirs(p)
		}
		if err := dirs(path.Dir(p)); err != nil {
			return err
		}
		_, err := w.emit(filepath.Join(w.out, p), n)
		return err
	})
	if name == "opt" && len(top.kids) == 0 {
		w.root.Dirs = append(w.root.Dirs, w.dir("/opt", top))
	}
	if wrote {
		lower := []spec.Lower{{Item: w.self, Sub: name}}
		if name == "usr" {
			w.root.Usr = lower
		} else {
			w.root.Opt = lower
		}
	}
	return err
}

// lowers are the packages' trees of one name, topmost first.
func (w *writer) lowers(name string) []spec.Lower {
	var out []spec.Lower
	for _, p := range w.r.stacked {
		if _, has := slices.BinarySearch(p.paths, "/"+name); has {
			out = append(out, spec.Lower{Item: p.item, Sub: deb.RootDir + "/" + name, FHS: true})
		}
	}
	return out
}

// volatile takes the folders that were made below /run.
func (w *writer) volatile(p string, n *node) error {
	return n.each(p, func(p string, n *node) error {
		if n.kind == folder && !n.given {
			w.run = append(w.run, w.dir(p, n))
		}
		return nil
	})
}

// document writes a value as JSON.
func (w *writer) document(name string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.out, name), b.Bytes(), 0o644)
}
