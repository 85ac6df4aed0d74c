// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/fsys"
	"osbuild/store/nar"
)

// blockSource has files around the size of the blocks in which they are
// copied, and more small ones than one block takes.
func blockSource(t *testing.T, dir string) {
	t.Helper()
	const block = 128 << 10
	random := rand.NewChaCha8([32]byte{7})
	sizes := []int{0, 1, block - 1, 0, block, block + 1, 2 * block, 40*block + 3, 5, block / 2, block / 2, block/2 - 1}
	for k := range 3000 {
		sizes = append(sizes, k%9*k%700)
	}
	for k, size := range sizes {
		text := make([]byte, size)
		_, _ = random.Read(text) // never fails
		mode := os.FileMode(0o644)
		if k%5 == 0 {
			mode = 0o755
		}
		path := fmt.Sprintf("%s/%d/%04d", dir, k%7, k)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// A copy has the bytes, modes and times that it must have, and the hash is
// that of the source, for every size of a file and whatever the umask.
func TestCopyBlocks(t *testing.T) {
	dir := fastDir(t)
	src := dir + "/src"
	blockSource(t, src)
	want, size, err := nar.Hash(t.Context(), src, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, mask := range []int{0o022, 0o077, 0} {
		s := openAt(t, dir+"/root")
		l := lease(t, s)
		before := unix.Umask(mask)
		i, err := s.AddTree(t.Context(), l, "tree", src, nil)
		unix.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		if i.NarHash != store.Hash(want) || i.NarSize != size {
			t.Errorf("umask %03o: the hash %s of %d bytes", mask, i.NarHash, i.NarSize)
		}
		place := s.Physical(i.Path)
		err = filepath.WalkDir(src, func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			copied := place + strings.TrimPrefix(path, src)
			st, err := os.Lstat(copied)
			if err != nil {
				return err
			}
			from, err := e.Info()
			if err != nil {
				return err
			}
			if mode := from.Mode().Perm() & 0o555; st.Mode().Perm() != mode || st.ModTime().Unix() != 1 {
				return fmt.Errorf("%s: %v of %v", copied, st.Mode(), st.ModTime())
			}
			if e.IsDir() {
				return nil
			}
			a, aerr := os.ReadFile(path)
			b, berr := os.ReadFile(copied)
			if !bytes.Equal(a, b) {
				return fmt.Errorf("%s has other bytes", copied)
			}
			return errors.Join(aerr, berr)
		})
		if err != nil {
			t.Errorf("umask %03o: %v", mask, err)
		}
		mustVerify(t, s)
		unlock(t, s.Root())
		if err := errors.Join(l.Close(), os.RemoveAll(s.Root())); err != nil {
			t.Fatal(err)
		}
	}
}

// Wherever writing stops, the error is told and nothing is left.
func TestCopyFails(t *testing.T) {
	dir := fastDir(t)
	src := dir + "/src"
	blockSource(t, src)
	for _, op := range []string{"create", "write", "finish", "mkdir"} {
		for _, after := range []int64{1, 5, 200, 2000} {
			if op == "mkdir" && after > 5 {
				continue
			}
			var count atomic.Int64
			f := &fsys.Fault{FS: fsys.OS{}, Before: func(_ int64, what, path string) error {
				if what == op && strings.Contains(path, "/add-") && count.Add(1) >= after {
					return unix.ENOSPC
				}
				return nil
			}}
			s, err := store.Open(dir+"/root", store.Options{FS: f})
			if err != nil {
				t.Fatal(err)
			}
			l := lease(t, s)
			if _, err := s.AddTree(t.Context(), l, "tree", src, nil); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("%s %d: %v", op, after, err)
			}
			temp, err := l.TempDir()
			if err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("%s %d: %v is left, %v", op, after, left, err)
			}
		}
	}
}

// A file that changes between listing and reading is an error, and nothing is
// registered.
func TestCopyChanging(t *testing.T) {
	tests := []struct {
		summary string
		size    int
		change  int
	}{
		{"small grows", 10, 11},
		{"small shrinks", 10, 9},
		{"small becomes large", 10, 300 << 10},
		{"fills a block and grows", 128<<10 - 1, 128 << 10},
		{"large grows", 300 << 10, 300<<10 + 1},
		{"large of whole pieces grows", 256 << 10, 256<<10 + 1},
		{"large shrinks", 300 << 10, 200 << 10},
		{"large is emptied", 300 << 10, 0},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			src := writeTree(t, map[string]string{"a": "first", "f": strings.Repeat("x", test.size), "z": "last"})
			root := filepath.Join(t.TempDir(), "root")
			f := &fsys.Fault{FS: fsys.OS{}, Before: func(_ int64, op, path string) error {
				if op == "mkdir" && strings.Contains(path, "/add-") {
					return os.Truncate(src+"/f", int64(test.change))
				}
				return nil
			}}
			s, err := store.Open(root, store.Options{FS: f})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.AddTree(t.Context(), lease(t, s), "tree", src, nil); err == nil || !strings.Contains(err.Error(), "it changed while it was read") {
				t.Errorf("got %v", err)
			}
			if all, err := s.All(); err != nil || len(all) > 0 {
				t.Errorf("registered: %q, %v", all, err)
			}
		})
	}
}

// Who waits for a large tree can stop it.
func TestCopyCancelled(t *testing.T) {
	src := writeTree(t, map[string]string{"f": strings.Repeat("x", 4<<20)})
	ctx, cancel := context.WithCancel(t.Context())
	f := &fsys.Fault{FS: fsys.OS{}, Before: func(_ int64, op, path string) error {
		if op == "write" && strings.HasSuffix(path, "/f") {
			cancel()
		}
		return nil
	}}
	s, err := store.Open(filepath.Join(t.TempDir(), "root"), store.Options{FS: f})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddTree(ctx, lease(t, s), "tree", src, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
