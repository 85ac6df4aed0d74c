// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// realGroup makes a control group below the machine's, with the one controller
// that stands in for those of the seed, and removes it at the end.
func realGroup(t *testing.T, controller string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP-ENV: control groups need root")
	}
	top := ""
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			top = dir
			break
		}
	}
	if top == "" {
		t.Skip("SKIP-ENV: there is no cgroup2 file system")
	}
	has, err := os.ReadFile(path.Join(top, "cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Fields(string(has)), controller) {
		t.Skipf("SKIP-ENV: the control groups have no controller %s", controller)
	}
	given, err := os.ReadFile(path.Join(top, "cgroup.subtree_control"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Fields(string(given)), controller) {
		set := func(sign string) error {
			return System{}.Write(path.Join(top, "cgroup.subtree_control"), sign+controller)
		}
		if err := set("+"); errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EBUSY) {
			t.Skipf("SKIP-ENV: the control groups cannot be changed: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			// Another's group may use the controller by now.
			if err := set("-"); err != nil && !errors.Is(err, unix.EBUSY) {
				t.Error(err)
			}
		})
	}
	dir := path.Join(top, fmt.Sprintf("osbuild-task-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Remove(path.Join(dir, leaf))
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// sleeper is a process in a control group, which ends with the test.
func sleeper(t *testing.T, group string) int {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := (System{}).Write(path.Join(group, "cgroup.procs"), fmt.Sprint(cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(data))
}

// The kernel's own control groups, with a member in the group as PID 1 of a
// container is one.
func TestRealGroup(t *testing.T) {
	const standIn = "hugetlb"
	dir := realGroup(t, standIn)
	pid := sleeper(t, dir)
	warnings, failure := do(spec.Task{Controllers: &spec.Controllers{Root: dir, Enable: []string{"cpu", standIn}}}, System{})
	want := "cannot limit cpu in containers of users: the host gives the control group " + dir + " no such controllers; delegate them to it there"
	if failure != "" || !slices.Contains(warnings, want) || len(warnings) != 1 {
		t.Fatalf("got warnings %q and failure %q", warnings, failure)
	}
	if got := read(t, path.Join(dir, "cgroup.subtree_control")); got != standIn {
		t.Errorf("controllers of the groups below: %q", got)
	}
	if got := read(t, path.Join(dir, "cgroup.procs")); got != "" {
		t.Errorf("the group still has members: %q", got)
	}
	if got := read(t, path.Join(dir, leaf, "cgroup.procs")); got != fmt.Sprint(pid) {
		t.Errorf("members of the leaf: %q, want %d", got, pid)
	}

	// A second time changes nothing.
	if warnings, failure = do(spec.Task{Controllers: &spec.Controllers{Root: dir, Enable: []string{standIn}}}, System{}); failure != "" || len(warnings) > 0 {
		t.Errorf("the second time: warnings %q and failure %q", warnings, failure)
	}

	if warnings, failure = do(seedOwner(dir), System{}); failure != "" || len(warnings) > 0 {
		t.Fatalf("owner: got warnings %q and failure %q", warnings, failure)
	}
	for name, want := range map[string]string{
		"": "775 0:987", "cgroup.procs": "664 0:987", "cgroup.subtree_control": "664 0:987", "cgroup.threads": "664 0:987",
		"cgroup.max.depth": "644 0:0",
	} {
		if got := stat(t, path.Join(dir, name)); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
	// A member of the group of users makes a control group, moves a process of
	// its own from the leaf into it, and enables controllers below.
	memberMoves(t, dir)
}

// memberMoves does what podman does, as a user whose one privilege is the group.
func memberMoves(t *testing.T, dir string) {
	t.Helper()
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skipf("SKIP-ENV: becoming another user needs a program: %v", err)
	}
	script := `set -e
mkdir "$1/own"
read pid rest </proc/self/stat
echo $pid >"$1/own/cgroup.procs"
grep -q /own$ /proc/self/cgroup
echo $pid >"$1/init/cgroup.procs" 2>/dev/null && exit 7
exit 0
`
	cmd := exec.Command("sh", "-c", `echo $$ >"$1/init/cgroup.procs"; exec setpriv --reuid=12345 --regid=12345 --groups=987 sh -c "$2" sh "$1"`, "sh", dir, script)
	out, err := cmd.CombinedOutput()
	t.Cleanup(func() { _ = os.Remove(path.Join(dir, "own")) })
	if err != nil {
		t.Errorf("a member of the group cannot make a control group: %v: %s", err, out)
	}
}
