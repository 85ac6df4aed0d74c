// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"errors"
	"os"
	"strings"
	"testing"

	"osbuild/builder/derivation"
)

func TestText(t *testing.T) {
	l := newLab(t)
	for _, executable := range []string{"", "1"} {
		out, err := l.build(derivation.Derivation{Builder: "text", Env: map[string]string{"text": "hello", "executable": executable}})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(out)
		if err != nil || (info.Mode()&0o111 != 0) != (executable == "1") {
			t.Errorf("mode %v %v", info.Mode(), err)
		}
		if got := l.dump(out); strings.TrimPrefix(got, ". ") != map[string]string{"": "hello", "1": "!hello"}[executable] {
			t.Errorf("got %q", got)
		}
	}
}

func TestDirectoryUnion(t *testing.T) {
	l := newLab(t)
	a := l.item("a", map[string]string{"bin/x": "!x", "share/doc/a/README": "a", "same": "s", "only-a/y": ""})
	b := l.item("b", map[string]string{"bin/y": "!y", "share/doc/b/README": "b", "same": "s"})
	x := l.item("x", map[string]string{"bin/x": "!other"})
	notExec := l.item("n", map[string]string{"bin/x": "x"})
	fhs := l.item("fhs", map[string]string{"usr/sbin/nginx": "->/usr/sbin/nginx", "sbin": "->usr/sbin", "bin": "->usr/bin", "usr/bin/": ""})
	fhs2 := l.item("fhs2", map[string]string{"sbin/nginx": "->/usr/sbin/nginx", "sbin/other": "!"})
	fhs3 := l.item("fhs3", map[string]string{"sbin/nginx": "->/opt/nginx"})
	linked := l.item("linked", map[string]string{"bin": "->" + a + "/bin", "z": "->" + a + "/same"})
	up := l.item("up", map[string]string{"bin": "->../../../etc"})
	loop := l.item("loop", map[string]string{"bin": "->loop", "loop": "->bin"})
	file := l.item("file", map[string]string{"": "x"})
	for _, c := range []struct {
		summary string
		items   []string
		want    string
		err     string
	}{
		{"nothing", nil, "", ""},
		{"one", []string{a}, "bin -> A/bin\nonly-a -> A/only-a\nsame -> A/same\nshare -> A/share", ""},
		{"the same twice", []string{a, a}, "bin -> A/bin\nonly-a -> A/only-a\nsame -> A/same\nshare -> A/share", ""},
		{
			"two",
			[]string{a, b},
			"bin/\nbin/x -> A/bin/x\nbin/y -> B/bin/y\nonly-a -> A/only-a\nsame -> A/same\nshare/\nshare/doc/\nshare/doc/a -> A/share/doc/a\nshare/doc/b -> B/share/doc/b", "",
		},
		{"part of an item", []string{a + "/share/doc", b + "/share/doc"}, "a -> A/share/doc/a\nb -> B/share/doc/b", ""},
		{"conflict", []string{a, x}, "", "A/bin/x and X/bin/x into one x: they differ"},
		{"conflict of modes", []string{a, notExec}, "", "they differ"},
		{"file and folder", []string{a, l.item("f", map[string]string{"share": ""})}, "", "they differ"},
		{"a folder behind a link in the item", []string{fhs, a}, "bin/\nbin/x -> A/bin/x\nonly-a -> A/only-a\nsame -> A/same\nsbin -> FHS/sbin\nshare -> A/share\nusr -> FHS/usr", ""},
		{"links out of the store are files", []string{fhs + "/sbin", fhs2 + "/sbin"}, "nginx -> FHS/usr/sbin/nginx\nother -> FHS2/sbin/other", ""},
		{"links to different places", []string{fhs, fhs3}, "", "they differ"},
		{"a link into another item", []string{linked, a}, "bin -> A/bin\nonly-a -> A/only-a\nsame -> A/same\nshare -> A/share\nz -> LINKED/z", ""},
		{"a link above the store", []string{up, a}, "", "they differ"},
		{"a loop of links", []string{loop, a}, "", "too many links"},
		{"a file as item", []string{file}, "", "no folder"},
		{"no such item", []string{a + "/none"}, "", "no such file"},
		{"no item", []string{"/tmp"}, "", "out of the store"},
	} {
		names := strings.NewReplacer(a, "A", b, "B", x, "X", fhs, "FHS", fhs2, "FHS2", fhs3, "FHS3", linked, "LINKED")
		out, err := l.build(derivation.Derivation{Builder: "directory-union", Args: c.items})
		if c.err != "" {
			if err == nil || !strings.Contains(names.Replace(err.Error()), c.err) {
				t.Errorf("%s: error %v, want %q", c.summary, err, c.err)
			} else if strings.Contains(c.err, "differ") != errors.Is(err, ErrConflict) {
				t.Errorf("%s: ErrConflict is wrong for %v", c.summary, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.summary, err)
			continue
		}
		if got := names.Replace(l.dump(out)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.summary, got, c.want)
		}
	}
}

// A profile is merged with the trees of packages in turn, in which a link would
// hide a folder.
func TestDirectoryUnionOfFolders(t *testing.T) {
	l := newLab(t)
	a := l.item("a", map[string]string{"bin/x": "!x", "share/doc/README": "a", "lib64": "->lib", "lib/": ""})
	linked := l.item("linked", map[string]string{"bin": "->" + a + "/bin"})
	for _, c := range []struct {
		items []string
		want  string
	}{
		{[]string{a}, "bin/\nbin/x -> A/bin/x\nlib/\nlib64 -> A/lib64\nshare/\nshare/doc/\nshare/doc/README -> A/share/doc/README"},
		{[]string{a, linked}, "bin/\nbin/x -> A/bin/x\nlib/\nlib64 -> A/lib64\nshare/\nshare/doc/\nshare/doc/README -> A/share/doc/README"},
	} {
		out, err := l.build(derivation.Derivation{Builder: "directory-union", Args: c.items, Env: map[string]string{"folders": "1"}})
		if err != nil {
			t.Errorf("%v: %v", c.items, err)
		} else if got := strings.ReplaceAll(l.dump(out), a, "A"); got != c.want {
			t.Errorf("%v:\n%s\nwant\n%s", c.items, got, c.want)
		}
	}
}

func TestFileUnion(t *testing.T) {
	l := newLab(t)
	tree := l.item("tree", map[string]string{"a/b": "!b", "a/l": "->b", "l": "->a", "abs": "->/etc/passwd"})
	file := l.item("file", map[string]string{"": "x"})
	for _, c := range []struct {
		summary string
		args    []string
		copied  string
		want    string
		err     string
	}{
		{"links", []string{"etc/x", file, "etc/y/z", tree + "/a", "w", "/run/w"}, "", "etc/\netc/x -> FILE\netc/y/\netc/y/z -> TREE/a\nw -> /run/w", ""},
		{"copies", []string{"etc/x", file, "y", tree + "/l"}, "1", "etc/\netc/x x\ny/\ny/b !b\ny/l -> b", ""},
		{"links are kept", []string{"t", tree}, "1", "t/\nt/a/\nt/a/b !b\nt/a/l -> b\nt/abs -> /etc/passwd\nt/l -> a", ""},
		{"a copy from nowhere", []string{"t", tree + "/abs"}, "1", "", "out of the store"},
		{"odd", []string{"t"}, "", "", "pairs"},
		{"up", []string{"../t", file}, "", "", "not a path inside"},
		{"absolute", []string{"/t", file}, "", "", "not a path inside"},
		{"itself", []string{".", file}, "", "", "not a path inside"},
		{"relative target", []string{"t", "x"}, "", "", "not an absolute path"},
		{"below a link", []string{"t", file, "t/u", file}, "", "", "cannot make the folder"},
		{"twice", []string{"t", file, "t", file}, "", "", "exists"},
	} {
		out, err := l.build(derivation.Derivation{Builder: "file-union", Args: c.args, Env: map[string]string{"copy": c.copied}})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.summary, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.summary, err)
			continue
		}
		if got := strings.NewReplacer(tree, "TREE", file, "FILE").Replace(l.dump(out)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.summary, got, c.want)
		}
	}
}
