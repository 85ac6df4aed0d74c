// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package fsys_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
)

var at = time.Unix(1, 0)

// session makes one of each change, in the order of the names returned.
func session(f fsys.FS, dir string) error {
	file, err := f.Create(dir+"/file", 0o600)
	if err != nil {
		return err
	}
	if _, err := file.Write([]byte("0123456789")); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Finish(0o644, at); err != nil {
		return err
	}
	if file, err = f.Modify(dir + "/file"); err != nil {
		return err
	}
	if _, err := file.WriteAt([]byte("AB"), 4); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Finish(0o644, at); err != nil {
		return err
	}
	if file, err = f.Append(dir+"/log", 0o600); err != nil {
		return err
	}
	if _, err := file.Write([]byte("line\n")); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return err
	}
	lock, err := f.OpenLock(dir + "/lock")
	if err != nil {
		return err
	}
	if err := lock.Close(); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return f.Mkdir(dir+"/sub", 0o700) },
		func() error { return f.Symlink("nowhere", dir+"/sub/link") },
		func() error { return f.SetTime(dir+"/sub/link", at) },
		func() error { return f.Chmod(dir+"/sub", 0o755) },
		func() error { return f.Chown(dir+"/sub/link", os.Getuid(), os.Getgid()) },
		func() error { return f.Rename(dir+"/file", dir+"/sub/file") },
		func() error { return f.Link(dir+"/sub/file", dir+"/other") },
		func() error { return f.Exchange(dir+"/other", dir+"/sub/link") },
		func() error { return f.Exchange(dir+"/other", dir+"/sub/link") },
		func() error { return clone(f, dir) },
		func() error { return f.Sync(dir) },
		func() error { return f.Remove(dir + "/log") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// clone clones the file. Few file systems can, and then all of it must be
// undone.
func clone(f fsys.FS, dir string) error {
	err := f.Clone(dir+"/sub/file", dir+"/clone", 0o400, at)
	_, there := os.Lstat(dir + "/clone")
	for _, unable := range []error{unix.EOPNOTSUPP, unix.EXDEV, unix.ENOTTY, unix.EINVAL} {
		if errors.Is(err, unable) {
			if there == nil {
				return errors.New("a file is left of a clone that failed")
			}
			return nil
		}
	}
	return err
}

func TestOS(t *testing.T) {
	dir := t.TempDir()
	if err := session(fsys.OS{}, dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(dir + "/sub/file")
	if err != nil || string(data) != "0123AB6789" {
		t.Errorf("%q, %v", data, err)
	}
	for name, mode := range map[string]fs.FileMode{"sub/file": 0o644, "sub": 0o755 | fs.ModeDir} {
		if st, err := os.Lstat(filepath.Join(dir, name)); err != nil || st.Mode() != mode {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	for _, name := range []string{"sub/file", "sub/link"} {
		if st, err := os.Lstat(filepath.Join(dir, name)); err != nil || !st.ModTime().Equal(at) {
			t.Errorf("%s: %v, %v", name, st.ModTime(), err)
		}
	}
	a, err1 := os.Stat(dir + "/other")
	b, err2 := os.Stat(dir + "/sub/file")
	if err1 != nil || err2 != nil || !os.SameFile(a, b) {
		t.Errorf("the link is no other name of the file: %v, %v", err1, err2)
	}
	f := fsys.OS{}
	if err := f.Exchange(dir+"/other", dir+"/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("exchanging with nothing: %v", err)
	}
	if err := f.Link(dir+"/other", dir+"/sub/link"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("linking over what is there: %v", err)
	}
	if _, err := f.Create(dir+"/sub/file", 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating what is there: %v", err)
	}
	if _, err := f.Modify(dir + "/sub/link"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("modifying a link: %v", err)
	}
	if err := f.Remove(dir + "/sub"); !errors.Is(err, unix.ENOTEMPTY) {
		t.Errorf("removing a full folder: %v", err)
	}
	if err := f.Remove(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removing nothing: %v", err)
	}
	if err := f.RemoveXattr(dir+"/sub/file", "user.none"); err == nil {
		t.Error("removing an attribute that is not there")
	}
	var pathErr *fs.PathError
	if err := f.Mkdir(dir+"/sub", 0o755); !errors.As(err, &pathErr) || pathErr.Path != dir+"/sub" {
		t.Errorf("the error names no path: %v", err)
	}
}

// Each operation can be made to fail, and then nothing but half a write has
// happened.
func TestFault(t *testing.T) {
	var ops []string
	f := &fsys.Fault{FS: fsys.OS{}, Before: func(_ int64, op, _ string) error {
		ops = append(ops, op)
		return nil
	}}
	if err := session(f, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"create", "write", "finish", "modify", "writeat", "finish", "append", "write", "openlock",
		"mkdir", "symlink", "settime", "chmod", "chown", "rename",
		"link", "exchange", "exchange", "clone", "sync", "remove",
	}
	if !slices.Equal(ops, want) || f.Count() != int64(len(want)) {
		t.Fatalf("got %q, want %q", ops, want)
	}
	for k := range want {
		dir := t.TempDir()
		f := &fsys.Fault{FS: fsys.OS{}, Before: func(n int64, _, _ string) error {
			if n == int64(k)+1 {
				return unix.EIO
			}
			return nil
		}}
		if err := session(f, dir); !errors.Is(err, unix.EIO) || f.Count() != int64(k)+1 {
			t.Errorf("%s: %v after %d operations", want[k], err, f.Count())
		}
		if data, _ := os.ReadFile(dir + "/file"); want[k] == "write" && k == 1 && string(data) != "01234" {
			t.Errorf("a failed write left %q", data)
		}
	}
}

// A process that has ended writes nothing at all.
func TestStopped(t *testing.T) {
	dir := t.TempDir()
	f := &fsys.Fault{FS: fsys.OS{}, Before: func(n int64, _, _ string) error {
		if n > 1 {
			return fsys.ErrStopped
		}
		return nil
	}}
	file, err := f.Create(dir+"/file", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write([]byte("0123456789"))
	_, err2 := file.WriteAt([]byte("0123456789"), 0)
	if data, _ := os.ReadFile(dir + "/file"); !errors.Is(err, fsys.ErrStopped) || !errors.Is(err2, fsys.ErrStopped) || len(data) > 0 {
		t.Errorf("wrote %q: %v, %v", data, err, err2)
	}
}

func TestTrees(t *testing.T) {
	dir := t.TempDir()
	f := fsys.OS{}
	for range 2 {
		if err := fsys.MkdirAll(f, dir+"/a/b/c", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []error{
		os.WriteFile(dir+"/a/b/file", nil, 0o400), os.Symlink("/", dir+"/a/b/c/root"), os.Chmod(dir+"/a/b/c", 0), os.Chmod(dir+"/a/b", 0o555), os.Chmod(dir+"/a", 0o500),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if err := fsys.MkdirAll(f, dir+"/a/b/file", 0o755); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a folder over a file: %v", err)
	}
	if err := fsys.RemoveTrees(f, []string{dir + "/a", dir + "/none", dir + "/a"}); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v remain, %v", entries, err)
	}
}
