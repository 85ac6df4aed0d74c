// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// KernelLimits asks the kernel, with the limits of this process: what it gets
// is taken back at once.
type KernelLimits struct{}

// Highest implements [Limits].
func (KernelLimits) Highest(resource int, want uint64) (highest uint64, why string) {
	var now unix.Rlimit
	if err := prlimit(resource, nil, &now); err != nil {
		return want, ""
	}
	if want <= now.Max || canRaise(resource, now, want) {
		return want, ""
	}
	if resource == unix.RLIMIT_NOFILE {
		if top := openFilesTop(); top < want && (top <= now.Max || canRaise(resource, now, top)) {
			return max(top, now.Max), fmt.Sprintf("the kernel's fs.nr_open is %d", top)
		}
	}
	return now.Max, fmt.Sprintf("the hard limit here is %s, and raising it needs CAP_SYS_RESOURCE on the machine itself, see setrlimit(2); "+
		"raise it for whoever starts the container", limitText(now.Max))
}

// Priority implements [Limits].
func (KernelLimits) Priority(n int) bool {
	// The nice value is a thread's, see setpriority(2).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return true
	}
	now := 20 - raw // as the system call itself counts
	if n >= now {
		return true
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, n); err != nil {
		return false
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, now)
	return true
}

// canRaise tries a hard limit.
func canRaise(resource int, now unix.Rlimit, hard uint64) bool {
	if err := prlimit(resource, &unix.Rlimit{Cur: now.Cur, Max: hard}, nil); err != nil {
		return false
	}
	_ = prlimit(resource, &now, nil)
	return true
}

// prlimit is the system call itself: the library's remembers each new limit of
// open files, and hands it to every program that is started later.
func prlimit(resource int, set, get *unix.Rlimit) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, uintptr(resource),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// openFilesTop is the highest number of open files that any process may have,
// see proc_sys_fs(5).
func openFilesTop() uint64 {
	data, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		return unix.RLIM_INFINITY
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return unix.RLIM_INFINITY
	}
	return n
}

func limitText(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
