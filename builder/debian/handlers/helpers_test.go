// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"osbuild/builder/debian/ldso/ldsotest"
	"osbuild/builder/debian/rootfs/rootfstest"
)

// plant makes packages of an archive, see rootfstest.
func plant(t testing.TB, ar *txtar.Archive) []*pkg {
	t.Helper()
	var out []*pkg
	for _, p := range rootfstest.Plant(t, ar) {
		out = append(out, &pkg{Package: p})
	}
	return out
}

// build makes the root of the packages and describes it.
func build(t testing.TB, pkgs []*pkg, ignored ...string) (string, error) {
	t.Helper()
	r, err := compose(t.Context(), pkgs)
	if err != nil {
		return "", err
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := r.writeItem(out, "/osbuild/store/self", r.warn(ignored)); err != nil {
		return "", err
	}
	return dump(t, out), nil
}

// dump describes a tree: a file, folder or link a line, then what it holds.
func dump(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			fmt.Fprintf(&b, "%s/\n", rel)
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(file)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s -> %s\n", rel, target)
		default:
			info, err := e.Info()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			mark := ""
			if info.Mode()&0o111 != 0 {
				mark = "*"
			}
			fmt.Fprintf(&b, "%s%s\n", rel, mark)
			if cache, ok := ldsotest.Describe(data); ok {
				data = []byte(cache)
			}
			for _, line := range lines(string(data)) {
				b.WriteString("    " + line + "\n")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// scripted reads a script on a root with these packages besides its own, and
// gives the root and the script's package.
func scripted(t testing.TB, text string, others ...string) (*root, *pkg) {
	t.Helper()
	ar := txtar.Parse([]byte(strings.Join(others, "\n")))
	ar.Files = append(ar.Files, txtar.File{Name: "x/control"}, txtar.File{Name: "x/postinst", Data: []byte(text)})
	pkgs := plant(t, ar)
	slices.SortFunc(pkgs, func(a, b *pkg) int { return strings.Compare(a.Name, b.Name) })
	r, err := open(t.Context(), pkgs)
	if err != nil {
		t.Fatal(err)
	}
	p := r.byName["x"]
	r.readScript(p, "postinst", text, "configure", "")
	return r, p
}
