// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
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

// writer writes a root down.
type writer struct {
	r *Root
	// out is where the item is made, self its path as others see it.
	out, self string
	// own are names of the item that no folder of the root can have.
	own []string

	root spec.Root
	// run are the folders of /run, made at each boot.
	run []spec.Dir
}

// WriteTo writes what an item has of the tree into a folder that it makes, and
// tells what stands where in a system, and which folders of /run are made at
// each boot. self is the path of the item as others see it; own are names that
// other things have in it.
func (r *Root) WriteTo(out, self string, own ...string) (spec.Root, []spec.Dir, error) {
	w := &writer{r: r, out: out, self: self, own: own}
	if err := os.Mkdir(out, 0o755); err != nil {
		return spec.Root{}, nil, err
	}
	for _, name := range r.Top.Names() {
		if err := w.topLevel(name, r.Top.Kids[name]); err != nil {
			return spec.Root{}, nil, err
		}
	}
	w.root.Usr = append(w.root.Usr, w.lowers("usr")...)
	w.root.Opt = append(w.root.Opt, w.lowers("opt")...)
	slices.SortFunc(w.root.Owners, func(a, b spec.Owner) int { return strings.Compare(a.Path, b.Path) })
	return w.root, w.run, nil
}

// topLevel writes one folder of the root.
func (w *writer) topLevel(name string, n *Node) error {
	p := "/" + name
	switch {
	case n.Kind == Link && n.Given:
		return nil
	case name == "run":
		return w.volatile(p, n)
	case slices.Contains(volatile, name):
		return nil
	case (name == "usr" || name == "opt") && n.Kind == Folder:
		return w.lower(name, n)
	case slices.Contains(w.own, name), name == "opt":
		return fmt.Errorf("cannot put %s of package %s into a system: something else has this name", p, n.maker())
	case n.Kind == Link:
		target, err := n.Target()
		w.root.Links = append(w.root.Links, spec.Link{Path: p, Target: target})
		return err
	case n.Kind == File:
		return fmt.Errorf("cannot put %s of package %s into a system: the root has folders only", p, n.maker())
	case !n.written():
		if !n.Given {
			w.root.Dirs = append(w.root.Dirs, w.dir(p, n))
		}
		return nil
	}
	tree := spec.Tree{From: w.self + p, To: p}
	err := n.Each(p, func(p string, n *Node) error {
		if n.Given && n.Kind == File {
			return nil
		}
		return w.writable(p, n, &tree)
	})
	w.root.Trees = append(w.root.Trees, tree)
	return err
}

// maker is the package that brought a node.
func (n *Node) maker() string {
	if n.From == nil {
		return "(by a script)"
	}
	return n.From.Name
}

// written says whether a folder holds more than what every container has.
func (n *Node) written() bool {
	for _, k := range n.Kids {
		if !k.Given {
			return true
		}
	}
	return false
}

// writable writes a file, folder or link of the defaults for writable folders.
func (w *writer) writable(p string, n *Node, tree *spec.Tree) error {
	at := filepath.Join(w.out, p)
	exec, err := w.emit(at, n)
	if err != nil || n.Kind == Link {
		return err
	}
	if o, ok := w.ownerOf(p, n); ok && !(IsRoot(o.User) && IsRoot(o.Group) && o.Mode == plainMode(n, exec)) {
		tree.Owners = append(tree.Owners, o)
	}
	return nil
}

func plainMode(n *Node, exec bool) uint32 {
	if n.Kind == Folder || exec {
		return 0o755
	}
	return 0o644
}

// Dir is an empty folder with its owner.
func (w *writer) dir(p string, n *Node) spec.Dir {
	o, ok := w.ownerOf(p, n)
	if !ok {
		o.Mode = 0o755
	}
	return spec.Dir{Path: p, Mode: o.Mode, User: o.User, Group: o.Group}
}

// ownerOf is an owner that somebody speaks of.
func (w *writer) ownerOf(p string, n *Node) (spec.Owner, bool) {
	o := spec.Owner{Path: p}
	switch {
	case n.Owner != nil:
		o = *n.Owner
		o.Path = p
	case n.From != nil:
		have, ok := n.From.owners[p]
		if !ok {
			return o, false
		}
		o = have
	default:
		return o, false
	}
	for _, name := range []*string{&o.User, &o.Group} {
		if IsRoot(*name) {
			*name = ""
		}
	}
	return o, true
}

// emit makes one node on the disk.
func (w *writer) emit(at string, n *Node) (exec bool, err error) {
	switch n.Kind {
	case Folder:
		return false, os.Mkdir(at, 0o755)
	case Link:
		target, err := n.Target()
		if err != nil {
			return false, err
		}
		return false, os.Symlink(target, at)
	}
	if n.Owner != nil {
		exec = n.Owner.Mode&0o111 != 0
	} else {
		exec = n.Exec
	}
	if n.Disk == "" {
		return exec, os.WriteFile(at, []byte(n.Text), fileMode(exec))
	}
	from, err := os.Open(n.Disk)
	if err != nil {
		return false, err
	}
	defer from.Close()
	if n.Owner == nil {
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
func (w *writer) lower(name string, top *Node) error {
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
	err := top.Each("/"+name, func(p string, n *Node) error {
		if o, ok := w.ownerOf(p, n); ok && n.Kind != Link {
			if n.Owner == nil || !IsRoot(o.User) || !IsRoot(o.Group) || !plain(o, n) {
				w.root.Owners = append(w.root.Owners, o)
			}
		}
		if n.kept || n.Given {
			return nil
		}
		if n.Kind == Folder {
			if n.From != nil || n == top {
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
	if name == "opt" && len(top.Kids) == 0 {
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
		if _, has := slices.BinarySearch(p.Paths, "/"+name); has {
			out = append(out, spec.Lower{Item: p.Item, Sub: deb.RootDir + "/" + name, FHS: true})
		}
	}
	return out
}

// volatile takes the folders that were made below /run.
func (w *writer) volatile(p string, n *Node) error {
	return n.Each(p, func(p string, n *Node) error {
		if n.Kind == Folder && !n.Given {
			w.run = append(w.run, w.dir(p, n))
		}
		return nil
	})
}
