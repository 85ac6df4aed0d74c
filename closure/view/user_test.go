// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package view

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// testUser is an ordinary user, as which root runs all tests once more: a user
// may not move folders without write permission, nor link files of others.
const testUser = "osbtest"

// asUser is a command that runs this test binary as that user.
func asUser(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP-ENV: only root can be another user")
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
	// Not t.TempDir, which only its owner may enter.
	dir, err := os.MkdirTemp("", "view-user-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	from, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	binary := filepath.Join(dir, "view.test")
	to, err := os.OpenFile(binary, os.O_CREATE|os.O_WRONLY, 0o755)
	if err == nil {
		_, err = io.Copy(to, from)
	}
	if err == nil {
		err = to.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + u.HomeDir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return cmd
}

func TestAsUser(t *testing.T) {
	if out, err := asUser(t).CombinedOutput(); err != nil {
		t.Errorf("as %s: %v\n%s", testUser, err, out)
	}
}

// A store of another user: its views can be used, but not made.
func TestStoreOfAnotherUser(t *testing.T) {
	cmd := asUser(t)
	r := newRig(t)
	a, b := r.item("a", map[string]string{"a": "a"}), r.item("b", map[string]string{"b": "b"})
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%s|%s,%s", childEnv, r.s.Root(), a.Item, b.Item))
	again := *cmd
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "only the owner of "+r.s.Root()) {
		t.Errorf("got %v, %s", err, out)
	}
	v := r.make(a, b)
	if out, err := again.CombinedOutput(); err != nil || string(out) != v.Dir+"\n" {
		t.Errorf("got %v, %s", err, out)
	}
}
