// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is a pseudo terminal of a container. Its master stays with us.
type terminal struct{ master, slave *os.File }

// openTerminal makes a terminal in the container's own devpts. The container
// could put anything at /dev/pts/ptmx, so what is opened must be a ptmx on a
// devpts, and the slave comes from the master, not from a path.
func openTerminal(root insideRoot) (*terminal, error) {
	master, err := root.open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot make a terminal: %w", err)
	}
	t := &terminal{master: master}
	err = t.control(func(fd int) error {
		var fs unix.Statfs_t
		var st unix.Stat_t
		if err := errors.Join(unix.Fstatfs(fd, &fs), unix.Fstat(fd, &st)); err != nil {
			return err
		}
		if fs.Type != unix.DEVPTS_SUPER_MAGIC || st.Rdev != unix.Mkdev(5, 2) {
			return errors.New("/dev/pts/ptmx is not what it should be")
		}
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno != 0 {
			return errno
		}
		t.slave = os.NewFile(slave, "terminal")
		if st.Uid == uint32(os.Geteuid()) {
			return nil
		}
		// The terminal is the opener's, the host's root; login(1) wants it to be
		// root's in the container, whose ptmx is.
		return unix.Fchown(int(slave), int(st.Uid), int(st.Gid))
	})
	if err != nil {
		t.close()
		return nil, fmt.Errorf("cannot make a terminal: %w", err)
	}
	return t, nil
}

// control calls f with the master's descriptor, which stays non-blocking.
func (t *terminal) control(f func(fd int) error) error {
	raw, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	err = raw.Control(func(fd uintptr) { ferr = f(int(fd)) })
	return errors.Join(err, ferr)
}

func (t *terminal) close() {
	if t.slave != nil {
		t.slave.Close()
	}
	t.master.Close()
}

// connect copies between the terminal and the caller's descriptors. The caller's
// terminal, if it is one, is raw meanwhile. The returned function waits for the
// last output and ends it all.
func (t *terminal) connect(stdio Stdio) (stop func()) {
	t.slave.Close()
	restore := func() {}
	if isTerminal(stdio.In) {
		if old, err := term.MakeRaw(int(stdio.In.Fd())); err == nil {
			restore = func() { _ = term.Restore(int(stdio.In.Fd()), old) }
		}
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	var out, in sync.WaitGroup
	if stdio.Out != nil {
		out.Go(func() { _, _ = io.Copy(stdio.Out, t.master) })
	}
	quit, quitW, err := os.Pipe()
	if err == nil && stdio.In != nil {
		in.Go(func() { t.feed(stdio.In, quit) })
	}
	done := make(chan struct{})
	in.Go(func() {
		for {
			select {
			case <-resized:
				t.resize(stdio)
			case <-done:
				return
			}
		}
	})
	return func() {
		// Orphans of the program may keep the terminal open; what they print
		// after its end is not waited for.
		_ = t.master.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		out.Wait()
		close(done)
		if err == nil {
			quitW.Close()
		}
		in.Wait()
		if err == nil {
			quit.Close()
		}
		signal.Stop(resized)
		restore()
	}
}

// isTerminal says whether f is a terminal; nil is none.
func isTerminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

// feed copies input into the terminal until quit is closed.
func (t *terminal) feed(in, quit *os.File) {
	buf := make([]byte, 4096)
	for {
		fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}, {Fd: int32(quit.Fd()), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || fds[1].Revents != 0 {
			return
		}
		n, err := in.Read(buf)
		if n > 0 {
			if _, werr := t.master.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			_, _ = t.master.Write([]byte{4}) // end of file, as Ctrl-D gives it
			return
		}
	}
}

// resize gives the terminal the size of the caller's.
func (t *terminal) resize(stdio Stdio) {
	for _, f := range []*os.File{stdio.In, stdio.Out} {
		if f == nil {
			continue
		}
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			_ = t.control(func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
			return
		}
	}
}
