// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/spec"
)

// job is a process to start.
type job struct {
	// name is that of the service, or of what else it is done for.
	name    string
	process spec.Process
	// leader says that the process is the service: what is left of its group
	// when it ends is killed, so that it does not hold a port or file that
	// the next one needs.
	leader bool
	// stdio gives it the descriptors 0 to 2 of this process instead of a log.
	// A terminal among them is the caller's; the runner makes one of the
	// container where somebody sits at it, so there is no job control to do.
	stdio bool
	// capture keeps all that it writes for its end.
	capture bool
}

// child is a process that we started or adopted.
type child struct {
	id     int
	leader bool
	adopt  bool
	gone   bool // reaped: the id may be another's by now
	log    *logReader
	mark   *mark // where it is to go to the background
	notify *notifySocket
	ended  func(e spec.Exit, out output)
}

func (c *child) pid() int { return c.id }

// signal signals the process group of c.
func (c *child) signal(sig syscall.Signal) {
	if c.gone {
		return
	}
	if group := c.group(); group != 0 {
		_ = unix.Kill(-group, sig)
		return
	}
	_ = unix.Kill(c.id, sig)
}

// group is the process group of c that may be signalled. A daemon that was
// adopted may be in its starter's; ours is nobody's to signal, and 0 here.
func (c *child) group() int {
	if !c.adopt {
		return c.id
	}
	pgid, err := unix.Getpgid(c.id)
	if err != nil || pgid == unix.Getpgrp() || pgid <= 1 {
		return 0
	}
	return pgid
}

// spawn starts the process of a job in a session of its own.
func (s *supervisor) spawn(j job, ended func(e spec.Exit, out output)) (process, error) {
	p := j.process
	if len(p.Argv) == 0 || !filepath.IsAbs(p.Argv[0]) {
		return nil, fmt.Errorf("cannot start %q: the program must be an absolute path", p.Argv)
	}
	cred, err := credential(p, s.Names, s.noGroups)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", p.Argv[0], err)
	}
	if p.PIDFile != "" {
		// The file of an earlier run would be taken for this one's.
		_ = os.Remove(p.PIDFile)
	}
	c := &child{leader: j.leader, ended: ended}
	env := p.Env
	if p.Ready != nil && p.Ready.Kind == spec.ReadyNotify {
		if c.notify, err = s.newNotifySocket(p, cred); err != nil {
			return nil, err
		}
		env = append(append([]string{}, env...), "NOTIFY_SOCKET="+c.notify.path)
	}
	attr := &syscall.ProcAttr{
		Dir: p.Directory,
		Env: env,
		Sys: &syscall.SysProcAttr{Credential: cred},
	}
	if attr.Dir == "" {
		attr.Dir = "/"
	}
	var out *os.File
	if j.stdio {
		attr.Files = []uintptr{0, 1, 2}
		attr.Sys.Setpgid = true
	} else {
		if out, err = s.openLog(c, j); err != nil {
			c.close()
			return nil, err
		}
		defer out.Close()
		attr.Files = []uintptr{s.null.Fd(), out.Fd(), out.Fd()}
		attr.Sys.Setsid = true
	}
	path, argv, err := s.limited(p, attr)
	if err != nil {
		c.close()
		return nil, err
	}
	c.id, err = syscall.ForkExec(path, argv, attr)
	if err != nil {
		c.close()
		if errors.Is(err, unix.EPERM) && cred != nil {
			return nil, fmt.Errorf("cannot start %s as user %d and group %d: this container may not change users: %w", p.Argv[0], cred.Uid, cred.Gid, err)
		}
		return nil, fmt.Errorf("cannot start %s: %w", p.Argv[0], err)
	}
	if p.PIDFile != "" {
		c.mark = newMark(c.id, p, out)
	}
	if c.log != nil {
		c.log.start()
	}
	s.children[c.id] = c
	return c, nil
}

// close gives up what was made for a process that did not start.
func (c *child) close() {
	c.notify.close()
	if c.log != nil {
		c.log.abandon()
	}
}

// credential resolves the user and groups of a process. nil means to stay who
// we are.
func credential(p spec.Process, accounts func() account.Names, noGroups bool) (*syscall.Credential, error) {
	if p.User == "" && p.Group == "" && len(p.SupplementaryGroups) == 0 {
		return nil, nil
	}
	names := accounts()
	uid, gid, err := names.User(p.User)
	if err != nil {
		return nil, err
	}
	if p.Group != "" {
		if gid, err = names.Group(p.Group); err != nil {
			return nil, err
		}
	}
	cred := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: noGroups}
	for _, name := range p.SupplementaryGroups {
		g, err := names.Group(name)
		if err != nil {
			return nil, err
		}
		cred.Groups = append(cred.Groups, uint32(g))
	}
	if noGroups && len(cred.Groups) > 0 {
		return nil, errors.New("supplementary groups cannot be set here")
	}
	return cred, nil
}

// adopt takes on a process that one of ours forked, which is a child of ours
// since its parent ended, with what is read of their output.
func (s *supervisor) adopt(pid int, from process, ended func(e spec.Exit, out output)) (process, error) {
	if _, known := s.children[pid]; known {
		return nil, fmt.Errorf("process %d has been started for something else", pid)
	}
	if parent, err := parentOf(pid); err != nil || parent != os.Getpid() {
		// Anybody could have written the number; it must not make us signal
		// a process that is none of this service.
		return nil, fmt.Errorf("process %d, which the PID file names, is not a child of this service", pid)
	}
	c := &child{id: pid, adopt: true, ended: ended}
	if starter, ok := from.(*child); ok {
		c.log = starter.log
	}
	s.children[pid] = c
	return c, nil
}

// drain is how long a process that has ended may be outlived by unread output
// of its own, which a child that it left may be holding open.
const drain = 200 * time.Millisecond

// reap collects every child that has ended. It is the only place that waits
// for children, and it runs in the loop, so a child is known before it is
// reaped.
func (s *supervisor) reap() {
	for {
		pid, err := waitable()
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid == 0 {
			return
		}
		c := s.children[pid]
		if c != nil && (c.leader || c.adopt) {
			// While the dead process is not reaped nobody else can get its ids.
			c.signal(sigkill)
		}
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil || c == nil {
			continue
		}
		delete(s.children, pid)
		c.gone = true
		c.notify.close()
		exit := spec.Exit{Code: status.ExitStatus()}
		if status.Signaled() {
			exit = spec.Exit{Signal: int(status.Signal())}
		}
		go func() {
			if c.log != nil {
				select {
				case <-c.log.done:
				case <-time.After(drain):
				}
			}
			out := c.output()
			s.post(func() { c.ended(exit, out) })
		}()
	}
}

// signalMain signals the process alone.
func (c *child) signalMain(sig syscall.Signal) {
	if !c.gone {
		_ = unix.Kill(c.id, sig)
	}
}

// output is what was read of what the process wrote.
func (c *child) output() output {
	if c.log == nil {
		return output{}
	}
	return c.log.output()
}

// describe says how a process ended, with the last line that it wrote.
func describe(e spec.Exit, last string) string {
	how := fmt.Sprintf("exit status %d", e.Code)
	if e.Signal != 0 {
		how = "killed by " + signalName(syscall.Signal(e.Signal))
	}
	if last != "" {
		how += ": " + last
	}
	return how
}

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(sig))
}
