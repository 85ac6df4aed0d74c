// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package rootfs_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/rootfs/rootfstest"
)

// open is a root with a few files.
func open(t *testing.T) *rootfs.Root {
	t.Helper()
	r, err := rootfs.Open(t.Context(), rootfstest.Plant(t, txtar.Parse([]byte(`
-- x/root/usr/bin/tool --
#!/bin/sh
-- x/root/usr/share/x/text --
one
-- x/root/usr/share/x/near --
-> text
-- x/root/usr/share/x/far --
-> /etc/x/../y
-- x/root/usr/share/x/circle --
-> circle
-- x/root/etc/x/ --
-- x/owners --
/etc/x root adm 0750
`))), "not read")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFind(t *testing.T) {
	r := open(t)
	for _, test := range []struct {
		summary, path string
		follow        bool
		want          string // the path without links
		missing       bool
	}{
		{"a file", "/usr/share/x/text", true, "/usr/share/x/text", false},
		{"through a link of the root", "/bin/tool", true, "/usr/bin/tool", false},
		{"a link", "/usr/share/x/near", true, "/usr/share/x/text", false},
		{"a link itself", "/usr/share/x/near", false, "/usr/share/x/near", false},
		{"where a link leads to nothing", "/usr/share/x/far", true, "/etc/y", true},
		{"no name", "/etc/none", true, "/etc/none", true},
		{"no folder", "/none/none", true, "", true},
		{"below a file", "/usr/share/x/text/none", true, "", true},
		{"above the root", "/../../etc/./x//", true, "/etc/x", false},
		{"what every container has", "/var/run/lock", true, "/run/lock", false},
		{"a circle", "/usr/share/x/circle", true, "", true},
		{"a long name", "/etc/" + strings.Repeat("a", 300), true, "", true},
		{"a long path", strings.Repeat("/.", 5000), true, "", true},
	} {
		_, real, err := r.Find(test.path, test.follow)
		if real != test.want || (err != nil) != test.missing {
			t.Errorf("%s: %q, %v; want %q", test.summary, real, err, test.want)
		}
	}
}

func TestChange(t *testing.T) {
	for _, test := range []struct {
		summary string
		change  func(r *rootfs.Root) error
		path    string // where to look afterwards
		want    string // the text there, "" for nothing
		fails   bool
	}{
		{"a new file", func(r *rootfs.Root) error { return r.Write("/etc/x/a", "a") }, "/etc/x/a", "a", false},
		{"a file through a link", func(r *rootfs.Root) error { return r.Write("/usr/share/x/far", "a") }, "/etc/y", "a", false},
		{"a changed file", func(r *rootfs.Root) error { return r.Write("/usr/share/x/near", "two") }, "/usr/share/x/text", "two", false},
		{"a folder is no file", func(r *rootfs.Root) error { return r.Write("/etc/x", "a") }, "/etc/x", "", true},
		{"folders that are missing", func(r *rootfs.Root) error { return r.Create("/var/a/b/c", "a") }, "/var/a/b/c", "a", false},
		{"files of the root itself", func(r *rootfs.Root) error { return r.Write("/a", "a") }, "/a", "", true},
		{"what activation makes stays", func(r *rootfs.Root) error { return r.Write("/etc/passwd", "a") }, "/etc/passwd", "not read", false},
		{"a link", func(r *rootfs.Root) error {
			return r.Put("/etc/l", &rootfs.Node{Kind: rootfs.Link, Text: "/usr/share/x/text"})
		}, "/etc/l", "one\n", false},
		{"a link for a folder", func(r *rootfs.Root) error { return r.Put("/etc/x", &rootfs.Node{Kind: rootfs.Link, Text: "/"}) }, "/etc/x", "", true},
		{"a link that no folder holds", func(r *rootfs.Root) error { return r.Put("/etc/l", &rootfs.Node{Kind: rootfs.Link}) }, "/etc/l", "", true},
		{"removing", func(r *rootfs.Root) error { return errors.Join(r.Write("/etc/x/a", "a"), r.Remove("/etc/x", true)) }, "/etc/x", "", false},
		{"removing what is not empty", func(r *rootfs.Root) error { return errors.Join(r.Write("/etc/x/a", "a"), r.Remove("/etc/x", false)) }, "/etc/x/a", "a", true},
		{"removing what is missing", func(r *rootfs.Root) error { return r.Remove("/etc/none", true) }, "/etc/none", "", true},
	} {
		r := open(t)
		if err := test.change(r); (err != nil) != test.fails {
			t.Errorf("%s: %v", test.summary, err)
		}
		got := ""
		if n, _, err := r.Find(test.path, true); err == nil && n.Kind == rootfs.File {
			if got, err = n.Bytes(); err != nil {
				t.Fatal(err)
			}
		}
		if got != test.want {
			t.Errorf("%s: %s has %q, want %q", test.summary, test.path, got, test.want)
		}
	}
	r := open(t)
	if err := r.Remove("/usr/share", true); !errors.Is(err, rootfs.ErrKept) {
		t.Errorf("removing what lies in an item: %v", err)
	}
	if _, _, err := r.Find("/none", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is missing: %v", err)
	}
}

func TestOwnerOf(t *testing.T) {
	r := open(t)
	for p, want := range map[string]uint32{"/etc/x": 0o750, "/usr/bin/tool": 0o755, "/usr/share/x/text": 0o644, "/usr/share": 0o755} {
		n, real, err := r.Find(p, true)
		if err != nil {
			t.Fatal(err)
		}
		if o := r.OwnerOf(real, n); o.Mode != want || (o.Group == "adm") != (p == "/etc/x") {
			t.Errorf("%s: %+v", p, o)
		}
	}
}
