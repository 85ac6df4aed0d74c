// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T) (*Root, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := Open(filepath.Join(dir, "root"), nil)
	if err == nil {
		t.Fatal("a folder that is not there opens")
	}
	if err := os.Mkdir(filepath.Join(dir, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r, err = Open(filepath.Join(dir, "root"), func(int, string, int, int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, dir
}

// TestLinksStayInside has links that lead out of the root folder, if somebody
// lets them.
func TestLinksStayInside(t *testing.T) {
	r, dir := open(t)
	outside := filepath.Join(dir, "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "file"), []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"absolute": outside, "up": "../outside", "up-and-up": "../../../../../../.." + outside, "to-file": filepath.Join(outside, "file"),
	} {
		if err := os.Symlink(target, filepath.Join(dir, "root", link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"/absolute/file", "/up/file", "/up-and-up/file", "/to-file", "/../outside/file", "../outside/file"} {
		if data, err := r.ReadFile(name); err == nil {
			t.Errorf("%s reads %q", name, data)
		}
		_ = r.WriteFile(name, strings.NewReader("overwritten"), 0o644, Owner{})
		_ = r.MkdirAll(name + "-folder")
		_ = r.Symlink(name+"-link", "/")
		_ = r.Remove(name)
		r.RemoveAll(filepath.Dir(name))
	}
	names, err := os.ReadDir(outside)
	if data, rerr := os.ReadFile(filepath.Join(outside, "file")); err != nil || rerr != nil || string(data) != "precious" || len(names) != 1 {
		t.Errorf("outside: %v, %q, %v, %v", names, data, err, rerr)
	}
}

func TestAbsoluteLinksLeadFromTheRoot(t *testing.T) {
	r, dir := open(t)
	if err := r.MkdirAll("/run/deep"); err != nil {
		t.Fatal(err)
	}
	if err := r.Symlink("/var-run", "/run"); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteFile("/var-run/deep/file", strings.NewReader("x"), 0o640, Owner{}); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, "root/run/deep/file"))
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", st, err)
	}
	if !r.IsDir("/var-run") || r.Kind("/var-run") != unix.S_IFLNK {
		t.Error("the link is not seen as a link to a folder")
	}
}

func TestRefusals(t *testing.T) {
	r, dir := open(t)
	for _, name := range []string{"/folder/child", "/other"} {
		if err := r.MkdirAll(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "root/fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteFile("/file", strings.NewReader(""), 0o644, Owner{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Symlink("/link", "folder"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		summary string
		err     error
		want    error
	}{
		{"a file in the place of a folder", r.WriteFile("/folder", strings.NewReader(""), 0o644, Owner{}), unix.EISDIR},
		{"a link in the place of a folder", r.Symlink("/folder", "x"), unix.EISDIR},
		{"removing a folder with content", r.Remove("/folder"), unix.ENOTEMPTY},
		{"a mode through a link", r.SetDir("/link", 0o777, Owner{}), unix.ENOTDIR},
		{"moving onto something", r.Rename("/other", "/folder"), unix.EEXIST},
		{"a lock twice", r.CreateExclusive("/file", 0o600), unix.EEXIST},
		{"removing what is not there", r.Remove("/nothing"), nil},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.summary, tt.err, tt.want)
		}
	}
	// Opening a FIFO does not wait for a writer.
	if _, err := r.ReadFile("/fifo"); err == nil {
		t.Error("a FIFO reads as a file")
	}
	if names, _ := r.ReadDir("/"); len(names) != 5 {
		t.Errorf("temporary files are left: %v", names)
	}
}

func TestOwnerThatCannotBeSet(t *testing.T) {
	dir := t.TempDir()
	r, err := Open(dir, func(int, string, int, int) error { return unix.EPERM })
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.WriteFile("/file", strings.NewReader("x"), 0o600, Owner{UID: 12345}); !errors.Is(err, ErrOwner) || !errors.Is(err, unix.EPERM) {
		t.Errorf("error %v", err)
	}
	if data, err := r.ReadFile("/file"); err != nil || string(data) != "x" {
		t.Errorf("the file: %q, %v", data, err)
	}
	if err := r.MkdirAll("/a/b/c"); err != nil || !r.IsDir("/a/b/c") {
		t.Errorf("folders: %v", err)
	}
}
