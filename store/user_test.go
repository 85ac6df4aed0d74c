// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"testing"
)

// testUser is the account that `make test` uses for what must work without
// root.
const testUser = "osbtest"

// Root may do much that a user may not, such as moving a folder that is not
// writable; so the tests run as a user too.
func TestAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP-ENV: not root, so all tests run as a plain user anyway")
	}
	if testing.Short() {
		t.Skip("short: the tests run as root only")
	}
	u, err := user.Lookup(testUser)
	if errors.As(err, new(user.UnknownUserError)) {
		t.Skipf("SKIP-ENV: the user %s does not exist, so the store is tested as root only (useradd -m %[1]s)", testUser)
	}
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	// t.TempDir lies in a folder that only its owner may enter.
	dir, err := os.MkdirTemp("", "osbuild-store-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.short", "-test.run", "^Test[^N]") // Nix has a home of its own
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as %s: %v\n%s", testUser, err, out)
	}
}
