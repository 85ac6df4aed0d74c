// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// What the poller does not take is read all the same: as a file, which it never
// takes, so the pipe for which it has no room.
func TestBlockUnpolled(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := unix.Open(plain, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[1])
	for _, tt := range []struct {
		summary string
		fd      int
		blocks  bool
	}{
		{"polled", pipe[0], false},
		{"not polled", file, true},
	} {
		f := os.NewFile(uintptr(tt.fd), tt.summary)
		if err := blockUnpolled(f, tt.fd); err != nil {
			t.Errorf("%s: %v", tt.summary, err)
		}
		flags, err := unix.FcntlInt(uintptr(tt.fd), unix.F_GETFL, 0)
		if err != nil || (flags&unix.O_NONBLOCK == 0) != tt.blocks {
			t.Errorf("%s: flags %#x, %v", tt.summary, flags, err)
		}
		f.Close()
	}
}

// Whoever still wants to end a process whose handle has been given back reaches
// no other one.
func TestSignalAfterClose(t *testing.T) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{pid: os.Getpid(), handle: os.NewFile(uintptr(fd), "pidfd"), ended: make(chan struct{})}
	if err := p.signal(0); err != nil {
		t.Errorf("open: %v", err)
	}
	p.close()
	// The number is taken again, by a process that must live.
	again, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil || again != fd {
		t.Skipf("SKIP-ENV: the number %d was taken by somebody else: %d, %v", fd, again, err)
	}
	defer unix.Close(again)
	if err := p.signal(unix.SIGKILL); err != nil {
		t.Errorf("closed: %v", err)
	}
}

// Descriptors, processes and goroutines do not become more with each program,
// whether it ends well, is killed or never begins.
func TestNothingIsLeft(t *testing.T) {
	r := newRig(t, nil)
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	run := func() {
		for _, script := range []string{"exit 0", "sleep 100 & kill -9 $$", ""} {
			p := r.program(script)
			if script == "" {
				p.Argv = []string{"/nothing"}
			}
			exit, err := Eval(t.Context(), p, Hierarchy{}, Stdio{})
			if (err == nil) != (script != "") || script == "exit 0" && exit != (spec.Exit{}) {
				t.Errorf("%q: %+v, %v", script, exit, err)
			}
		}
	}
	run() // what is made once
	before := count()
	for range 20 {
		run()
	}
	after := count()
	for range 100 {
		if after <= before {
			break
		}
		time.Sleep(10 * time.Millisecond) // others of this process end, too
		after = count()
	}
	if after > before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}
