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

// TestDir copies in a file system that lasts and in one that does not.
func TestDir(t *testing.T) {
	for _, place := range []string{t.TempDir(), "/dev/shm"} {
		t.Run(place, func(t *testing.T) {
			base, err := os.MkdirTemp(place, "osbuild-dir-")
			if err != nil {
				t.Skipf("SKIP-ENV: nothing can be made in %s: %v", place, err)
			}
			t.Cleanup(func() { os.RemoveAll(base) })
			testDir(t, base)
		})
	}
}

func testDir(t *testing.T, base string) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	large := strings.Repeat("0123456789", 1000)
	check(os.MkdirAll(filepath.Join(base, "from/sub"), 0o755))
	check(os.MkdirAll(filepath.Join(base, "to"), 0o755))
	check(os.WriteFile(filepath.Join(base, "from/empty"), nil, 0o444))
	check(os.WriteFile(filepath.Join(base, "from/large"), []byte(large), 0o555))
	check(os.Symlink("/elsewhere", filepath.Join(base, "from/link")))
	root, err := Open(base, func(_ int, _ string, uid, _ int) error {
		if uid == 7 {
			return unix.EPERM
		}
		return nil
	})
	check(err)
	defer root.Close()
	from, err := root.OpenDir("/from")
	check(err)
	defer from.Close()
	to, err := root.OpenDir("/to")
	check(err)
	defer to.Close()
	buf := make([]byte, 100) // several reads, the last one empty
	put := func(name, source string, mode uint32, o Owner, replace bool) (string, error) {
		t.Helper()
		s, err := from.Source(source)
		check(err)
		defer s.Close()
		if s.Executable != (source == "large") {
			t.Errorf("%s: executable: %t", source, s.Executable)
		}
		return to.Copy(name, s, mode, o, replace, buf)
	}
	has := func(name, content string, mode os.FileMode) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(base, "to", name))
		check(err)
		st, err := os.Stat(filepath.Join(base, "to", name))
		check(err)
		if string(data) != content || st.Mode() != mode {
			t.Errorf("%s: %d bytes, %v", name, len(data), st.Mode())
		}
	}
	sum, err := put("new", "large", 0o750, Owner{}, false)
	check(err)
	has("new", large, 0o750)
	if again, err := to.Digest("new", buf); err != nil || again != sum || len(sum) != 64 {
		t.Errorf("digests %q and %q, %v", sum, again, err)
	}
	if _, err := put("new", "empty", 0o644, Owner{}, false); !errors.Is(err, unix.EEXIST) {
		t.Errorf("over a file: %v", err)
	}
	has("new", large, 0o750)
	_, err = put("new", "empty", 0o600, Owner{}, true)
	check(err)
	has("new", "", 0o600)
	if _, err := put("owned", "empty", 0o4755, Owner{UID: 7}, false); !errors.Is(err, ErrOwner) {
		t.Errorf("an owner that cannot be set: %v", err)
	}
	has("owned", "", 0o755)

	check(to.Symlink("link", "one", false))
	if err := to.Symlink("link", "two", false); !errors.Is(err, unix.EEXIST) {
		t.Errorf("over a link: %v", err)
	}
	check(to.Symlink("link", "two", true))
	if text, err := to.Readlink("link"); err != nil || text != "two" {
		t.Errorf("link: %q, %v", text, err)
	}
	if err := to.Mkdir("dir", 0o1777, Owner{}); err != nil {
		t.Error(err)
	}
	if info, err := to.Lstat("dir"); err != nil || info.Mode != unix.S_IFDIR|0o1777 || info.Mounted {
		t.Errorf("dir: %+v, %v", info, err)
	}
	if err := to.SetDir("link", 0o700, Owner{}); err == nil {
		t.Error("a link was taken for a folder")
	}
	if _, err := from.Sub("link"); err == nil {
		t.Error("a link was followed")
	}
	for _, name := range []string{"link", "sub", "missing"} {
		if s, err := from.Source(name); err == nil {
			s.Close()
			t.Errorf("%s was taken for a regular file", name)
		}
	}
	check(to.Flush())
	for _, name := range []string{"new", "owned", "link", "dir", "missing"} {
		check(to.Remove(name))
	}
	// Neither a failure nor a success leaves anything else behind.
	if entries, err := os.ReadDir(filepath.Join(base, "to")); err != nil || len(entries) > 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}
