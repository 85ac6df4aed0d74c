// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/deb"
	"osbuild/builder/debian/ldso/ldsotest"
	"osbuild/runner/spec"
)

// plant makes deb items of an archive. A file PACKAGE/root/PATH is one of the
// package, a folder when its name ends in a slash, a link when its content
// begins with "-> ", executable when it begins with "#!"; PACKAGE/owners has
// lines "path user group mode"; all others are control members. The control
// file may leave out what does not matter.
func plant(t testing.TB, ar *txtar.Archive) []*pkg {
	t.Helper()
	dir := t.TempDir()
	metas := map[string]*deb.Meta{}
	for _, f := range ar.Files {
		name, rest, ok := strings.Cut(f.Name, "/")
		if !ok {
			continue
		}
		if metas[name] == nil {
			metas[name] = &deb.Meta{Format: deb.MetaFormat, Package: name, Version: "1", Architecture: "amd64"}
		}
		m := metas[name]
		if strings.HasPrefix(rest, "root/") {
			plantFile(t, filepath.Join(dir, name, rest), strings.HasSuffix(rest, "/"), string(f.Data))
			continue
		}
		data := f.Data
		switch rest {
		case "owners":
			for _, line := range lines(string(f.Data)) {
				w := strings.Fields(line)
				mode, err := strconv.ParseUint(w[3], 8, 13)
				if err != nil {
					t.Fatal(err)
				}
				m.Owners = append(m.Owners, spec.Owner{Path: w[0], User: w[1], Group: w[2], Mode: uint32(mode)})
			}
			continue
		case "conffiles":
			m.Conffiles = lines(string(f.Data))
		case "control":
			data = []byte("Package: " + name + "\n" + string(f.Data))
			s, err := control.ParseControl(data)
			if err != nil {
				t.Fatal(err)
			}
			if v := s.Get("Version"); v != "" {
				m.Version = v
			}
			if v := s.Get("Architecture"); v != "" {
				m.Architecture = v
			}
			m.Essential = s.Get("Essential") == "yes"
		}
		plantFile(t, filepath.Join(dir, name, deb.ControlDir, rest), false, string(data))
	}
	var out []*pkg
	for name, m := range metas {
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		plantFile(t, filepath.Join(dir, name, deb.MetaFile), false, string(data))
		if _, err := os.Stat(filepath.Join(dir, name, deb.ControlDir, "control")); err != nil {
			plantFile(t, filepath.Join(dir, name, deb.ControlDir, "control"), false, "Package: "+name+"\n")
		}
		out = append(out, &pkg{name: name, version: m.Version, item: "/osbuild/store/" + name, dir: filepath.Join(dir, name)})
	}
	return out
}

func plantFile(t testing.TB, file string, folder bool, content string) {
	t.Helper()
	dir := filepath.Dir(file)
	if folder {
		dir = file
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if folder {
		return
	}
	if target, ok := strings.CutPrefix(content, "-> "); ok {
		if err := os.Symlink(strings.TrimSpace(target), file); err != nil {
			t.Fatal(err)
		}
		return
	}
	mode := fs.FileMode(0o444)
	if strings.HasPrefix(content, "#!") || strings.HasPrefix(content, "\x7fELF") {
		mode = 0o555
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// build makes the root of the packages and describes it.
func build(t testing.TB, pkgs []*pkg, ignored ...string) (string, error) {
	t.Helper()
	r, err := compose(t.Context(), pkgs)
	if err != nil {
		return "", err
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := r.writeTo(out, "/osbuild/store/self", r.warn(ignored)); err != nil {
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
	slices.SortFunc(pkgs, func(a, b *pkg) int { return strings.Compare(a.name, b.name) })
	r, err := open(t.Context(), pkgs)
	if err != nil {
		t.Fatal(err)
	}
	p := r.byName["x"]
	r.readScript(p, "postinst", text, "configure", "")
	return r, p
}
