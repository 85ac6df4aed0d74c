// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/fsys"
)

// The crash tests run this binary again with one of these set.
const (
	envCrash  = "OSBUILD_TEST_CRASH"  // root, number of the fatal operation
	envWorker = "OSBUILD_TEST_WORKER" // root, number of the worker
	envModel  = "OSBUILD_TEST_MODEL"  // see modelChild
	envAdds   = "OSBUILD_TEST_ADDS"   // number of the process, root, folder of links
	envMounts = "OSBUILD_TEST_MOUNTS" // set: the mount namespace is our own
)

func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv(envCrash) != "":
		err = crashChild(os.Getenv(envCrash))
	case os.Getenv(envWorker) != "":
		err = worker(os.Getenv(envWorker))
	case os.Getenv(envAdds) != "":
		err = adder(os.Getenv(envAdds))
	case os.Getenv(envModel) != "":
		err = modelChild(os.Getenv(envModel))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// everything does all that changes a store: it adds items of each kind, keeps
// records, makes a root, collects and syncs. It works from any state.
func everything(root, src string, f fsys.FS) (err error) {
	s, err := store.Open(root, store.Options{FS: f})
	if err != nil {
		return err
	}
	l, err := s.NewLease("everything")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	ctx := context.Background()
	a, err := s.AddText(ctx, l, "a", []byte("a"), nil)
	if err != nil {
		return err
	}
	if _, err := s.AddText(ctx, l, "garbage", []byte("g"), []store.Path{a.Path}); err != nil {
		return err
	}
	if _, err := s.AddTree(ctx, l, "tree", src, nil); err != nil {
		return err
	}
	if _, err := s.AddFixed(ctx, l, "fixed", src+"/file", "sha512", nil, false); err != nil {
		return err
	}
	temp, err := l.TempDir()
	if err != nil {
		return err
	}
	// What a builder writes does not go through the store's file system.
	out := temp + "/out"
	if err := errors.Join(os.MkdirAll(out+"/sub", 0o755), os.WriteFile(out+"/sub/f", []byte(scratchA+" "+store.Path(a.Path)), 0o644),
		os.WriteFile(out+"/one", make([]byte, 2000), 0o644), os.WriteFile(out+"/sub/two", make([]byte, 2000), 0o644), os.Symlink(string(scratchA), out+"/l")); err != nil {
		return err
	}
	o, err := s.AddOutput(ctx, l, store.Output{Name: "out", Physical: out, Scratch: scratchA, Candidates: []store.Path{a.Path}})
	if err != nil {
		return err
	}
	if err := s.PutRecord("memo", "key", []byte(o.Path)); err != nil {
		return err
	}
	if _, err := s.PutRecordOnce("realised", "key", []byte(o.Path)); err != nil {
		return err
	}
	if err := s.AddRoot(filepath.Dir(src)+"/result", o.Path); err != nil {
		return err
	}
	if err := s.Sync(); err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	if _, err := s.Optimise(ctx, nil); err != nil {
		return err
	}
	if _, err := s.GC(ctx, store.GCOptions{}); err != nil {
		return err
	}
	return s.Sync()
}

func crashSource(t *testing.T) string {
	t.Helper()
	return writeTree(t, map[string]string{
		"file": "content\n", "big": strings.Repeat("0123456789abcdef", 20_000), "dir/sub/x": "#!x", "dir/l": "-> sub/x", "empty/": "",
	})
}

// crashChild does everything until the n-th operation kills it.
func crashChild(arg string) error {
	part := strings.SplitN(arg, " ", 3)
	fatal, err := strconv.ParseInt(part[0], 10, 64)
	if err != nil {
		return err
	}
	return everything(part[1], part[2], killer(fatal))
}

// killer is a file system whose n-th operation kills the process.
func killer(fatal int64) fsys.FS {
	return &fsys.Fault{FS: fsys.OS{}, Before: func(n int64, _, _ string) error {
		if n == fatal {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {} // the signal comes
		}
		return nil
	}}
}

// killed says whether a process ended by SIGKILL.
func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGKILL
}

// countOps returns how many operations everything takes, for a new store and
// for one where it was done before.
func countOps(t *testing.T, src string) int64 {
	t.Helper()
	f := &fsys.Fault{FS: fsys.OS{}, Before: func(int64, string, string) error { return nil }}
	root := filepath.Join(t.TempDir(), "root")
	if err := everything(root, src, f); err != nil {
		t.Fatal(err)
	}
	unlock(t, root)
	return f.Count()
}

// expectWhole checks that a store which somebody left is sound, that
// everything works in it, and that no garbage is left then.
func expectWhole(t *testing.T, root, src string) {
	t.Helper()
	s, err := store.Open(root, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustVerify(t, s)
	if err := everything(root, src, fsys.OS{}); err != nil {
		t.Errorf("the next run: %v", err)
	}
	mustVerify(t, s)
	if _, err := s.GC(context.Background(), store.GCOptions{}); err != nil {
		t.Error(err)
	}
	all, err := s.All()
	if err != nil || len(all) != 2 {
		t.Errorf("%q remain, %v", all, err)
	}
	for dir, want := range map[string]int{"store": 2, "db/info": 2, "tmp": 0, "trash": 0, "leases": 0, "roots/auto": 1} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if dir == "tmp" {
			// A small file on its way to its place stays for some minutes,
			// because it might have a writer.
			entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return !e.IsDir() })
		}
		if err != nil || len(entries) != want {
			t.Errorf("%s holds %v, want %d (%v)", dir, entries, want, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// spread calls do for some of the numbers 1 to n, the first and last ones
// among them.
func spread(n, some int64, do func(k int64)) {
	step := max(1, n/some)
	for k := int64(1); k <= n; k += step {
		do(k)
	}
	do(n)
}

func TestKill(t *testing.T) {
	t.Parallel()
	src, dir := crashSource(t), fastDir(t)
	n := countOps(t, src)
	runs := int64(60)
	if testing.Short() {
		runs = 10
	}
	spread(n, runs, func(k int64) {
		root := filepath.Join(dir, "root")
		_ = os.Remove(filepath.Dir(src) + "/result")
		// Twice, so that it also dies in a store that is not new.
		for _, at := range []int64{k, (k*7)%n + 1} {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s", envCrash, at, root, src))
			out, err := cmd.CombinedOutput()
			if err != nil && !killed(err) {
				t.Fatalf("killed at %d: %v\n%s", at, err, out)
			}
		}
		expectWhole(t, root, src)
		unlock(t, root)
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	src, dir := crashSource(t), fastDir(t)
	n := countOps(t, src)
	runs := n
	if testing.Short() {
		runs = 20
	}
	spread(n, runs, func(k int64) {
		root := filepath.Join(dir, "root")
		_ = os.Remove(filepath.Dir(src) + "/result")
		f := &fsys.Fault{FS: fsys.OS{}, Before: func(n int64, op, _ string) error {
			// A full disk lets the store go on removing things.
			if n == k && op != "remove" {
				return unix.ENOSPC
			}
			return nil
		}}
		err := everything(root, src, f)
		// Caches and hints may fail silently; what fails must say where the
		// disk is full and what to do.
		if err != nil && (!errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "the disk that holds "+root+" is full (free some space there")) &&
			!strings.Contains(err.Error(), "cannot make "+filepath.Dir(src)+"/result a root") {
			t.Errorf("operation %d: %v", k, err)
		}
		if err != nil {
			for _, dir := range []string{"tmp", "leases"} {
				if entries, _ := os.ReadDir(filepath.Join(root, dir)); len(entries) > 0 {
					t.Errorf("operation %d leaves %v in %s", k, entries, dir)
				}
			}
		}
		expectWhole(t, root, src)
		unlock(t, root)
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
	})
}

// A real disk that is really full, of several sizes.
func TestFullTmpfs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP-ENV: only root can mount a small tmpfs, so no disk is really filled up; faults are still injected")
	}
	if os.Getenv(envMounts) == "" {
		// Once more, where mounts are nobody else's business.
		cmd := exec.Command("/proc/self/exe", "-test.run", "^TestFullTmpfs$", "-test.v")
		cmd.Env = append(os.Environ(), envMounts+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		switch {
		case err != nil && len(out) == 0:
			t.Skipf("SKIP-ENV: this root may not make a mount namespace (%v), so no disk is really filled up; faults are still injected", err)
		case err != nil:
			t.Errorf("%v\n%s", err, out)
		case strings.Contains(string(out), "SKIP-ENV"):
			t.Skipf("%s", out)
		}
		return
	}
	src := crashSource(t)
	for _, pages := range []int{1, 20, 40, 60, 80, 100, 120, 140} {
		mnt := t.TempDir()
		if err := unix.Mount("tmpfs", mnt, "tmpfs", 0, fmt.Sprintf("size=%dk,mode=755", 4*pages)); err != nil {
			t.Skipf("SKIP-ENV: this root may not mount (%v), so no disk is really filled up; faults are still injected", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(mnt, unix.MNT_DETACH) })
		root := mnt + "/root"
		_ = os.Remove(filepath.Dir(src) + "/result")
		err := everything(root, src, fsys.OS{})
		if err == nil {
			if pages < 80 {
				t.Errorf("everything fits in %d pages", pages)
			}
			continue
		}
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "the disk that holds "+root+" is full") {
			t.Errorf("%d pages: %v", pages, err)
		}
		if err := unix.Mount("tmpfs", mnt, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
			t.Fatal(err)
		}
		expectWhole(t, root, src)
	}
}
