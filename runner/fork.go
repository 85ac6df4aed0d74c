// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"osbuild/runner/mount"
)

// A Go program may not fork and go on in Go: the child has one thread, no
// scheduler and no garbage collector. It may run assembly-like Go, though: no
// allocation, no stack growth, no calls but to raw system calls. So the parent
// lays out everything the child will do as a mount.Code, and the child runs the
// small loop below over it. That saves the exec of a helper program, about a
// third of a start, and there is no second program to trust.

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

// cloneArgs is the kernel's struct clone_args, version 1.
type cloneArgs struct {
	flags      uint64
	pidfd      uint64
	childTID   uint64
	parentTID  uint64
	exitSignal uint64
	stack      uint64
	stackSize  uint64
	tls        uint64
	setTID     uint64
	setTIDSize uint64
	cgroup     uint64
}

// record is what a child tells its parent over the report pipe.
type record struct {
	kind  uint32
	label int32
	value uint64
}

const recordSize = int(unsafe.Sizeof(record{}))

// Kinds of records.
const (
	recordFailure = iota + 1 // value is an errno
	recordPID                // value is the PID of the second stage
	recordStatus             // value is a wait status
)

// fork makes a child with clone3 that runs code from its first instruction, and
// reports to fd. All signals stay blocked in the child until the code unblocks
// them, and no handler of the parent is left in it.
//
//go:noinline
func fork(code *mount.Code, args *cloneArgs, reportFD int) (int, syscall.Errno) {
	var regs [mount.Regs + 1]uintptr
	first := &code.Instrs[0]
	count := len(code.Instrs)
	// Other forks of this process close descriptors between fork and exec only
	// if none is made meanwhile; hold them off as os/exec does.
	syscall.ForkLock.Lock()
	pid, errno := forkAndRun(first, count, &regs, args, uintptr(reportFD))
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(code)
	return int(pid), errno
}

//go:norace
//go:noinline
func forkAndRun(first *mount.Instr, count int, regs *[mount.Regs + 1]uintptr, args *cloneArgs, reportFD uintptr) (uintptr, syscall.Errno) {
	runtimeBeforeFork()
	pid, _, errno := syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0)
	if errno != 0 || pid != 0 {
		runtimeAfterFork()
		return pid, errno
	}
	execute(first, count, regs, reportFD)
	return 0, 0 // not reached
}

// execute is the child. It never returns.
//
//go:norace
//go:nosplit
//go:noinline
func execute(first *mount.Instr, count int, regs *[mount.Regs + 1]uintptr, reportFD uintptr) {
	var rec record
	pc := 0
	for pc < count {
		in := (*mount.Instr)(unsafe.Add(unsafe.Pointer(first), uintptr(pc)*unsafe.Sizeof(*first)))
		var a [6]uintptr
		for i := range a {
			a[i] = in.Args[i]
			if r := in.From[i]; r != 0 && r <= mount.Regs {
				a[i] = regs[r]
			}
		}
		var result uintptr
		var errno syscall.Errno
		switch in.Nr {
		case mount.DoFork:
			result, _, errno = syscall.RawSyscall(unix.SYS_CLONE3, a[0], unsafe.Sizeof(cloneArgs{}), 0)
			if errno == 0 && result == 0 {
				pc = int(in.Jump)
				continue
			}
		case mount.DoReport:
			rec.kind, rec.label, rec.value = uint32(a[0]), in.Label, uint64(a[1])
			report(reportFD, &rec)
		case mount.DoDecimal:
			decimal(a[0], in.Number)
		case mount.DoReap:
			rec.kind, rec.label, rec.value = uint32(a[1]), in.Label, uint64(reap(a[0]))
			report(reportFD, &rec)
			exit(0)
		default:
			result, _, errno = syscall.RawSyscall6(in.Nr, a[0], a[1], a[2], a[3], a[4], a[5])
		}
		if errno == unix.EINTR {
			continue
		}
		if errno == 0 && in.Exact && result != in.Want {
			errno = unix.EIO
		}
		switch {
		case errno == 0:
			if in.Save != 0 && in.Save <= mount.Regs {
				regs[in.Save] = result
			}
			pc++
		case in.Jump != 0 && in.Nr != mount.DoFork:
			pc = int(in.Jump)
		default:
			rec.kind, rec.label, rec.value = recordFailure, in.Label, uint64(errno)
			report(reportFD, &rec)
			exit(125)
		}
	}
	exit(125)
}

//go:norace
//go:nosplit
func report(fd uintptr, rec *record) {
	_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(rec)), uintptr(recordSize))
}

//go:norace
//go:nosplit
func exit(status uintptr) {
	for {
		_, _, _ = syscall.RawSyscall(unix.SYS_EXIT_GROUP, status, 0, 0)
	}
}

// reap waits for all children until the one with that PID has ended. Its wait
// status is returned; the others are orphans that PID 1 inherited.
//
//go:norace
//go:nosplit
func reap(pid uintptr) uint32 {
	var status uint32
	for {
		got, _, errno := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&status)), 0, 0, 0, 0)
		if errno == 0 && got == pid {
			return status
		}
		if errno == unix.ECHILD {
			return 125 << 8
		}
	}
}

// decimal writes n into buf, slashes first: the buffer is the middle of a path,
// where several slashes are as good as one.
//
//go:norace
//go:nosplit
func decimal(n uintptr, buf *[mount.Digits]byte) {
	for i := mount.Digits - 1; i >= 0; i-- {
		buf[i] = '/'
		if n > 0 {
			buf[i] = byte('0' + n%10)
			n /= 10
		}
	}
}
