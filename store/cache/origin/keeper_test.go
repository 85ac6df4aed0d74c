// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/cache/narinfo"
	"osbuild/store/fsys"
)

// TestKeeper holds that leases are followed by new ones, and end when nobody
// uses them any more.
func TestKeeper(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), "root"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := store.TextPath("a", []byte("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	leases := func(want int) {
		t.Helper()
		if all, err := os.ReadDir(s.Root() + "/leases"); err != nil || len(all) != want {
			t.Errorf("%d leases, want %d (%v)", len(all), want, err)
		}
	}
	var k keeper
	keep := func() func() {
		t.Helper()
		release, err := k.keep(s, p)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	later := func() { k.current.born = k.current.born.Add(-keepFor - time.Second) }
	long := keep()
	keep()()
	leases(1)
	later()
	keep()()
	leases(2) // the first is the last one's
	later()
	keep()()
	leases(3) // and still in use
	later()
	keep()()
	leases(3) // the second is over
	long()
	leases(2)
	if err := k.close(); err != nil {
		t.Error(err)
	}
	leases(0)
}

// full is a disk that can be full.
type full struct {
	fsys.OS
	now atomic.Bool
}

func (f *full) Append(path string, perm fs.FileMode) (fsys.File, error) {
	if f.now.Load() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: unix.ENOSPC}
	}
	file, err := f.OS.Append(path, perm)
	return fullFile{file, f}, err
}

type fullFile struct {
	fsys.File
	disk *full
}

func (f fullFile) Write(p []byte) (int, error) {
	if f.disk.now.Load() {
		return 0, unix.ENOSPC
	}
	return f.File.Write(p)
}

// TestFullDisk holds that items of a disk that is full can be read.
func TestFullDisk(t *testing.T) {
	disk := &full{}
	s, err := store.Open(filepath.Join(t.TempDir(), "root"), store.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.NewLease("test")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var names []string
	for _, name := range []string{"a", "b"} {
		i, err := s.AddText(t.Context(), l, name, []byte(name), nil)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, narinfo.Name(i.Path))
	}
	o := &Origin{Store: s}
	read := func(name string) {
		t.Helper()
		c, err := o.Open(t.Context(), name)
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		c.Release()
	}
	read(names[0])
	disk.now.Store(true)
	read(names[1]) // the lease cannot grow
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	read(names[0]) // there can be none
	o.keeper.current.born = time.Now().Add(-keepFor)
	disk.now.Store(false)
	read(names[0])
	if o.keeper.current.lease == nil {
		t.Error("nothing is protected, though the disk has room again")
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}
