// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

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

// Where the heap lies near what a child needs, it is copied: children that lack
// their own stack would end at once.
func TestHeapNearMappings(t *testing.T) {
	const g = 1 << 30
	for _, tt := range []struct {
		summary      string
		start, place uintptr
		want         bool
	}{
		{"the usual places", 0xc0 << 32, 0x7fff << 32, true},
		{"mappings far below", 0x2000 << 32, 0x1555 << 32, true},
		{"just above what is left out", 100 * g, 164*g + 1, false},
		{"mappings that grow down into it", 100 * g, 220 * g, false},
		{"mappings that grow up into it", 100 * g, 50 * g, false},
		{"within", 100 * g, 101 * g, false},
	} {
		if got := apart(tt.start, tt.place); got != tt.want {
			t.Errorf("%s: %v", tt.summary, got)
		}
	}
	r := newRig(t, nil)
	b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(b); err != nil {
			t.Error(err)
		}
	}()
	start, was := heapStart, heapApart
	defer func() { heapStart, heapApart = start, was }()
	heapStart = uintptr(unsafe.Pointer(unsafe.SliceData(b)))&^(1<<26-1) - 4*g
	heapApart = sync.OnceValue(farFromMappings)
	if out, exit, err := r.eval(r.program("echo up")); err != nil || exit.Code != 0 || out != "up\n" {
		t.Errorf("got %q, %+v, %v", out, exit, err)
	}
}
