// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// A program that goes to the background leaves our sight when the process that
// we started ends: what it forked may have a session and a group of its own.
// When its PID file never comes, nothing names the daemon, and it must not stay
// behind to hold the port that the next one needs. So such a process is marked
// at its start with what its descendants keep of it.

// mark is what tells the descendants of a process.
type mark struct {
	began uint64
	// pipe is the log's, as /proc/PID/fd shows it.
	pipe string
	// program is the file that runs.
	program string
}

// newMark is the mark of a process that has just started and writes to out.
func newMark(pid int, p spec.Process, out *os.File) *mark {
	m := &mark{program: p.Argv[0]}
	if st, err := readStat(pid); err == nil {
		m.began = st.began
	}
	var st unix.Stat_t
	if out != nil && unix.Fstat(int(out.Fd()), &st) == nil {
		m.pipe = fmt.Sprintf("pipe:[%d]", st.Ino)
	}
	return m
}

// sweepRounds bounds how often a sweep looks again, for processes that fork
// while it looks.
const sweepRounds = 20

// sweep kills what the process of a job has left.
func (s *supervisor) sweep(p process, j job) {
	c, ok := p.(*child)
	if !ok || c.mark == nil {
		return
	}
	byProgram := !s.machine.alsoStarts(j)
	killed := map[int]bool{}
	for range sweepRounds {
		before := len(killed)
		for _, pid := range descendants(os.Getpid()) {
			if s.children[pid] != nil || killed[pid] || !s.left(c, pid, byProgram) {
				continue
			}
			for _, each := range append(descendants(pid), pid) {
				killed[each] = true
				_ = unix.Kill(each, sigkill)
			}
		}
		if len(killed) == before {
			return
		}
	}
}

// left says whether a process that has lost its parent comes from c.
func (s *supervisor) left(c *child, pid int, byProgram bool) bool {
	st, err := readStat(pid)
	if err != nil || st.parent != os.Getpid() || st.began < c.mark.began {
		return false
	}
	if st.group == c.id || st.session == c.id {
		return true
	}
	for _, fd := range []int{1, 2} {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err == nil && to == c.mark.pipe {
			return true
		}
	}
	if !byProgram || s.children[st.session] != nil || s.children[st.group] != nil {
		return false // or it is another one's, which lives
	}
	var theirs, ours unix.Stat_t
	return unix.Stat(fmt.Sprintf("/proc/%d/exe", pid), &theirs) == nil && unix.Stat(c.mark.program, &ours) == nil &&
		theirs.Dev == ours.Dev && theirs.Ino == ours.Ino
}

// alsoStarts says whether another service is just starting the program of a
// job: then it does not tell whose a process is.
func (m *machine) alsoStarts(j job) bool {
	return slices.ContainsFunc(m.services, func(s *service) bool {
		p := s.Start.Exec
		return s.name != j.name && s.state == spec.StateStarting && p != nil && p.PIDFile != "" && p.Argv[0] == j.process.Argv[0]
	})
}
