// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package rootfstest makes packages of a few lines of text.
//
// It is for tests only. Start with [Plant].
package rootfstest

import (
	"encoding/json"
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
	"osbuild/builder/debian/rootfs"
	"osbuild/runner/spec"
)

// Plant makes deb items of an archive, sorted by name. A file PACKAGE/root/PATH is one of the
// package, a folder when its name ends in a slash, a link when its content
// begins with "-> ", executable when it begins with "#!"; PACKAGE/owners has
// lines "path user group mode"; all others are control members. The control
// file may leave out what does not matter.
func Plant(t testing.TB, ar *txtar.Archive) []*rootfs.Package {
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
	var out []*rootfs.Package
	for name, m := range metas {
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		plantFile(t, filepath.Join(dir, name, deb.MetaFile), false, string(data))
		if _, err := os.Stat(filepath.Join(dir, name, deb.ControlDir, "control")); err != nil {
			plantFile(t, filepath.Join(dir, name, deb.ControlDir, "control"), false, "Package: "+name+"\n")
		}
		out = append(out, &rootfs.Package{Name: name, Version: m.Version, Item: "/osbuild/store/" + name, Dir: filepath.Join(dir, name)})
	}
	slices.SortFunc(out, func(a, b *rootfs.Package) int { return strings.Compare(a.Name, b.Name) })
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

// lines are the lines of a text.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
