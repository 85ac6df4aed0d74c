// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/closure"
	"osbuild/store"
	"osbuild/store/cache/nixtest"
	"osbuild/store/fsys"
)

// Every operation of every session here is the last one of a process once, and
// of a machine once: then what was not synced is cut off, emptied, or NUL
// bytes, as file systems leave it. Names stay in the order in which they were
// made, which journals keep; so what a loss of the last names leaves is the
// state of an earlier operation.

// session is work on a root, on which ready has worked before.
type session struct {
	name  string
	ready func(t *testing.T, root string)
	work  func(root string, f fsys.FS) error
}

// sessions lists the work; src is a tree, next to which a root link lies.
func sessions(t *testing.T, src string) []session {
	ctx := context.Background()
	origin := openAt(t, filepath.Join(t.TempDir(), "origin"))
	animals := zoo(t, origin)
	archives := make(map[store.Path][]byte)
	infos, err := origin.Infos()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		var b bytes.Buffer
		if err := origin.DumpNAR(ctx, i.Path, &b); err != nil {
			t.Fatal(err)
		}
		archives[i.Path] = b.Bytes()
	}
	all := func(root string, f fsys.FS) error { return everything(root, src, f) }
	filled := func(t *testing.T, root string) {
		s := openAt(t, root)
		zoo(t, s)
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	return []session{
		{"everything in a new store", func(*testing.T, string) {}, all},
		{"everything once more", func(t *testing.T, root string) {
			if err := all(root, fsys.OS{}); err != nil {
				t.Fatal(err)
			}
		}, all},
		{"import", func(t *testing.T, root string) { openAt(t, root) }, func(root string, f fsys.FS) error {
			return importAll(ctx, root, f, infos, archives)
		}},
		{"optimise and collect", filled, func(root string, f fsys.FS) error {
			s, err := store.Open(root, store.Options{FS: f})
			if err != nil {
				return err
			}
			if err := s.AddRoot(filepath.Dir(src)+"/result", animals["output"]); err != nil {
				return err
			}
			if _, err := s.Optimise(ctx, nil); err != nil {
				return err
			}
			if _, err := s.GC(ctx, store.GCOptions{}); err != nil {
				return err
			}
			return s.Sync()
		}},
		{"repair", func(t *testing.T, root string) {
			filled(t, root)
			s := openAt(t, root)
			for _, item := range []string{"tree", "output"} {
				place := s.Physical(animals[item])
				harm(t, place, func() error { return os.WriteFile(place+"/damage", []byte("x"), 0o644) })
			}
			if err := errors.Join(os.Remove(s.Physical(animals["text"])), os.Remove(infoFile(s, animals["flat-md5"]))); err != nil {
				t.Fatal(err)
			}
		}, func(root string, f fsys.FS) error {
			s, err := store.Open(root, store.Options{FS: f})
			if err != nil {
				return err
			}
			r, err := s.Repair(ctx, store.RepairOptions{Sources: []store.Source{store.FromStore(origin)}})
			for _, failed := range r.Failed {
				err = errors.Join(err, failed.Err)
			}
			return errors.Join(err, s.Sync())
		}},
		{"rebuild", func(t *testing.T, root string) {
			filled(t, root)
			for _, i := range infos {
				if err := os.Remove(root + "/db/info/" + i.Path.Digest() + ".narinfo"); err != nil {
					t.Fatal(err)
				}
			}
		}, func(root string, f fsys.FS) error {
			s, err := store.Open(root, store.Options{FS: f})
			if err != nil {
				return err
			}
			if _, err := s.Rebuild(ctx, false); err != nil {
				return err
			}
			return s.Sync()
		}},
	}
}

func importAll(ctx context.Context, root string, f fsys.FS, infos []store.Info, archives map[store.Path][]byte) (err error) {
	s, err := store.Open(root, store.Options{FS: f})
	if err != nil {
		return err
	}
	l, err := s.NewLease("import")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	var arrivals []*store.Arrival
	for _, i := range infos {
		a, err := s.Unpack(ctx, l, i, bytes.NewReader(archives[i.Path]))
		if err != nil {
			return err
		}
		arrivals = append(arrivals, a)
	}
	if err := s.Admit(ctx, l, arrivals...); err != nil {
		return err
	}
	return s.Sync()
}

// disk ends the work of a process at an operation, and knows what would be
// left if the machine lost its power then.
type disk struct {
	root   string
	last   int64
	synced map[uint64]int64 // sizes of durable files, by inode
	err    error
}

// track notes what is on the disk when it is synced.
func (d *disk) fs() *fsys.Fault {
	d.note()
	return &fsys.Fault{FS: fsys.OS{}, Before: func(n int64, op, _ string) error {
		switch {
		case d.last > 0 && n > d.last:
			return fsys.ErrStopped
		case n == d.last:
			return unix.EIO
		case op == "sync":
			d.note()
		}
		return nil
	}}
}

func (d *disk) each(do func(path string, st *unix.Stat_t) error) error {
	return filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		return do(path, &st)
	})
}

func (d *disk) note() {
	d.synced = make(map[uint64]int64)
	d.err = errors.Join(d.err, d.each(func(_ string, st *unix.Stat_t) error {
		d.synced[st.Ino] = st.Size
		return nil
	}))
}

// lose damages all files that are not durable, and begins another boot. It
// returns the items that are.
func (d *disk) lose(r *rand.Rand) (durable []string, err error) {
	torn := make(map[uint64]bool)
	err = d.each(func(path string, st *unix.Stat_t) error {
		if size, ok := d.synced[st.Ino]; ok && size == st.Size {
			if filepath.Dir(path) == d.root+"/db/info" {
				durable = append(durable, path)
			}
			return nil
		}
		if torn[st.Ino] || st.Size == 0 {
			return nil
		}
		torn[st.Ino] = true
		var size int64
		switch r.IntN(4) {
		case 0:
			return nil // lucky
		case 1:
			size = st.Size / 2
		}
		err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, size))
		if size == 0 && r.IntN(2) == 0 {
			err = errors.Join(err, os.Truncate(path, st.Size)) // NUL bytes
		}
		times := []unix.Timespec{st.Atim, st.Mtim}
		return errors.Join(err, os.Chmod(path, fs.FileMode(st.Mode&0o777)), unix.UtimesNanoAt(unix.AT_FDCWD, path, times, 0))
	})
	boots, rerr := os.ReadDir(d.root + "/pending")
	if rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	for _, b := range boots {
		err = errors.Join(err, os.Rename(d.root+"/pending/"+b.Name(), d.root+"/pending/former-"+b.Name()))
	}
	return durable, err
}

// fastDir is a folder for many small files that need not last.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "osbuild-store-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		unlock(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// copyRoot copies a root, hard links and times included.
func copyRoot(t *testing.T, from, to string) {
	t.Helper()
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// expectSound checks what must hold after any end of any session.
func expectSound(t *testing.T, root, link string, durable []string) *store.Store {
	t.Helper()
	s, err := store.Open(root, store.Options{})
	if err != nil {
		t.Fatalf("it does not open: %v", err)
	}
	for _, info := range durable {
		if _, err := os.Lstat(info); err != nil {
			t.Errorf("a durable item is gone: %v", err)
		}
	}
	expectRoot(t, s, link)
	if _, err := s.GC(context.Background(), store.GCOptions{}); err != nil {
		t.Error(err)
	}
	expectRoot(t, s, link)
	expectTidyButFiles(t, s)
	return s
}

// expectRoot checks that what a root leads to is whole, if it is valid.
func expectRoot(t *testing.T, s *store.Store, link string) {
	t.Helper()
	target, err := os.Readlink(link)
	if err != nil {
		return
	}
	p, _, err := s.Resolve(target)
	if err != nil {
		t.Error(err)
	} else if s.Valid(p) {
		if _, err := closure.Compute(s, p); err != nil {
			t.Errorf("the closure of a root: %v", err)
		}
	}
}

// expectTidyButFiles is expectTidy for a store that killed processes used: a
// small file on its way to its place stays for some minutes.
func expectTidyButFiles(t *testing.T, s *store.Store) {
	t.Helper()
	entries, err := os.ReadDir(s.Root() + "/tmp")
	for _, e := range entries {
		if err == nil && !e.IsDir() {
			err = os.Remove(s.Root() + "/tmp/" + e.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
	expectTidy(t, s)
}

// Not beside other tests: a process that one of them forks holds the locks of
// this one's leases for a moment, until it executes its program (flock(2)), and
// what should be dead would live.
func TestFaults(t *testing.T) {
	dir := fastDir(t)
	src := dir + "/src"
	writeTreeAt(t, src, map[string]string{"file": "content\n", "big": strings.Repeat("0123456789abcdef", 20_000), "dir/sub/x": "#!x", "dir/l": "-> sub/x", "empty/": ""})
	link := dir + "/result"
	points := make(map[string]bool)
	losses := 0
	for _, w := range sessions(t, src) {
		t.Run(w.name, func(t *testing.T) {
			ready := filepath.Join(dir, "ready")
			_ = os.Remove(link)
			w.ready(t, ready)
			n := runFault(t, w, ready, 0, nil, link)
			for _, power := range []bool{false, true} {
				step := int64(1)
				switch {
				case testing.Short():
					step = 40
				case power && os.Getenv(envLong) == "":
					step = 3
				}
				for k := 1 + step/2; k <= n; k += step {
					var r *rand.Rand
					if power {
						r = rand.New(rand.NewPCG(uint64(k), 7))
						losses++
					}
					runFault(t, w, ready, k, r, link)
					points[fmt.Sprint(w.name, " ", k, " ", power)] = true
					if t.Failed() {
						t.Fatalf("operation %d of %d, loss of power: %t", k, n, power)
					}
				}
			}
			unlock(t, ready)
			if err := os.RemoveAll(ready); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d operations", n)
		})
	}
	t.Logf("%d distinct points, %d of them losses of power; Nix verified %d", len(points), losses, sampled.Load())
	if !testing.Short() && len(points) < 1000 {
		t.Errorf("only %d distinct points", len(points))
	}
}

// sampleNix is how many operations lie between those after which Nix, where it
// is installed, verifies what is left.
const sampleNix = 50

// sampled counts the states that Nix verified.
var sampled atomic.Int64

// nixSays lets Nix, where it is installed, verify all contents of the store and
// find the closures of its roots.
func nixSays(t *testing.T, s *store.Store) bool {
	t.Helper()
	n := nixtest.Find(t)
	if n == nil {
		return false
	}
	n = n.Load(s)
	if out, err := n.Try("nix-store", "--store", n.URI, "--verify", "--check-contents"); err != nil {
		t.Errorf("Nix: %v\n%s", err, out)
	}
	roots, err := s.Roots()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roots {
		if s.Valid(r.Path) {
			expectSet(t, "the closure of a root", requisites(t, s, r.Path), n.Store("-qR", string(r.Path)))
		}
	}
	return true
}

// runFault does the work on a copy, ends it at an operation (0: at none), and
// checks what is left. It returns how many operations there were.
func runFault(t *testing.T, w session, ready string, last int64, power *rand.Rand, link string) int64 {
	t.Helper()
	root := filepath.Join(filepath.Dir(ready), "root")
	copyRoot(t, ready, root)
	// The link leads into the root of the same name, and is made again.
	_ = os.Remove(link)
	d := &disk{root: root, last: last}
	f := d.fs()
	err := w.work(root, f)
	if d.err != nil {
		t.Fatal(d.err)
	}
	switch {
	case last == 0 && err != nil:
		t.Fatal(err)
	case last > 0 && err != nil && !errors.Is(err, unix.EIO) && !errors.Is(err, fsys.ErrStopped):
		t.Errorf("operation %d: another error: %v", last, err)
	}
	var durable []string
	if power != nil {
		if durable, err = d.lose(power); err != nil {
			t.Fatal(err)
		}
	}
	if w.name == "repair" && last > 0 {
		// The rest of the damage is no matter of the fault.
		if err := w.work(root, fsys.OS{}); err != nil {
			t.Errorf("once more: %v", err)
		}
	}
	s, err := store.Open(root, store.Options{})
	if err != nil {
		t.Fatalf("operation %d: it does not open: %v", last, err)
	}
	mustVerify(t, s)
	if last%sampleNix == 1 && nixSays(t, s) {
		sampled.Add(1)
	}
	expectSound(t, root, link, durable)
	mustVerify(t, s)
	unlock(t, root)
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	return f.Count()
}
