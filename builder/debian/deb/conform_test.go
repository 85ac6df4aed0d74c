// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package deb_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/debian/deb"
)

// realPackages have what others have not: set-id programs, owners that are not
// root, hard links, a loader in /lib64, files in /lib and /sbin, conffiles,
// names that are not ASCII, scripts of all kinds.
var realPackages = []string{
	"nginx-light", "libc6", "passwd", "util-linux", "perl-base", "base-files", "ca-certificates", "systemd", "openssh-client", "mawk", "cron",
}

// TestDpkg compares what is unpacked with what dpkg-deb makes of the same
// packages: each file, link, mode and owner.
func TestDpkg(t *testing.T) {
	dir := os.Getenv("OSBUILD_TEST_DEBS")
	if dir == "" {
		dir = download(t)
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) == 0 {
		t.Skipf("SKIP-ENV: no package to compare: %v", err)
	}
	for _, file := range debs {
		t.Run(filepath.Base(file), func(t *testing.T) { conform(t, file) })
	}
}

// download gets packages with the apt configuration of this machine.
func download(t *testing.T) string {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("SKIP-ENV: there is no dpkg-deb to compare with")
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "apt-get", append([]string{"-q", "-o", "Acquire::Retries=1", "download"}, realPackages...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("SKIP-ENV: cannot get packages: %v: %.300s", err, out)
	}
	return dir
}

func conform(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	meta, err := deb.Unpack(t.Context(), f, info.Size(), out)
	if err != nil {
		t.Fatal(err)
	}
	owners := map[string]string{}
	for _, o := range meta.Owners {
		owners[o.Path] = fmt.Sprintf("%s:%s %04o", o.User, o.Group, o.Mode)
	}
	compare(t, "files", walk(t, filepath.Join(out, deb.RootDir), owners), wanted(t, file))
	control := filepath.Join(t.TempDir(), "control")
	if msg, err := exec.Command("dpkg-deb", "-e", file, control).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	plain := func(list []string) []string {
		for i, l := range list {
			list[i] = strings.Replace(l, ": 0755 ", ": 0644 ", 1)
		}
		return list
	}
	compare(t, "control files", plain(walk(t, filepath.Join(out, deb.ControlDir), nil)), plain(walk(t, control, nil)))
}

func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, l := range got {
		if _, ok := slices.BinarySearch(want, l); !ok {
			t.Errorf("%s: we have %s", what, l)
		}
	}
	for _, l := range want {
		if _, ok := slices.BinarySearch(got, l); !ok {
			t.Errorf("%s: dpkg has %s", what, l)
		}
	}
}

// walk describes a tree, a line a node.
func walk(t *testing.T, root string, owners map[string]string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name := strings.TrimPrefix(path, root)
		owner := owners[name]
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			list = append(list, name+" -> "+target)
			return err
		case e.IsDir():
			if owner == "" {
				owner = ": 0755"
			}
			list = append(list, fmt.Sprintf("%s/ %s", name, owner))
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if owner == "" {
			owner = ": 0644"
			if info.Mode()&0o111 != 0 {
				owner = ": 0755"
			}
		}
		data, err := os.ReadFile(path)
		list = append(list, fmt.Sprintf("%s %s %x", name, owner, sha256.Sum256(data)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// wanted describes what dpkg would unpack on a system of merged /usr.
func wanted(t *testing.T, file string) []string {
	t.Helper()
	out, err := exec.Command("dpkg-deb", "--fsys-tarfile", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	r := tar.NewReader(bytes.NewReader(out))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		place := func(name string) string {
			name = "/" + strings.Trim(strings.TrimPrefix(name, "./"), "/")
			top, _, _ := strings.Cut(name[1:], "/")
			if strings.Contains(" bin sbin lib lib32 lib64 libx32 ", " "+top+" ") {
				return "/usr" + name
			}
			return name
		}
		name := place(h.Name)
		owner := fmt.Sprintf("%s:%s %04o", strings.TrimPrefix(h.Uname, "root"), strings.TrimPrefix(h.Gname, "root"), h.Mode&0o7777)
		switch h.Typeflag {
		case tar.TypeDir:
			if name != "/" {
				lines[name] = name + "/ " + owner
			}
			for dir := filepath.Dir(name); dir != "/"; dir = filepath.Dir(dir) {
				if lines[dir] == "" {
					lines[dir] = dir + "/ : 0755"
				}
			}
		case tar.TypeSymlink:
			lines[name] = name + " -> " + h.Linkname
		case tar.TypeLink:
			lines[name] = name + strings.TrimPrefix(lines[place(h.Linkname)], place(h.Linkname))
		default:
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			lines[name] = fmt.Sprintf("%s %s %x", name, owner, sha256.Sum256(data))
		}
	}
	var list []string
	for _, l := range lines {
		list = append(list, l)
	}
	slices.Sort(list)
	return list
}
