// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The first process of a container is a copy of the runner, but of what the
// runner holds in memory it gets nothing.
func TestFirstProcessHasNoHeap(t *testing.T) {
	if sharedMemory == 0 {
		t.Skip("SKIP-ENV: children get a copy of everything here: the race detector is on, or the processor is another one")
	}
	r := newRig(t, nil)
	const size = 64 << 20
	secrets := make([]byte, size)
	for i := range secrets {
		secrets[i] = 0xa5
	}
	p := r.program("read -r all resident rest </proc/1/statm; echo $resident")
	out, exit, err := r.eval(p)
	runtime.KeepAlive(secrets)
	if err != nil || exit.Code != 0 {
		t.Fatalf("got %+v, %v\n%s", exit, err, out)
	}
	pages, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	if got := pages * unix.Getpagesize(); got == 0 || got > size/2 {
		t.Errorf("the first process has %d bytes of memory, as one with a copy of the runner's heap", got)
	}
}

// Package syscall forks into a new user namespace with a copy of the memory, on
// a stack that is in the heap: that works as before when no start is on the way.
func TestHeapIsCopiedAgain(t *testing.T) {
	fork := func() error {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
		return cmd.Run()
	}
	if err := fork(); err != nil {
		t.Skip("SKIP-ENV: no user namespaces here: " + err.Error())
	}
	first, second := withoutHeap(), withoutHeap()
	first()
	second()
	if err := fork(); err != nil {
		t.Error(err)
	}
}
