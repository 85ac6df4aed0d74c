// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// TestMain lets the test binary hold a lock, which must be another process's.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "hold-for-test" {
		f, err := os.OpenFile(os.Args[2], os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil {
			err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		}
		if err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the test closes it
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLocks(t *testing.T) {
	lockPatience = 20 * time.Millisecond
	defer func() { lockPatience = 15 * time.Second }()
	s := newSandbox(t, base+"/etc/subuid.lock 0600 99999\n/etc/subuid 0644 gone:20000:5\\n")
	holder := exec.Command("/proc/self/exe", "hold-for-test", filepath.Join(s.dir, "etc/.pwd.lock"))
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	p := spec.ActivationPlan{Steps: plan("e1-etc").Steps[3:4]} // accounts
	if got := report(Run(s.Root, p, Options{Today: 1, Ids: 65536})); !strings.Contains(got, "another program holds /etc/.pwd.lock") {
		t.Errorf("while the lock is held: %s", got)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "etc/passwd")); err == nil {
		t.Error("accounts were written while the lock was held")
	}
	in.Close()
	if err := holder.Wait(); err != nil {
		t.Fatal(err)
	}
	// The lock of a dead usermod does not last.
	var messages []string
	o := Options{Today: 1, Ids: 65536, Message: func(m string) { messages = append(messages, m) }}
	if got := report(Run(s.Root, p, o)); got != "" {
		t.Errorf("afterwards: %s", got)
	}
	if got := strings.Join(messages, "\n"); !strings.Contains(got, "the lock /etc/subuid.lock is stale") {
		t.Errorf("messages: %s", got)
	}
	if got := s.dump("/etc"); strings.Contains(got, "subuid.lock") || !strings.Contains(got, "gone:20000:5") {
		t.Errorf("/etc afterwards:\n%s", got)
	}
}
