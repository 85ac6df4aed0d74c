// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// heapSize is the most of Go's heap that is left out of copies. The heap grows
// upwards from a place that Go chooses at random in the lower half of the
// addresses. What the kernel places by itself, and a child needs, lies far from
// there: in the upper half, or without a limit for the stack anywhere (see
// [heapApart]).
const heapSize = 64 << 30

// heapStart is where the heap begins, if what is allocated first is there. Were
// it elsewhere, it would be copied: only slower.
var heapStart = func() uintptr {
	const arena = 64 << 20 // the heap grows by so much
	first := make([]byte, 4096+len(os.Args))
	return uintptr(unsafe.Pointer(unsafe.SliceData(first))) &^ (arena - 1)
}()

// heapApart says that the heap is far from what the kernel places by itself.
// With no limit for the stack, see setrlimit(2), that is not sure; nor where the
// kernel did not give Go the place that it chose.
var heapApart = sync.OnceValue(farFromMappings)

func farFromMappings() bool {
	probe, err := unix.Mmap(-1, 0, 1, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return false
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(probe)))
	return unix.Munmap(probe) == nil && apart(heapStart, at)
}

// apart says whether nothing is left out that lies near a place. A process maps
// much less than heapSize, upwards or downwards.
func apart(start, place uintptr) bool {
	return place+heapSize < start || start+2*heapSize < place
}

// heapless counts who forks without Go's heap at the moment.
var heapless struct {
	sync.Mutex
	count int
}

// withoutHeap leaves Go's heap out of the memory that processes get when they
// are forked, until the last one that asked for it calls again. To copy it, and
// to notice afterwards who writes to which page first, would be more than half
// of a start. Package syscall needs the heap in some of its own forks, those
// into a new user namespace; so it does not stay left out.
func withoutHeap() (again func()) {
	// The stack of a child may be there.
	if sharedMemory == 0 || !heapApart() {
		return func() {}
	}
	heapless.Lock()
	defer heapless.Unlock()
	heapless.count++
	adviseHeap(unix.MADV_DONTFORK) // each time: it may have grown
	return func() {
		heapless.Lock()
		defer heapless.Unlock()
		if heapless.count--; heapless.count == 0 {
			adviseHeap(unix.MADV_DOFORK)
		}
	}
}

// adviseHeap calls madvise(2), which skips over what is not mapped and then
// gives ENOMEM.
func adviseHeap(advice uintptr) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, heapStart, heapSize, advice)
}
