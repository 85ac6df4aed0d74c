// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os"
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
//
// A child that lives for a moment only may share the runner's memory instead of
// getting a copy of it (cloneVM), which saves the copying of page tables, the
// page faults that follow in both, and the taking apart. Why neither kind can
// disturb the Go runtime, nor be disturbed by it:
//
//   - All that the child works with is its own [child] and the memory of its
//     code, which is not Go's and lasts until the child has been waited for.
//     The loop stores no Go pointers, so there is no write barrier.
//   - It runs on a stack inside its [child]. It is a stack to the processor
//     alone: every function on it is nosplit, so none looks at g. That is nil:
//     where a thread keeps it is in the [child] too, and not in Go's heap.
//   - Signals are blocked in the child from its first instruction, because they
//     are blocked in the thread that forks; so no handler runs on that stack,
//     no preemption signal is taken, and what is sent to the whole process
//     group stays pending. CLONE_CLEAR_SIGHAND takes the handlers away before
//     the code unblocks signals, which it does only just before execve.
//   - PID 1 as reaper shares its own copy of the memory with the program until
//     that is executed; the kernel stops it meanwhile, so the two can share one
//     [child] too.
//   - The thread that forks cannot be preempted and its stack cannot move
//     between BeforeFork and AfterFork. It is not held up any longer: unlike
//     vfork's, the child has a stack of its own.
//
// The memory is shared with no process that others could look into: the child
// is the runner's own, ends before a program is started in the namespaces that
// it makes, and where it changes its ids the kernel closes the memory to all
// but host root (its "dumpable" flag, here the runner's).
//
// PID 1 of a container lives as long as that, and so has a copy; but not of Go's
// heap, which it has no use for (see [withoutHeap]).

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

// childStack is the size of a stack for the loop, which needs less than 1 KiB.
const childStack = 4096

// cloneVM is CLONE_VM where [cloneOn] exists, and otherwise 0: then the memory
// is copied.
const cloneVM = sharedMemory * unix.CLONE_VM

// child is all that a forked process works with besides its code.
type child struct {
	first    *mount.Instr
	count    int
	reportFD uintptr
	regs     [mount.Regs + 1]uintptr
	record   record
	args     cloneArgs
	// tls is the memory of the thread: Go has g in front of the address that the
	// register FS holds.
	tls   [2]uintptr
	stack [childStack]byte
}

// fork makes a child with clone3 that runs code from its first instruction, and
// reports to fd. With a group it begins in that control group. All signals stay
// blocked in the child until the code unblocks them, and no handler of the
// parent is left in it. The code must not be released until the process has been
// waited for.
func fork(code *mount.Code, flags uint64, reportFD int, group *os.File) (int, error) {
	first, err := code.Seal()
	if err != nil {
		return 0, err
	}
	c := mount.New[child](code)
	c.first, c.count, c.reportFD = first, len(code.Instrs), uintptr(reportFD)
	c.args = cloneArgs{flags: flags | cloneClearSighand, exitSignal: uint64(unix.SIGCHLD)}
	if sharedMemory != 0 {
		c.args.stack, c.args.stackSize = uint64(uintptr(unsafe.Pointer(&c.stack))), childStack
		c.args.flags |= unix.CLONE_SETTLS
		c.args.tls = uint64(uintptr(unsafe.Pointer(&c.tls[1])))
	}
	if group != nil {
		defer runtime.KeepAlive(group)
		c.args.flags |= unix.CLONE_INTO_CGROUP
		c.args.cgroup = uint64(group.Fd())
	}
	// Other forks of this process close descriptors between fork and exec only
	// if none is made meanwhile; hold them off as os/exec does.
	syscall.ForkLock.Lock()
	pid, errno := forkAndRun(c)
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, errno
	}
	return int(pid), nil
}

// cloneClearSighand is CLONE_CLEAR_SIGHAND: no handler of the runner's survives
// into the child, where no Go runtime could run it.
const cloneClearSighand = 0x100000000

//go:norace
//go:nocheckptr
//go:noinline
func forkAndRun(c *child) (pid uintptr, errno syscall.Errno) {
	runtimeBeforeFork()
	if c.args.stack != 0 {
		pid, errno = cloneOn(uintptr(unsafe.Pointer(&c.args)), unsafe.Sizeof(c.args), c, 0)
	} else {
		pid, _, errno = syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&c.args)), unsafe.Sizeof(c.args), 0)
		if errno == 0 && pid == 0 {
			execute(c, 0)
		}
	}
	runtimeAfterFork()
	return pid, errno
}

// execute is the child, from instruction pc. It never returns.
//
//go:norace
//go:nocheckptr
//go:nosplit
//go:noinline
func execute(c *child, pc int) {
	rec := &c.record
	for pc < c.count {
		in := (*mount.Instr)(unsafe.Add(unsafe.Pointer(c.first), uintptr(pc)*unsafe.Sizeof(*c.first)))
		var a [6]uintptr
		for i := range a {
			a[i] = in.Args[i]
			if r := in.From[i]; r != 0 && r <= mount.Regs {
				a[i] = c.regs[r]
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
		case mount.DoForkOn:
			result, errno = cloneOn(a[0], unsafe.Sizeof(cloneArgs{}), c, int(in.Jump))
		case mount.DoReport:
			rec.kind, rec.label, rec.value = uint32(a[0]), in.Label, uint64(a[1])
			report(c.reportFD, rec)
		case mount.DoDecimal:
			decimal(a[0], in.Number)
		case mount.DoReap:
			rec.kind, rec.label, rec.value = uint32(a[1]), in.Label, uint64(reap(a[0]))
			report(c.reportFD, rec)
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
				c.regs[in.Save] = result
			}
			pc++
		case in.Jump != 0 && in.Nr != mount.DoFork && in.Nr != mount.DoForkOn:
			pc = int(in.Jump)
		default:
			rec.kind, rec.label, rec.value = recordFailure, in.Label, uint64(errno)
			report(c.reportFD, rec)
			exit(125)
		}
	}
	exit(125)
}

//go:norace
//go:nocheckptr
//go:nosplit
func report(fd uintptr, rec *record) {
	_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(rec)), uintptr(recordSize))
}

//go:norace
//go:nocheckptr
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
//go:nocheckptr
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
//go:nocheckptr
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
