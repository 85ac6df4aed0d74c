// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waitable returns the pid of a child that has ended and is not reaped yet, or
// 0 when there is none now.
func waitable() (int, error) {
	// siginfo_t: three ints, padding to a word, then the pid.
	var info [16]uint64
	const word = unsafe.Sizeof(uintptr(0))
	const pidAt = (3*4 + word - 1) / word * word
	_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)),
		unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), pidAt))), nil
}

// procStat is what /proc/PID/stat tells of a process, see proc(5).
type procStat struct {
	parent, group, session int
	// began counts ticks since the machine started.
	began uint64
}

func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	st, err := parseStat(data)
	if err != nil {
		return procStat{}, fmt.Errorf("cannot read /proc/%d/stat: %w", pid, err)
	}
	return st, nil
}

// parseStat reads "PID (NAME) STATE PPID PGRP SESSION …". The name is the
// process's to choose and may hold anything, brackets and line breaks too.
func parseStat(data []byte) (st procStat, err error) {
	_, rest, _ := bytes.Cut(data[max(bytes.LastIndexByte(data, ')'), 0):], []byte(" "))
	fields := strings.Fields(string(rest))
	const beganAt = 19
	if len(fields) <= beganAt {
		return st, fmt.Errorf("it has %d fields behind the name", len(fields))
	}
	for i, to := range []*int{&st.parent, &st.group, &st.session} {
		if *to, err = strconv.Atoi(fields[i+1]); err != nil {
			return procStat{}, err
		}
	}
	if st.began, err = strconv.ParseUint(fields[beganAt], 10, 64); err != nil {
		return procStat{}, err
	}
	return st, nil
}

// parentOf reads a process's parent.
func parentOf(pid int) (int, error) {
	st, err := readStat(pid)
	return st.parent, err
}

// killAll signals every process but this one. PID 1 reaches all of its
// namespace; otherwise it is our descendants alone, for the rest of the system
// belongs to somebody else.
func (s *supervisor) killAll(sig syscall.Signal) bool {
	if os.Getpid() == 1 {
		err := unix.Kill(-1, sig)
		s.reap()
		if err != nil {
			return false
		}
		return unix.Kill(-1, 0) == nil
	}
	found := false
	for _, pid := range descendants(os.Getpid()) {
		found = true
		_ = unix.Kill(pid, sig)
	}
	return found
}

// descendants lists the processes below root in the tree of processes.
func descendants(root int) (out []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, err := parentOf(pid); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		out = append(out, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return out
}
