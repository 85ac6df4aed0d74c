// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// fake is a world of a few files, which knows one command, mkdir, and the
// users root and www-data.
type fake struct {
	nodes map[string]*thing // by path
	left  []string
}

// thing is a node of it.
type thing struct {
	w    *fake
	path string
	kind fs.FileMode
	text string
	exec bool
}

// newFake makes a world of files; the text of a link begins with "-> ".
func newFake(files map[string]string) *fake {
	w := &fake{nodes: map[string]*thing{}}
	for p, text := range files {
		target, link := strings.CutPrefix(text, "-> ")
		n := w.put(p, target)
		n.exec = strings.HasPrefix(text, "#!")
		if link {
			n.kind = fs.ModeSymlink
		}
	}
	return w
}

// put makes a file, and the folders above it.
func (w *fake) put(p, text string) *thing {
	for dir := path.Dir(p); w.nodes[dir] == nil; dir = path.Dir(dir) {
		w.nodes[dir] = &thing{w: w, path: dir, kind: fs.ModeDir}
	}
	w.nodes[p] = &thing{w: w, path: p, text: text}
	return w.nodes[p]
}

func (w *fake) Find(p string, follow bool) (Node, string, error) {
	p = path.Clean("/" + p)
	n := w.nodes[p]
	switch {
	case n == nil && w.nodes[path.Dir(p)] == nil:
		return nil, "", fs.ErrNotExist
	case n == nil:
		return nil, p, fs.ErrNotExist
	case n.kind == fs.ModeSymlink && follow:
		return w.Find(n.text, false)
	}
	return n, p, nil
}

func (w *fake) Write(p, text string, _ uint32) error {
	if w.nodes[path.Dir(p)] == nil {
		return fs.ErrNotExist
	}
	w.put(p, text)
	return nil
}

func (w *fake) Edit(p, _, to string) error { return w.Write(p, to, 0) }

func (w *fake) Program(name string) (string, bool) {
	if !path.IsAbs(name) {
		name = "/usr/bin/" + name
	}
	n := w.nodes[name]
	return name, n != nil && n.exec
}

func (w *fake) Group(user string) (string, bool) {
	return user, user == "root" || user == "www-data"
}

func (w *fake) Provides(p string) bool { return p == "/usr/share/given" }

func (w *fake) Do(c *Call) Status {
	if c.Name == "mkdir" && c.Sure() && Known(c.Args...) && len(c.Args) == 1 {
		if c.has(c.Path(c.Args[0])) {
			return Failure
		}
		w.put(c.Path(c.Args[0]), "").kind = fs.ModeDir
		return Success
	}
	c.Leave(strings.Join(append([]string{path.Base(c.Name)}, c.Args...), " "))
	return Unsure
}

func (w *fake) Leave(command string) {
	if !slices.Contains(w.left, command) {
		w.left = append(w.left, command)
	}
}

func (n *thing) Type() fs.FileMode          { return n.kind }
func (n *thing) Executable() bool           { return n.exec }
func (n *thing) Owner() (string, string)    { return "root", "root" }
func (n *thing) Target() (string, error)    { return n.text, nil }
func (n *thing) Name() string               { return path.Base(n.path) }
func (n *thing) IsDir() bool                { return n.kind.IsDir() }
func (n *thing) Info() (fs.FileInfo, error) { return n, nil }
func (n *thing) Mode() fs.FileMode          { return n.kind }
func (n *thing) Size() int64                { return int64(len(n.text)) }
func (n *thing) ModTime() time.Time         { return time.Time{} }
func (n *thing) Sys() any                   { return nil }

func (n *thing) Text(most int) (string, error) {
	if len(n.text) > most {
		return "", errors.New("it is too long")
	}
	return n.text, nil
}

func (n *thing) List() []fs.DirEntry {
	var out []fs.DirEntry
	for _, p := range slices.Sorted(maps.Keys(n.w.nodes)) {
		if p != "/" && path.Dir(p) == n.path {
			out = append(out, n.w.nodes[p])
		}
	}
	return out
}

// run reads a postinst in a world with a few files.
func run(text string) *fake {
	w := newFake(map[string]string{
		"/usr/bin/tool": "#!/bin/sh\n", "/usr/share/x/a.conf": "one\n", "/usr/share/x/b.conf": "", "/usr/share/x/l": "-> /nowhere",
		"/usr/share/x/lib.sh": "greet() { say \"hello $1\"; }\n", "/etc/given": "", "/var/given": "", "/usr/big": strings.Repeat("a", 600<<10) + "\n",
	})
	Read(w, Script{Package: "x", Name: "postinst", Arch: "amd64", Args: []string{"configure", ""}}, text)
	return w
}

// TestWorld is what a script asks of its world.
func TestWorld(t *testing.T) {
	w := run(`#!/bin/sh
. /usr/share/given
for p in root www-data none; do su $p -c "mkdir /var/$p"; done
[ -O /etc/given ] && [ -G /etc ] && mkdir /etc/own
su www-data -c '[ -O /etc/given ] || mkdir /etc/other'
sed -i 's/one/two/' /usr/share/x/a.conf
echo "$DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_NAME $DPKG_MAINTSCRIPT_ARCH" > /etc/names
echo text > /none/file
`)
	for _, p := range []string{"/var/root", "/var/www-data", "/etc/own", "/etc/other"} {
		if w.nodes[p] == nil {
			t.Errorf("%s is missing", p)
		}
	}
	if n := w.nodes["/etc/names"]; n == nil || n.text != "x postinst amd64\n" {
		t.Errorf("the names of the script: %+v", n)
	}
	if text := w.nodes["/usr/share/x/a.conf"].text; text != "two\n" {
		t.Errorf("changed to %q", text)
	}
	if want := []string{"su none -c mkdir /var/none", "> /none/file"}; !slices.Equal(w.left, want) {
		t.Errorf("left %q, want %q", w.left, want)
	}
}
