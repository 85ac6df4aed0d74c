// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
	"osbuild/runner/spec"
)

// world is the root as the scripts of one package see it.
type world struct {
	r *root
	p *pkg
}

// call is a command of a script, in its world.
type call struct {
	*script.Call
	r *root
	p *pkg
}

// command is what becomes of a command. It gives unsure without having done
// anything where it does not understand its arguments: the command is then
// left.
type command func(c *call) script.Status

// readScript does what a script of a package says.
func (r *root) readScript(p *pkg, name, text string, args ...string) {
	// A script of the name config may only ask questions; nothing of it is
	// worth a word.
	left := p.left
	script.Read(world{r, p}, script.Script{Package: p.Name, Name: name, Arch: p.Meta.Architecture, Args: args}, text)
	if name == "config" {
		p.left = left
	}
}

// Do answers a question, or lets the class do a command that claims it.
func (w world) Do(sc *script.Call) script.Status {
	c := &call{sc, w.r, w.p}
	base := path.Base(c.Name)
	if strings.HasPrefix(base, "python") {
		base = "python"
	}
	if ask, ok := questions[base]; ok {
		return ask(c)
	}
	k, ok := claims[base]
	if ok && (k.quiet || c.Sure() && script.Known(c.Args...)) {
		if s := k.do(c); s != script.Unsure {
			w.p.did[k.class] = true
			return s
		}
	}
	// Nothing is missed where something is not removed, since a new system has
	// nothing of older versions, where temporary files are not made, and where
	// it is only asked for an owner.
	if base != "rm" && base != "rmdir" && base != "mktemp" && (base != "dpkg-statoverride" || !slices.Contains(c.Args, "--list")) {
		c.Leave(strings.Join(append([]string{base}, c.Args...), " "))
	}
	return script.Unsure
}

// Leave takes a command down once.
func (w world) Leave(command string) {
	if !slices.Contains(w.p.left, command) {
		w.p.left = append(w.p.left, command)
	}
}

func (w world) Write(p, text string, mask uint32) error {
	there := w.r.Has(p)
	if err := w.r.Write(p, text); err != nil {
		return err
	}
	if mode := 0o666 &^ mask; !there && mode != 0o644 {
		n, _, err := w.r.Find(p, true)
		if err != nil {
			return err
		}
		if !n.Given {
			n.Owner = &spec.Owner{Mode: mode}
		}
	}
	w.p.did[classFiles] = true
	return nil
}

func (w world) Edit(p, from, to string) error {
	if from != to {
		if err := w.r.Write(p, to); err != nil {
			return err
		}
	}
	w.p.did[classFiles] = true
	return nil
}

// Provides says so of the file with debconf's commands, which are classes'.
func (w world) Provides(path string) bool {
	if path != confmodule {
		return false
	}
	w.p.did[classDebconf] = true
	return true
}

func (w world) Program(name string) (string, bool) { return w.r.program(name) }

func (w world) Group(user string) (string, bool) {
	return rootName(w.r.primaryGroup(user)), w.r.user(user) != nil
}

// rootName gives root the one of its names that scripts compare with.
func rootName(name string) string {
	if rootfs.IsRoot(name) {
		return "root"
	}
	return name
}

// program looks for an executable on the path of scripts.
func (r *root) program(name string) (string, bool) {
	if strings.Contains(name, "/") {
		n, _, err := r.Find(name, true)
		return name, err == nil && n.Kind == rootfs.File && n.Executable()
	}
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
		if n, _, err := r.Find(dir+"/"+name, true); err == nil && n.Kind == rootfs.File {
			return dir + "/" + name, true
		}
	}
	return "", false
}

func (w world) Find(p string, follow bool) (script.Node, string, error) {
	n, real, err := w.r.Find(p, follow)
	if err != nil {
		return nil, real, err
	}
	return entry{real, n, w.r}, real, nil
}

// entry is a node as scripts see it, and as the standard library does.
type entry struct {
	path string // without links
	n    *rootfs.Node
	r    *root
}

func (e entry) Executable() bool        { return e.n.Executable() }
func (e entry) Target() (string, error) { return e.n.Target() }

func (e entry) Owner() (user, group string) {
	o := e.r.OwnerOf(e.path, e.n)
	return rootName(o.User), rootName(o.Group)
}

func (e entry) Text(most int) (string, error) {
	if e.n.Disk != "" {
		info, err := os.Lstat(e.n.Disk)
		if err != nil {
			return "", err
		}
		if info.Size() > int64(most) {
			return "", errLong
		}
	}
	text, err := e.n.Bytes()
	if len(text) > most {
		return "", errLong
	}
	return text, err
}

var errLong = errors.New("it is too long for a script")

func (e entry) List() []fs.DirEntry {
	var out []fs.DirEntry
	for _, name := range e.n.Names() {
		out = append(out, entry{path.Join(e.path, name), e.n.Kids[name], e.r})
	}
	return out
}

func (e entry) Name() string               { return path.Base(e.path) }
func (e entry) IsDir() bool                { return e.n.Kind == rootfs.Folder }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }
func (e entry) Size() int64                { return 0 }
func (e entry) ModTime() time.Time         { return time.Time{} }
func (e entry) Sys() any                   { return nil }
func (e entry) Mode() fs.FileMode          { return e.Type() }
func (e entry) Type() fs.FileMode {
	switch e.n.Kind {
	case rootfs.Folder:
		return fs.ModeDir
	case rootfs.Link:
		return fs.ModeSymlink
	}
	return 0
}
