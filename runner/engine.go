// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"osbuild/runner/idmap"
	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// process is a started job.
type process struct {
	// pid is the first process of the container, as the host sees it, and
	// handle a pidfd, which never means another process.
	pid    int
	handle *os.File
	// up is where it reports, code what its reports are about.
	up   *os.File
	code *mount.Code
	// settled is closed once the program has been executed, or never will be:
	// then failure says why. With a reaper it is closed at the end.
	settled chan struct{}
	failure error
	// reported is how the program ended, where a reaper tells.
	reaper   bool
	reported *unix.WaitStatus
	// ended is closed when the process is gone and has been waited for.
	ended  chan struct{}
	status unix.WaitStatus
}

// start makes a process from a job. When it returns without an error, the
// process exists and its mounts are being made; failures of that are reported
// by wait. The process dies with the calling program, whatever it does.
func start(j *job) (*process, error) {
	return keep(func() (*process, error) { return launch(j) })
}

// keep runs launch on a thread that lasts as long as the process does: when the
// thread that forked ends, the kernel sends the death signal.
func keep(launch func() (*process, error)) (*process, error) {
	type started struct {
		p   *process
		err error
	}
	result := make(chan started, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p, err := launch()
		result <- started{p, err}
		if err == nil {
			p.follow()
		}
	}()
	r := <-result
	return r.p, r.err
}

// launch takes the process through both stages, up to where it mounts what
// belongs to its own namespaces.
func launch(j *job) (*process, error) {
	pp, err := newPipes()
	if err != nil {
		return nil, err
	}
	mapFD := -1
	flags := uint64(unix.CLONE_NEWNS | cloneVM)
	if j.ids.asRoot {
		mapFD = int(j.userNS.Fd())
	} else {
		flags |= unix.CLONE_NEWUSER
	}
	code, err := j.code(pp, mapFD)
	if err != nil {
		pp.close()
		return nil, err
	}
	defer withoutHeap()()
	pid, err := fork(code, flags, int(pp.upW.Fd()), j.group)
	runtime.KeepAlive(j)
	if err != nil {
		pp.close()
		code.Release()
		return nil, namespaceError(err)
	}
	return adopt(pp, code, pid, j.reaper, func() error {
		if j.ids.asRoot {
			return nil
		}
		if err := writeMaps(pid, j.ids); err != nil {
			return err
		}
		_, err := pp.downW.Write([]byte{0})
		return err
	})
}

// adopt takes over the process that the first one makes, and lets it go on.
// between is what the first one waits for. The code is released with the end of
// the last of them. A reaper tells how the program ended.
func adopt(pp pipes, code *mount.Code, first int, reaper bool, between func() error) (_ *process, err error) {
	pp.upW.Close()
	pp.downR.Close()
	defer pp.downW.Close()
	defer func() {
		if err != nil {
			pp.upR.Close()
		}
		if err != nil && first != 0 {
			_ = unix.Kill(first, unix.SIGKILL)
			reapQuietly(first)
		}
		if err != nil {
			code.Release()
		}
	}()
	if err := between(); err != nil {
		return nil, err
	}
	rec, err := readRecord(pp.upR)
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("cannot start the process: its first stage was killed")
	case err != nil:
		return nil, fmt.Errorf("cannot start the process: %w", err)
	case rec.kind == recordFailure:
		return nil, stepError(code, rec)
	}
	p := &process{
		pid: int(rec.value), settled: make(chan struct{}), ended: make(chan struct{}), up: pp.upR, code: code, reaper: reaper,
	}
	// Nothing that shares our memory is left when the second one goes on.
	reapQuietly(first)
	first = 0
	pidfd, err := unix.PidfdOpen(p.pid, unix.PIDFD_NONBLOCK)
	if err == nil {
		p.handle = os.NewFile(uintptr(pidfd), "pidfd")
		if _, err = pp.downW.Write([]byte{0}); err != nil {
			p.handle.Close()
		}
	}
	if err != nil {
		_ = unix.Kill(p.pid, unix.SIGKILL)
		reapQuietly(p.pid)
		return nil, fmt.Errorf("cannot start the process: %w", err)
	}
	return p, nil
}

// follow reads what the process reports and waits for its end.
func (p *process) follow() {
	var reader sync.WaitGroup
	if !p.reaper {
		reader.Go(p.hear) // somebody may wait for the program to be executed
	}
	p.status = p.reap()
	if p.reaper {
		p.hear() // the pipe holds the few records
	}
	reader.Wait()
	p.code.Release()
	if p.reported != nil {
		p.status = *p.reported
	}
	close(p.ended)
}

// reap waits for the process: in the poller, because a thread in wait4(2) keeps
// the scheduler looking whether it has come back.
func (p *process) reap() (ws unix.WaitStatus) {
	wait := func(flags int) (over bool) {
		for {
			pid, err := unix.Wait4(p.pid, &ws, flags, nil)
			if !errors.Is(err, unix.EINTR) {
				return pid != 0 || err != nil
			}
		}
	}
	poll, err := p.handle.SyscallConn()
	if err == nil {
		err = poll.Read(func(uintptr) bool { return wait(unix.WNOHANG) })
	}
	if err != nil {
		wait(0)
	}
	return ws
}

// hear reads all reports.
func (p *process) hear() {
	defer p.up.Close()
	defer close(p.settled)
	for {
		rec, err := readRecord(p.up)
		switch {
		case err != nil:
			return
		case rec.kind == recordFailure:
			p.failure = stepError(p.code, rec)
		case rec.kind == recordStatus:
			ws := unix.WaitStatus(rec.value)
			p.reported = &ws
		}
	}
}

// wait returns how the program ended. A failure to start it is an error.
func (p *process) wait() (spec.Exit, error) {
	<-p.ended
	if p.failure != nil {
		return spec.Exit{}, p.failure
	}
	return exitOf(p.status), nil
}

// signal sends a signal to the first process; it is no error if that ended.
func (p *process) signal(sig syscall.Signal) error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	handle, err := p.handle.SyscallConn()
	if err == nil {
		// It gives an error of its own where the handle is closed by now: then
		// the process has ended, too.
		_ = handle.Control(func(pidfd uintptr) { err = unix.PidfdSendSignal(int(pidfd), sig, nil, 0) })
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot send %s to process %d: %w", sig, p.pid, err)
	}
	return nil
}

// kill ends the process, with its PID namespace all it started, and waits.
func (p *process) kill() {
	_ = p.signal(unix.SIGKILL)
	<-p.ended
}

// waitOrKill waits for the end, or brings it about when ctx is over.
func (p *process) waitOrKill(ctx context.Context) (spec.Exit, error) {
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.kill()
		return spec.Exit{Signal: int(unix.SIGKILL)}, context.Cause(ctx)
	}
	return p.wait()
}

// close gives back the handle, after the end.
func (p *process) close() { p.handle.Close() }

func exitOf(ws unix.WaitStatus) spec.Exit {
	if ws.Signaled() {
		return spec.Exit{Signal: int(ws.Signal())}
	}
	return spec.Exit{Code: ws.ExitStatus()}
}

func readRecord(r io.Reader) (rec record, err error) {
	var buf [16]byte
	if _, err := io.ReadFull(r, buf[:]); err != nil {
		return rec, err
	}
	rec.kind = binary.NativeEndian.Uint32(buf[0:])
	rec.label = int32(binary.NativeEndian.Uint32(buf[4:]))
	rec.value = binary.NativeEndian.Uint64(buf[8:])
	return rec, nil
}

// stepError is a failed step in words.
func stepError(code *mount.Code, rec record) error {
	err := describe(code, rec)
	if s := code.Step(rec.label); s != nil && s.Op == mount.OpOverlay {
		return &overlayError{err, syscall.Errno(rec.value)}
	}
	return err
}

func describe(code *mount.Code, rec record) error {
	verb := "start the container"
	if label := code.Label(rec.label); label != "" {
		verb = label
	}
	err := fmt.Errorf("cannot %s: %w", verb, syscall.Errno(rec.value))
	switch {
	case strings.HasPrefix(verb, executeLabel) && errors.Is(err, unix.ENOENT):
		return programError(fmt.Errorf("%w (it, or the interpreter that it names)", err))
	case strings.HasPrefix(verb, executeLabel):
		return programError(err)
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("%w (a link stands on the way, which is not followed; name the place itself)", err)
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w\n`osbuild doctor` examines what this machine lacks", err)
	}
	return err
}

// reapQuietly waits for a process whose status says nothing.
func reapQuietly(pid int) {
	for {
		_, err := unix.Wait4(pid, nil, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// namespaceError says why the kernel makes no namespaces.
func namespaceError(cause error) error {
	err := fmt.Errorf("cannot make namespaces: %w", cause)
	if remedy := idmap.UserNamespaceRemedy(); remedy != "" {
		return fmt.Errorf("%w\nuser namespaces are disabled; %s", err, remedy)
	}
	return fmt.Errorf("%w\n`osbuild doctor` examines what this machine lacks", err)
}

// userNamespace makes a user namespace with that map, by means of a process
// that does nothing but live for a moment.
func userNamespace(m spec.IDMap) (*os.File, error) {
	pp, err := newPipes()
	if err != nil {
		return nil, fmt.Errorf("cannot make a user namespace: %w", err)
	}
	defer pp.close()
	code := &mount.Code{}
	code.Begin("wait in a user namespace")
	code.Do(unix.SYS_CLOSE, pp.downW.Fd())
	code.Do(unix.SYS_READ, pp.downR.Fd(), code.Bytes(make([]byte, 1)), 1)
	code.Do(unix.SYS_EXIT_GROUP, 0)
	defer code.Release()
	pid, err := fork(code, unix.CLONE_NEWUSER|cloneVM, int(pp.upW.Fd()), nil)
	if err != nil {
		return nil, namespaceError(err)
	}
	defer reapQuietly(pid)
	defer func() { _ = unix.Kill(pid, unix.SIGKILL) }()
	if err := writeMaps(pid, ids{outer: m}); err != nil {
		return nil, err
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	if err != nil {
		return nil, fmt.Errorf("cannot make a user namespace: %w", err)
	}
	return ns, nil
}

// writeMaps gives the process in a new user namespace the outer map.
func writeMaps(pid int, i ids) error {
	if i.helpers {
		return runHelpers(pid, i.outer)
	}
	write := func(name, text string) error {
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/%s", pid, name), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			_, err = unix.Write(fd, []byte(text))
			unix.Close(fd)
		}
		if err != nil {
			return fmt.Errorf("cannot map ids: %s: %w", name, err)
		}
		return nil
	}
	if i.denyGroups {
		if err := write("setgroups", "deny"); err != nil {
			return err
		}
	}
	if err := write("uid_map", idmap.Format(i.outer.UIDs)); err != nil {
		return err
	}
	return write("gid_map", idmap.Format(i.outer.GIDs))
}

// runHelpers lets the set-id helpers write the maps, both at once: they are
// half of a rootless start.
func runHelpers(pid int, m spec.IDMap) error {
	uidmap, gidmap, err := idmap.Helpers()
	if err != nil {
		return err
	}
	var errs [2]error
	var group sync.WaitGroup
	run := func(slot *error, helper string, extents []spec.Extent) {
		args := []string{strconv.Itoa(pid)}
		for _, e := range extents {
			args = append(args, strconv.Itoa(e.Inside), strconv.Itoa(e.Outside), strconv.Itoa(e.Count))
		}
		group.Go(func() {
			var stderr bytes.Buffer
			cmd := exec.Command(helper, args...)
			cmd.Env = []string{}
			cmd.Stderr = &stderr
			if err := cmd.Run(); err != nil {
				*slot = fmt.Errorf("cannot map ids: %s: %w: %s", helper, err, bytes.TrimSpace(stderr.Bytes()))
			}
		})
	}
	run(&errs[0], uidmap, m.UIDs)
	run(&errs[1], gidmap, m.GIDs)
	group.Wait()
	return errors.Join(errs[:]...)
}
