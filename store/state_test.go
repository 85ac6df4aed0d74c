// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/store"
)

func TestRecords(t *testing.T) {
	s := open(t)
	if _, err := s.Record("memo", "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no record: %v", err)
	}
	if keys, err := s.Records("memo"); err != nil || len(keys) > 0 {
		t.Errorf("no records: %q, %v", keys, err)
	}
	for _, step := range []error{
		s.PutRecord("memo", "b", []byte("1")), s.PutRecord("memo", "a", []byte("2")), s.PutRecord("memo", "b", []byte("3")), s.DeleteRecord("memo", "none"),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if data, err := s.Record("memo", "b"); err != nil || string(data) != "3" {
		t.Errorf("got %q, %v", data, err)
	}
	if keys, err := s.Records("memo"); err != nil || !slices.Equal(keys, []string{"a", "b"}) {
		t.Errorf("got %q, %v", keys, err)
	}
	if winner, err := s.PutRecordOnce("memo", "a", []byte("late")); err != nil || string(winner) != "2" {
		t.Errorf("the late writer got %q, %v", winner, err)
	}
	if winner, err := s.PutRecordOnce("memo", "c", []byte("first")); err != nil || string(winner) != "first" {
		t.Errorf("the first writer got %q, %v", winner, err)
	}
	if err := s.DeleteRecord("memo", "a"); err != nil {
		t.Error(err)
	}
	if _, err := s.Record("memo", "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a deleted record: %v", err)
	}
	for _, bad := range [][2]string{{"", "a"}, {"a", ""}, {"..", "a"}, {"a", "../b"}, {"a", ".b"}, {"info", "a"}, {"statcache", "a"}, {"a", "b c"}} {
		if err := s.PutRecord(bad[0], bad[1], nil); err == nil {
			t.Errorf("a record %q was written", bad)
		}
	}
}

func TestLock(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	a, waited, err := s.Lock(ctx, "x")
	if err != nil || waited {
		t.Fatal(waited, err)
	}
	if l, err := s.TryLock("x"); err != nil || l != nil {
		t.Errorf("a held lock was taken: %v, %v", l, err)
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	if _, _, err := s.Lock(short, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for a held lock: %v", err)
	}
	got := make(chan bool)
	go func() {
		b, waited, err := s.Lock(ctx, "x")
		got <- waited && err == nil && b.Unlock() == nil
	}()
	// A collection removes lock files, but none that is held.
	if _, err := s.GC(ctx, store.GCOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	if err := a.Unlock(); err != nil {
		t.Fatal(err)
	}
	if !<-got {
		t.Error("the second one did not get the lock after waiting")
	}
	for _, bad := range []string{"", "a/b", ".x"} {
		if _, _, err := s.Lock(ctx, bad); err == nil {
			t.Errorf("the lock %q was taken", bad)
		}
	}
	if l, err := s.TryLock("y"); err != nil || l == nil || l.Unlock() != nil || l.Unlock() != nil {
		t.Errorf("a free lock: %v, %v", l, err)
	}
}

func TestLease(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	dir, err := l.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.TempDir(); err != nil || again != dir {
		t.Errorf("another folder %s, %v", again, err)
	}
	if err := errors.Join(os.MkdirAll(dir+"/x/y", 0o755), os.Chmod(dir+"/x/y", 0o555), os.Chmod(dir+"/x", 0)); err != nil {
		t.Fatal(err)
	}
	// Another lease leaves it alone.
	m := lease(t, s)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if err := l.Add(scratchA); !errors.Is(err, store.ErrLeaseClosed) {
		t.Errorf("adding to a closed lease: %v", err)
	}
	if _, err := l.TempDir(); !errors.Is(err, store.ErrLeaseClosed) {
		t.Errorf("the folder of a closed lease: %v", err)
	}
	// What a dead process left goes when the next lease is made.
	for _, name := range []string{"leases/dead", "tmp/dead/x/y"} {
		if err := os.MkdirAll(filepath.Join(s.Root(), filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Root(), name), nil, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	lease(t, s)
	for _, name := range []string{"leases/dead", "tmp/dead"} {
		if _, err := os.Stat(filepath.Join(s.Root(), name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

// otherBoot makes the store look as if the machine had crashed since.
func otherBoot(t *testing.T, s *store.Store) {
	t.Helper()
	entries, err := os.ReadDir(s.Root() + "/pending")
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if err := os.Rename(s.Root()+"/pending/"+entries[0].Name(), s.Root()+"/pending/another-boot"); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte(content), 0o444), os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))); err != nil {
		t.Fatal(err)
	}
}

// After a crash of the machine, what was not durable is checked before use;
// what was is trusted.
func TestUncleanBoot(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	durable := text(t, s, l, "durable", "durable")
	if err := errors.Join(s.PutRecord("memo", "durable", []byte("x")), s.Sync()); err != nil {
		t.Fatal(err)
	}
	whole, torn, noInfo := text(t, s, l, "whole", "whole"), text(t, s, l, "torn", "torn"), text(t, s, l, "no-info", "no-info")
	if err := errors.Join(s.PutRecord("memo", "whole", []byte("x")), s.PutRecord("memo", "torn", []byte("x")), s.PutRecord("memo", "empty", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	overwrite(t, s.Physical(torn), "")
	overwrite(t, s.Physical(durable), "not noticed: it was durable, so it is not read again")
	overwrite(t, s.Root()+"/db/info/"+noInfo.Digest()+".narinfo", "")
	overwrite(t, s.Root()+"/db/memo/torn", "y")
	overwrite(t, s.Root()+"/db/memo/empty", "")
	otherBoot(t, s)

	ro, err := store.Open(s.Root(), store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[store.Path]bool{durable: true, whole: false, torn: false, noInfo: false} {
		if got := ro.Valid(p); got != want {
			t.Errorf("read-only: %s is valid: %t", p.Name(), got)
		}
	}
	s = openAt(t, s.Root())
	for p, want := range map[store.Path]bool{durable: true, whole: true, torn: false, noInfo: false} {
		if got := s.Valid(p); got != want {
			t.Errorf("%s is valid: %t", p.Name(), got)
		}
	}
	if keys, err := s.Records("memo"); err != nil || !slices.Equal(keys, []string{"durable", "whole"}) {
		t.Errorf("records: %q, %v", keys, err)
	}
	if all, err := s.All(); err != nil || len(all) != 2 {
		t.Errorf("items: %q, %v", names(all), err)
	}
	if entries, err := os.ReadDir(s.Root() + "/pending"); err != nil || len(entries) > 0 {
		t.Errorf("still pending: %v, %v", entries, err)
	}
	m := lease(t, s)
	text(t, s, m, "torn", "torn")
	text(t, s, m, "no-info", "no-info")
	r, err := s.Verify(context.Background(), store.VerifyOptions{Contents: true})
	if err != nil || len(r.Problems) != 1 || r.Problems[0].Path != durable {
		t.Errorf("%v, %v", r.Problems, err)
	}
}

// What a process without free descriptors cannot read is not taken for damaged.
func TestUncleanBootWithoutDescriptors(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	deep := t.TempDir()
	if err := os.MkdirAll(deep+strings.Repeat("/d", 40), 0o755); err != nil {
		t.Fatal(err)
	}
	i, err := s.AddTree(t.Context(), l, "deep", deep, nil)
	if err != nil {
		t.Fatal(err)
	}
	otherBoot(t, s)
	used, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = uint64(len(used) + 20)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, cause := store.Open(s.Root(), store.Options{})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(cause, unix.EMFILE) {
		t.Errorf("with few descriptors: %v", cause)
	}
	if s := openAt(t, s.Root()); !s.Valid(i.Path) {
		t.Error("it is gone")
	}
}

// The index is a cache: every state of it gives the same answers.
func TestIndex(t *testing.T) {
	s := open(t)
	p := diamond(t, s)
	index := s.Root() + "/db/index.log"
	whole, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for summary, content := range map[string][]byte{
		"whole": whole, "empty": {}, "torn": whole[:len(whole)-5], "torn header": whole[:3], "flipped": flipped, "junk": []byte(strings.Repeat("junk", 100)), "twice": append(slices.Clone(whole), whole...),
	} {
		if err := os.WriteFile(index, content, 0o644); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if all, err := s.All(); err != nil || len(all) != len(p) {
				t.Errorf("%s: %q, %v", summary, names(all), err)
			}
			if refs, err := s.Referrers(p["bottom"]); err != nil || len(refs) != 2 {
				t.Errorf("%s: %q, %v", summary, names(refs), err)
			}
		}
	}
	if err := os.Remove(index); err != nil {
		t.Fatal(err)
	}
	if all, err := s.All(); err != nil || len(all) != len(p) {
		t.Errorf("no index: %q, %v", names(all), err)
	}
	// It lists what is gone, and that is ignored.
	if err := os.Remove(s.Root() + "/db/info/" + p["lone"].Digest() + ".narinfo"); err != nil {
		t.Fatal(err)
	}
	if all, err := s.All(); err != nil || len(all) != len(p)-1 {
		t.Errorf("an item less: %q, %v", names(all), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(root+"/root.json", []byte(`{"store":"/osbuild/store","version":2}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(root, store.Options{}); err == nil || !strings.Contains(err.Error(), "this version does not know") {
		t.Errorf("a newer root: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(file, store.Options{}); err == nil {
		t.Error("a file was opened as a root")
	}
}
