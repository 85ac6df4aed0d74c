// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// kernel is a group of the test's own in the kernel's hierarchy.
func kernel(t *testing.T) Hierarchy {
	t.Helper()
	h, err := Find()
	if err != nil {
		t.Skipf("SKIP-ENV: %v", err)
	}
	dir := filepath.Join(h.Root, "osbuild-test-"+rand.Text())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("SKIP-ENV: no control group can be made here: %v", err)
	}
	t.Cleanup(func() {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return Hierarchy{Root: dir, Own: dir}
}

// begin starts a process in a group, which never ends by itself.
func begin(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	group, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd()), Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestMake: container root gets what it needs to make groups of its own, and
// nothing by which it could lift a limit.
func TestMake(t *testing.T) {
	h := kernel(t)
	dir, err := h.Place("web", true)
	if err != nil {
		t.Fatal(err)
	}
	const owner = 524288
	start, err := h.Make(Request{Dir: dir, Owner: owner})
	if err != nil {
		t.Fatal(err)
	}
	if start != dir {
		t.Errorf("it begins in %s", start)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]bool{procs: true, "cgroup.threads": true, subtreeControl: true, "memory.oom.group": true, "memory.reclaim": true}
	check := func(name string, want int) {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, name), &st); err != nil || int(st.Uid) != want || int(st.Gid) != want {
			t.Errorf("%s belongs to %d:%d, want %d (%v)", name, st.Uid, st.Gid, want, err)
		}
	}
	check("", owner)
	for _, n := range names {
		if theirs[n.Name()] {
			check(n.Name(), owner)
		} else {
			check(n.Name(), os.Geteuid())
		}
	}
	for file, want := range map[string]string{"cgroup.max.depth": "64", "cgroup.max.descendants": "10000"} {
		if got := words(dir, file); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %s", file, got, want)
		}
	}
	if _, err := h.Make(Request{Dir: dir, Owner: owner}); !errors.Is(err, os.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
}

// TestMakeOfUser: below the caller's own group, the limits are in a group that
// the container cannot see.
func TestMakeOfUser(t *testing.T) {
	h := kernel(t)
	dir, err := h.Place("web", false)
	if err != nil {
		t.Fatal(err)
	}
	start, err := h.Make(Request{Dir: dir, Owner: -1})
	if err != nil || start != filepath.Join(dir, innerName) {
		t.Fatalf("%s, %v", start, err)
	}
	cmd := begin(t, start)
	whole, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := whole.Of(cmd.Process.Pid); !ok || at != start {
		t.Errorf("it is in %s", at)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
}

// TestRemove: what runs in a group and in those below it is gone, and so are
// they.
func TestRemove(t *testing.T) {
	h := kernel(t)
	dir, err := h.Place("web", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Make(Request{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	var started []*exec.Cmd
	for _, sub := range []string{"", "init", "libpod_parent/one/two"} {
		at := filepath.Join(dir, sub)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		started = append(started, begin(t, at))
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	for _, cmd := range started {
		err := cmd.Wait()
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != unix.SIGKILL {
			t.Errorf("a process ended by %v", err)
		}
	}
	for _, gone := range []string{dir, filepath.Dir(dir)} {
		if _, err := os.Lstat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	if err := Remove(dir); err != nil {
		t.Errorf("nothing there: %v", err)
	}
}

// TestRemoveDeep: groups that lie deeper than any path reaches go too, with what
// runs in them.
func TestRemoveDeep(t *testing.T) {
	h := kernel(t)
	dir, err := h.Place("web", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Make(Request{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	at, err := openFolder(unix.AT_FDCWD, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { at.Close() }()
	const nameMax = 255
	name := strings.Repeat("d", nameMax)
	for range unix.PathMax/nameMax + 4 {
		for _, n := range []string{"beside", name} {
			if err := unix.Mkdirat(int(at.Fd()), n, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		next, err := openFolder(int(at.Fd()), name)
		if err != nil {
			t.Fatal(err)
		}
		at.Close()
		at = next
	}
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(at.Fd()), Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
