// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package fsys_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/store/fsys"
)

// A clone is a file of its own with the same bytes; where the file system has
// no clones, nothing is left of the attempt.
func TestClone(t *testing.T) {
	dir := t.TempDir()
	text := bytes.Repeat([]byte("content "), 64<<10)
	if err := os.WriteFile(dir+"/from", text, 0o444); err != nil {
		t.Fatal(err)
	}
	err := fsys.OS{}.Clone(dir+"/from", dir+"/to", 0o555, at)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL) {
		if _, err := os.Lstat(dir + "/to"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something is left: %v", err)
		}
		t.Skipf("SKIP-ENV: no clones on this file system, so only their refusal is tested (set TMPDIR to a folder on btrfs or xfs): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Lstat(dir + "/to")
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode() != 0o555 || !st.ModTime().Equal(at) {
		t.Errorf("%v %v", st.Mode(), st.ModTime())
	}
	if err := os.Chmod(dir+"/from", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/from", []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dir + "/to"); err != nil || !bytes.Equal(got, text) {
		t.Errorf("the clone changed with its source: %d bytes, %v", len(got), err)
	}
}
