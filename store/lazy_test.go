// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/fsys"
)

// command adds items of several kinds, each of which needs the ones before,
// as one command does: it opens the store and syncs it at its end.
func command(root, src string, o store.Options) (paths []store.Path, err error) {
	s, err := store.Open(root, o)
	if err != nil {
		return nil, err
	}
	l, err := s.NewLease("command")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	ctx := context.Background()
	mode := map[bool]string{false: "batch", true: "lazy"}[o.Lazy]
	a, err := s.AddText(ctx, l, mode, []byte("text"), nil)
	if err != nil {
		return nil, err
	}
	tree, err := s.AddTree(ctx, l, mode+"-tree", src, nil)
	if err != nil {
		return nil, err
	}
	refs := []store.Path{a.Path, tree.Path}
	// What the other command may have added before.
	for _, other := range []string{"lazy", "batch"} {
		if p, err := store.TextPath(other, []byte("text"), nil); err != nil {
			return nil, err
		} else if err := l.Add(p); err != nil {
			return nil, err
		} else if p != a.Path && s.Valid(p) {
			refs = append(refs, p)
		}
	}
	temp, err := l.TempDir()
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("%s %s", scratchA, refs)
	if err := errors.Join(os.MkdirAll(temp+"/out", 0o755), os.WriteFile(temp+"/out/f", []byte(text), 0o644)); err != nil {
		return nil, err
	}
	out, err := s.AddOutput(ctx, l, store.Output{Name: "out", Physical: temp + "/out", Scratch: scratchA, Candidates: refs})
	if err != nil {
		return nil, err
	}
	if err := s.PutRecord("memo", "key", []byte(out.Path)); err != nil {
		return nil, err
	}
	if err := s.AddRoot(filepath.Dir(src)+"/result", out.Path); err != nil {
		return nil, err
	}
	return []store.Path{a.Path, tree.Path, out.Path}, s.Sync()
}

// Power is lost after commands that did not wait for the disk: whatever is
// served then is whole, and what a command made durable is still there.
func TestLazyLosesPower(t *testing.T) {
	rounds := 120
	if testing.Short() {
		rounds = 12
	}
	dir := fastDir(t)
	src, link, root := dir+"/src", dir+"/result", dir+"/root"
	writeTreeAt(t, src, map[string]string{"file": "content\n", "big": strings.Repeat("0123456789abcdef", 20_000), "dir/x": "#!x"})
	sequences := [][]bool{{true}, {true, true}, {true, false}, {true, false, true}, {false, true}}
	lost, kept := 0, 0
	for round := range rounds {
		lazy := sequences[round%len(sequences)]
		summary := fmt.Sprintf("round %d, lazy %v", round, lazy)
		_ = os.Remove(link)
		d := &disk{root: root}
		f := d.fs()
		var safe, all []store.Path
		for _, lazy := range lazy {
			paths, err := command(root, src, store.Options{FS: f, Lazy: lazy})
			if err != nil {
				t.Fatalf("%s: %v", summary, err)
			}
			all = append(all, paths...)
			if !lazy {
				safe = append([]store.Path(nil), all...)
			}
		}
		durable, err := d.lose(rand.New(rand.NewPCG(uint64(round), 3)))
		if err = errors.Join(err, d.err); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(root, store.Options{})
		if err != nil {
			t.Fatalf("%s: it does not open: %v", summary, err)
		}
		mustVerify(t, s)
		for _, p := range safe {
			if !s.Valid(p) {
				t.Errorf("%s: %s was durable and is lost", summary, p)
			}
		}
		for _, p := range all {
			if s.Valid(p) {
				kept++
			} else {
				lost++
			}
		}
		expectSound(t, root, link, durable)
		if t.Failed() {
			t.Fatal(summary)
		}
		unlock(t, root)
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
	}
	if lost == 0 || kept == 0 {
		t.Errorf("%d items were lost and %d kept, so this shows nothing", lost, kept)
	}
	t.Logf("%d losses of power: %d items lost, %d kept", rounds, lost, kept)
}

// Every operation of two lazy commands and one that waits is the last one of
// the process, and of the machine.
func TestLazyFaults(t *testing.T) {
	dir := fastDir(t)
	src, link, ready := dir+"/src", dir+"/result", dir+"/ready"
	writeTreeAt(t, src, map[string]string{"file": "content\n", "dir/x": "#!x"})
	w := session{"lazy", nil, func(root string, f fsys.FS) error {
		for _, lazy := range []bool{true, false, true} {
			if _, err := command(root, src, store.Options{FS: f, Lazy: lazy}); err != nil {
				return err
			}
		}
		return nil
	}}
	openAt(t, ready)
	n := runFault(t, w, ready, 0, nil, link)
	step := int64(1)
	if testing.Short() {
		step = 20
	}
	for k := int64(1); k <= n; k += step {
		runFault(t, w, ready, k, nil, link)
		runFault(t, w, ready, k, rand.New(rand.NewPCG(uint64(k), 5)), link)
		if t.Failed() {
			t.Fatalf("operation %d of %d", k, n)
		}
	}
	t.Logf("%d operations", n)
}

// pendingOf counts the sessions that are not durable.
func pendingOf(t *testing.T, s *store.Store) int {
	t.Helper()
	list, err := filepath.Glob(s.Root() + "/pending/*/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// syncs counts how often a store waits for the disk.
type syncs struct {
	n     atomic.Int64
	fails atomic.Int64 // the one that fails
}

func counted(t *testing.T, root string, lazy bool) (*store.Store, *syncs) {
	t.Helper()
	c := &syncs{}
	f := &fsys.Fault{FS: fsys.OS{Lazy: lazy}, Before: func(_ int64, op, _ string) error {
		if op == "sync" && c.n.Add(1) == c.fails.Load() {
			return unix.EIO
		}
		return nil
	}}
	s, err := store.Open(root, store.Options{FS: f, Lazy: lazy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unlock(t, root) })
	return s, c
}

// A lazy store never waits for the disk; the next one that is not, does, even
// if all that it needs is there already.
func TestLazySync(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	lazy, c := counted(t, root, true)
	for _, name := range []string{"a", "b"} {
		text(t, lazy, lease(t, lazy), name, name)
		if err := lazy.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if n := pendingOf(t, lazy); c.n.Load() != 0 || n != 2 {
		t.Errorf("%d syncs, %d pending sessions", c.n.Load(), n)
	}
	asking, c := counted(t, root, false)
	if _, err := asking.All(); err != nil {
		t.Fatal(err)
	}
	if err := asking.Sync(); err != nil || c.n.Load() != 0 {
		t.Errorf("one that only asks: %d syncs, %v", c.n.Load(), err)
	}
	relying, c := counted(t, root, false)
	text(t, relying, lease(t, relying), "a", "a")
	if err := relying.Sync(); err != nil || c.n.Load() != 1 || pendingOf(t, relying) != 0 {
		t.Errorf("one that relies on them: %d syncs, %d pending, %v", c.n.Load(), pendingOf(t, relying), err)
	}
	if err := relying.Sync(); err != nil || c.n.Load() != 1 {
		t.Errorf("nothing is pending: %d syncs, %v", c.n.Load(), err)
	}
}

// What the disk did not take is told once, and the next sync goes well without
// it: what was registered until then is checked by the next boot, whoever
// syncs after that.
func TestFailedSync(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	lazy, _ := counted(t, root, true)
	old := text(t, lazy, lease(t, lazy), "left", "left")
	if err := lazy.Sync(); err != nil {
		t.Fatal(err)
	}
	beside, _ := counted(t, root, false)
	living := text(t, beside, lease(t, beside), "living", "living")
	s, c := counted(t, root, false)
	lost := text(t, s, lease(t, s), "lost", "lost")
	c.fails.Store(1)
	if err := s.Sync(); !errors.Is(err, unix.EIO) || pendingOf(t, s) != 3 {
		t.Errorf("a disk that fails: %v, %d pending", err, pendingOf(t, s))
	}
	kept := text(t, s, lease(t, s), "kept", "kept")
	if n := pendingOf(t, s); n != 4 {
		t.Errorf("%d pending: what comes next belongs to a session of its own", n)
	}
	for _, other := range []*store.Store{s, beside, openAt(t, root)} {
		text(t, other, lease(t, other), "kept", "kept")
		if err := other.Sync(); err != nil || pendingOf(t, s) != 3 {
			t.Errorf("later: %d pending, %v", pendingOf(t, s), err)
		}
	}
	// None of it is on the disk.
	for _, p := range []store.Path{old, living, lost, kept} {
		overwrite(t, s.Physical(p), "")
	}
	otherBoot(t, s)
	s = openAt(t, root)
	for _, p := range []store.Path{old, living, lost} {
		if s.Valid(p) {
			t.Errorf("%s is valid", p)
		}
	}
	if !s.Valid(kept) || pendingOf(t, s) != 0 {
		t.Errorf("what was synced: %v, %d pending", s.Valid(kept), pendingOf(t, s))
	}
}

// A record that several sessions wrote is whole if it is what any of them
// wrote.
func TestLazyRecords(t *testing.T) {
	s := open(t)
	for k := range 8 {
		lazy, _ := counted(t, s.Root(), true)
		if err := errors.Join(lazy.PutRecord("memo", "key", fmt.Append(nil, "version ", k)), lazy.PutRecord("memo", "torn", fmt.Append(nil, "version ", k)), lazy.Sync()); err != nil {
			t.Fatal(err)
		}
	}
	overwrite(t, s.Root()+"/db/memo/torn", "version")
	otherBoot(t, s)
	s = openAt(t, s.Root())
	if data, err := s.Record("memo", "key"); err != nil || string(data) != "version 7" {
		t.Errorf("got %q, %v", data, err)
	}
	if data, err := s.Record("memo", "torn"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("torn: %q, %v", data, err)
	}
}

// Many small files are on their way to the disk before the command's end, and
// what goes wrong there is not lost.
func TestEarlySync(t *testing.T) {
	dir := fastDir(t)
	src := dir + "/src"
	for k := range 5000 {
		path := fmt.Sprintf("%s/%d/%d", src, k/500, k)
		err := os.WriteFile(path, nil, 0o644)
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add := func(s *store.Store) {
		t.Helper()
		if _, err := s.AddTree(context.Background(), lease(t, s), "tree", src, nil); err != nil {
			t.Fatal(err)
		}
	}
	s, c := counted(t, dir+"/a", false)
	c.fails.Store(1)
	add(s)
	if err := s.Sync(); !errors.Is(err, unix.EIO) || c.n.Load() != 2 || pendingOf(t, s) != 1 {
		t.Errorf("the early sync failed: %d syncs, %d pending, %v", c.n.Load(), pendingOf(t, s), err)
	}
	if err := s.Sync(); err != nil || c.n.Load() != 3 || pendingOf(t, s) != 1 {
		t.Errorf("once more: %d syncs, %d pending, %v", c.n.Load(), pendingOf(t, s), err)
	}
	// A repaired tree takes no place before it is known to be on the disk.
	item, err := s.All()
	if err != nil || len(item) != 1 {
		t.Fatal(item, err)
	}
	if err := os.Chmod(s.Physical(item[0])+"/0/0", 0o644); err != nil {
		t.Fatal(err)
	}
	c.fails.Store(4)
	r, err := s.Repair(context.Background(), store.RepairOptions{})
	if err != nil || len(r.Failed) != 1 || !errors.Is(r.Failed[0].Err, unix.EIO) {
		t.Errorf("the early sync of a repair failed: %+v, %v", r, err)
	}
	if err := s.Sync(); !errors.Is(err, unix.EIO) {
		t.Errorf("after that: %v", err)
	}
	lazy, c := counted(t, dir+"/b", true)
	add(lazy)
	if err := lazy.Sync(); err != nil || c.n.Load() != 0 {
		t.Errorf("lazy: %d syncs, %v", c.n.Load(), err)
	}
}
