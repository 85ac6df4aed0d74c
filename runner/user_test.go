// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/runner/cgroup"
	"osbuild/runner/spec"
)

// testUser is an ordinary user with subordinate ids, as which root runs all
// tests of this package once more.
const testUser = "osbtest"

func TestAsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the tests are run as a user already")
	}
	u, err := user.Lookup(testUser)
	if err != nil {
		t.Skip("SKIP-ENV: there is no user " + testUser + ": useradd --create-home " + testUser)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	dir := t.TempDir()
	for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	built, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "runner.test")
	copyFile(t, os.Args[0], binary)
	args := []string{"-test.timeout=5m"}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir = "/tmp"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + u.HomeDir, "USER=" + testUser, programsEnv + "=" + built}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if group := delegated(t, uid, gid); group != nil {
		defer group.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	}
	out, err := cmd.CombinedOutput()
	t.Logf("as %s:\n%s", testUser, out)
	if err != nil {
		t.Error(err)
	}
}

// delegated makes a control group for a user, as systemd does for scopes with
// Delegate=yes. Without one the tests of groups skip.
func delegated(t *testing.T, uid, gid int) *os.File {
	t.Helper()
	h, err := cgroup.Find()
	if err != nil {
		return nil
	}
	dir := filepath.Join(h.Root, "osbuild-test-"+rand.Text())
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil
	}
	t.Cleanup(func() {
		if err := cgroup.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"} {
		if err := os.Chown(filepath.Join(dir, name), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	group, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return group
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// runEnv holds what the test binary runs instead of tests, for those that kill
// the runner.
const runEnv = "OSBUILD_TEST_RUN"

// runOptions is the content of runEnv: one of both.
type runOptions struct {
	Container *Options
	Build     *spec.Build
}

func (o runOptions) command(t testing.TB) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), runEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	return cmd
}

// runOnly is a runner as a process of its own.
func runOnly() int {
	var o runOptions
	if err := json.Unmarshal([]byte(os.Getenv(runEnv)), &o); err != nil {
		panic(err)
	}
	os.Unsetenv(runEnv)
	var exit spec.Exit
	var err error
	if o.Build != nil {
		exit, err = Sandbox{}.Run(context.Background(), *o.Build, os.Stderr)
	} else {
		exit, err = Run(context.Background(), *o.Container)
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 125
	}
	return exit.Status()
}

// asProcess starts a container in a runner of its own and waits until the
// registry has it.
func (r *rig) asProcess(o Options) (*exec.Cmd, Instance) {
	r.t.Helper()
	cmd := runOptions{Container: &o}.command(r.t)
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, r.await(o.StateRoot, "testbox")
}
