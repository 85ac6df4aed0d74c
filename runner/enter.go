// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// Stdio are the three descriptors of a program; nil is /dev/null.
type Stdio struct{ In, Out, Err *os.File }

// files are the three descriptors; done closes what was opened for them, once
// the program has them.
func (s Stdio) files() (_ []*os.File, done func(), err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	out := []*os.File{s.In, s.Out, s.Err}
	for i, f := range out {
		if f == nil {
			out[i] = null
		}
	}
	opened := []*os.File{null}
	if in, err := s.input(); err != nil {
		null.Close()
		return nil, nil, err
	} else if in != nil {
		out[0] = in
		opened = append(opened, in)
	}
	return out, func() {
		for _, f := range opened {
			f.Close()
		}
	}, nil
}

// input is a pipe with the content of In, if that is a file: a program could
// open the descriptor of a file again, for writing, when it has the ids of the
// file's owner on the host, as root of a user's container has.
func (s Stdio) input() (*os.File, error) {
	if s.In == nil {
		return nil, nil
	}
	st, err := s.In.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return nil, nil // what cannot be examined is not there: the program sees that
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	go func() {
		defer w.Close()
		// It ends early where the program does not read everything.
		_, _ = io.Copy(w, s.In)
	}()
	return r, nil
}

// leaveGrace is how long an entered program may take to end on SIGTERM.
const leaveGrace = 3 * time.Second

// Exec runs a program in the container, in all its namespaces, and returns how
// it ended. Its environment is p.Env and nothing else. With tty it gets a
// terminal of the container's own, connected with stdio; it never gets the
// caller's terminal to control. When ctx ends, it gets SIGTERM, then SIGKILL.
func (i Instance) Exec(ctx context.Context, p spec.Process, stdio Stdio, tty bool) (spec.Exit, error) {
	exit, err := i.exec(ctx, p, stdio, tty)
	if err != nil {
		return exit, fmt.Errorf("cannot run a program in container %s: %w", i.Name, err)
	}
	return exit, nil
}

func (i Instance) exec(ctx context.Context, p spec.Process, stdio Stdio, tty bool) (spec.Exit, error) {
	target, err := i.open()
	if err != nil {
		return spec.Exit{}, err
	}
	defer unix.Close(target)
	e := &entrance{target: target, process: p, flags: ownNamespaces(i.PID)}
	if e.argv, err = findProgram(i.PID, p.Argv, p.Env); err != nil {
		return spec.Exit{}, err
	}
	root, err := openRoot(i.PID)
	if err != nil {
		return spec.Exit{}, err
	}
	defer root.close()
	if e.account, err = root.account(p.User, p.Group, p.SupplementaryGroups); err != nil {
		return spec.Exit{}, err
	}
	own := stdio
	if tty {
		own = Stdio{} // the terminal takes their place
	}
	files, done, err := own.files()
	if err != nil {
		return spec.Exit{}, err
	}
	defer done()
	e.files = files
	var term *terminal
	if tty {
		if term, err = openTerminal(root); err != nil {
			return spec.Exit{}, err
		}
		defer term.close()
		term.resize(stdio)
		e.files = []*os.File{term.slave, term.slave, term.slave}
		e.tty = true
	}
	if e.group, err = i.joinGroup(); err != nil {
		return spec.Exit{}, err
	}
	if e.group != nil {
		defer e.group.Close()
	}
	proc, err := e.start(ctx)
	if err != nil {
		return spec.Exit{}, err
	}
	defer proc.close()
	if term != nil {
		stop := term.connect(stdio)
		defer stop()
	}
	select {
	case <-proc.ended:
	case <-ctx.Done():
		_ = proc.signal(unix.SIGTERM)
		select {
		case <-proc.ended:
		case <-time.After(leaveGrace):
			proc.kill()
		}
	}
	return proc.wait()
}

// ownNamespaces are the namespaces of a process that differ from ours, which
// are the ones to be joined: joining one's own is refused.
func ownNamespaces(pid int) uint64 {
	var flags uint64
	for _, ns := range []struct {
		name string
		flag uint64
	}{
		{"user", unix.CLONE_NEWUSER},
		{"mnt", unix.CLONE_NEWNS},
		{"pid", unix.CLONE_NEWPID},
		{"net", unix.CLONE_NEWNET},
		{"ipc", unix.CLONE_NEWIPC},
		{"uts", unix.CLONE_NEWUTS},
		{"cgroup", unix.CLONE_NEWCGROUP},
	} {
		theirs, err1 := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns.name))
		ours, err2 := os.Readlink("/proc/self/ns/" + ns.name)
		if err1 == nil && err2 == nil && theirs != ours {
			flags |= ns.flag
		}
	}
	return flags
}

// entrance is one program that joins a container, as data.
type entrance struct {
	target  int // pidfd of the container's PID 1
	flags   uint64
	process spec.Process
	argv    []string
	account account
	files   []*os.File
	tty     bool
	// group is the control group that the process begins in, if it may.
	group *os.File
	// launcher is the first program that the process executes.
	launcher *os.File
}

// code joins the namespaces, forks, because a PID namespace is entered by
// children alone, and executes the program.
func (e *entrance) code(p pipes) (*mount.Code, error) {
	a := asm{Code: &mount.Code{}, job: &job{files: e.files}, up: p.upW.Fd(), down: p.downR.Fd()}
	a.Begin("leave the runner")
	a.Do(unix.SYS_CLOSE, uintptr(p.up))
	a.Do(unix.SYS_CLOSE, p.downW.Fd())
	a.Do(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	// From inside, /proc/PID of this process would lead to the host's files.
	a.Do(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	a.Begin("join the container's namespaces")
	a.Do(unix.SYS_SETNS, uintptr(e.target), uintptr(e.flags))
	fork := int(a.Next())
	a.Do(mount.DoFork, mount.Data(a.Code, &cloneArgs{flags: unix.CLONE_PARENT})).Save = regChild
	a.Do(mount.DoReport, recordPID).From[1] = regChild
	a.Do(unix.SYS_EXIT_GROUP, 0)
	a.Instrs[fork].Jump = a.Next()

	a.await()
	if err := a.limitsOf(e.process); err != nil {
		a.Release()
		return nil, err
	}
	a.Begin("take the ids of the program")
	groups := append(slices.Clone(e.account.groups), 0)
	start := a.Next()
	a.Do(unix.SYS_SETGROUPS, uintptr(len(groups)-1), mount.List(a.Code, groups))
	a.SkipFrom(start) // refused where root alone is mapped
	gid, uid := uintptr(e.account.gid), uintptr(e.account.uid)
	a.Do(unix.SYS_SETRESGID, gid, gid, gid)
	a.Do(unix.SYS_SETRESUID, uid, uid, uid)
	a.dieWithRunner()
	a.descriptors()
	if e.tty {
		a.Begin("take the terminal")
		a.Do(unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
	}
	if err := a.execLaunched(e); err != nil {
		a.Release()
		return nil, err
	}
	return a.Code, nil
}

// execLaunched is exec by way of the launcher, whose file e keeps.
func (a asm) execLaunched(e *entrance) error {
	a.exec(e.process.Directory, e.argv, e.process.Env)
	in := &a.Instrs[len(a.Instrs)-1]
	var err error
	if e.launcher, err = launcher(a.up, in.Label); err != nil {
		return err
	}
	argv, env := in.Args[1], in.Args[2]
	in.Nr, in.Args = unix.SYS_FCNTL, [6]uintptr{a.up, unix.F_SETFD, 0}
	a.Do(unix.SYS_EXECVEAT, e.launcher.Fd(), a.Text(""), argv, env, unix.AT_EMPTY_PATH)
	return nil
}

// limitsOf sets the umask and the resource limits of a process.
func (a asm) limitsOf(p spec.Process) error {
	a.limits()
	if p.Umask != nil {
		a.Do(unix.SYS_UMASK, uintptr(*p.Umask))
	}
	for name, l := range p.Limits {
		resource, ok := resources[strings.ToLower(name)]
		if !ok {
			return fmt.Errorf("unknown limit %q", name)
		}
		a.Do(unix.SYS_PRLIMIT64, 0, resource, mount.Data(a.Code, &unix.Rlimit{Cur: uint64(l.Soft), Max: uint64(l.Hard)}), 0)
	}
	return nil
}

// resources are the names of setrlimit(2). An unlimited -1 is the kernel's
// RLIM_INFINITY when read as unsigned.
var resources = map[string]uintptr{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// start makes the process. It is a child of ours, so its status comes unchanged.
// Until it runs it is killed when ctx ends: a container that froze the group it
// begins in would hold it for ever, and us with it.
func (e *entrance) start(ctx context.Context) (*process, error) {
	return keep(func() (*process, error) {
		pp, err := newPipes()
		if err != nil {
			return nil, err
		}
		code, err := e.code(pp)
		if err != nil {
			pp.close()
			return nil, err
		}
		defer e.launcher.Close()
		// With a copy of the memory, because the container lives already: none of
		// its processes may ever meet one that has the runner's.
		defer withoutHeap()()
		pid, err := fork(code, 0, int(pp.upW.Fd()), e.group)
		if (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) && e.group != nil {
			// Only who may write to a group above both can change from one to
			// the other; then it stays in the caller's. Any other reason can be
			// the container's doing, and is no way out of its limits.
			pid, err = fork(code, 0, int(pp.upW.Fd()), nil)
		}
		runtime.KeepAlive(e)
		if err != nil {
			pp.close()
			code.Release()
			return nil, fmt.Errorf("cannot fork: %w", err)
		}
		giveUp := func() {}
		p, err := adopt(pp, code, pid, false, func() error {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				return fmt.Errorf("cannot start the process: %w", err)
			}
			killed := make(chan struct{})
			stop := context.AfterFunc(ctx, func() {
				defer close(killed)
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			})
			giveUp = func() {
				if !stop() {
					<-killed
				}
				unix.Close(fd)
			}
			return nil
		})
		giveUp()
		if err != nil && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return p, err
	})
}
