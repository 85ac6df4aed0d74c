// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// Between two looks at a service that is not ready yet lies a part of the time
// that it has taken so far, so that looking costs little and is little late.
const (
	shortestPause = time.Millisecond
	longestPause  = 100 * time.Millisecond
	pausePart     = 8
)

// await watches until the process of a job is ready.
func (s *supervisor) await(p process, j job, done func(pid int, err error)) (cancel func()) {
	var notify *notifySocket
	if c, ok := p.(*child); ok {
		notify = c.notify
	}
	stop := make(chan struct{})
	var once sync.Once
	go func() {
		pid, err := watch(j.process, p.pid(), notify, stop)
		select {
		case <-stop:
		default:
			s.post(func() { done(pid, err) })
		}
	}()
	return func() { once.Do(func() { close(stop) }) }
}

// errUnwanted ends a watch that nobody wants any more.
var errUnwanted = errors.New("nobody waits any more")

// watch returns once the process is ready, with the pid that its PID file
// names.
func watch(p spec.Process, started int, notify *notifySocket, stop <-chan struct{}) (pid int, err error) {
	if r := p.Ready; r != nil {
		var ready func() bool
		switch r.Kind {
		case spec.ReadyTCP:
			ready = func() bool {
				return connects(unix.AF_INET, &unix.SockaddrInet4{Port: r.Port, Addr: [4]byte{127, 0, 0, 1}})
			}
		case spec.ReadyUnix:
			ready = func() bool { return connects(unix.AF_UNIX, &unix.SockaddrUnix{Name: r.Path}) }
		case spec.ReadyPath:
			ready = func() bool { return unix.Access(r.Path, unix.F_OK) == nil }
		case spec.ReadyNotify:
			ready = func() bool { return notify.ready() }
		default:
			return 0, fmt.Errorf("it is not known how to tell that it is ready: %q", r.Kind)
		}
		if err := poll(stop, ready); err != nil {
			return 0, err
		}
	}
	if name := p.PIDFile; name != "" {
		err = poll(stop, func() bool {
			if pid, err = readPID(name); err != nil || pid <= 1 {
				return false
			}
			// A daemon is ours when the process that forked it has ended.
			parent, err := parentOf(pid)
			return err == nil && (pid == started || parent == os.Getpid())
		})
	}
	return pid, err
}

// maxPID is more than the longest content of a PID file.
const maxPID = 64

// readPID reads a PID file. Its folder is the service's, which may have put
// anything there: a pipe that nobody writes to, or more than there is memory.
func readPID(name string) (int, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() > maxPID {
		return 0, fmt.Errorf("%s is no PID file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPID))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(bytes.TrimSpace(data)))
}

// poll looks until ready says yes.
func poll(stop <-chan struct{}, ready func() bool) error {
	began := time.Now()
	for !ready() {
		pause := min(max(time.Since(began)/pausePart, shortestPause), longestPause)
		select {
		case <-stop:
			return errUnwanted
		case <-time.After(pause):
		}
	}
	return nil
}

// connects says whether somebody accepts connections there.
func connects(family int, to unix.Sockaddr) bool {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, to)
	if errors.Is(err, unix.EINPROGRESS) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(fds, int(longestPause/time.Millisecond)); err != nil || n == 0 {
			return false
		}
		if code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			return false
		}
	} else if err != nil {
		return false
	}
	// A port from which outgoing connections come can meet itself.
	if here, ok := localPort(fd); ok {
		if there, isTCP := to.(*unix.SockaddrInet4); isTCP && here == there.Port {
			return false
		}
	}
	return true
}

func localPort(fd int) (int, bool) {
	addr, err := unix.Getsockname(fd)
	if err != nil {
		return 0, false
	}
	in, ok := addr.(*unix.SockaddrInet4)
	if !ok {
		return 0, false
	}
	return in.Port, true
}

// notifySocket is where a service says READY=1, as with systemd.
type notifySocket struct {
	fd   int
	path string
	uid  uint32
	mu   sync.Mutex // between ready and close
}

// newNotifySocket makes the socket for one process.
func (s *supervisor) newNotifySocket(p spec.Process, cred *syscall.Credential) (*notifySocket, error) {
	n := &notifySocket{uid: uint32(os.Getuid())}
	if cred != nil {
		n.uid = cred.Uid
	}
	fail := func(err error) (*notifySocket, error) {
		return nil, fmt.Errorf("cannot make the socket on which %s says that it is ready: %w", p.Argv[0], err)
	}
	dir := filepath.Join(s.RunDir, "notify")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	s.serial++
	n.path = filepath.Join(dir, strconv.Itoa(s.serial))
	_ = os.Remove(n.path)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fail(err)
	}
	n.fd = fd
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: n.path})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	}
	if err == nil {
		// Everybody may send; only the service's user is listened to.
		err = os.Chmod(n.path, 0o666)
	}
	if err != nil {
		n.close()
		return fail(err)
	}
	return n, nil
}

// ready reads what has come and says whether READY=1 was in it.
func (n *notifySocket) ready() bool {
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return false
	}
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		size, oobn, _, _, err := unix.Recvmsg(n.fd, buf, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err != nil {
			return false
		}
		if n.trusts(oob[:oobn]) && bytes.Contains(append(append([]byte{'\n'}, buf[:size]...), '\n'), []byte("\nREADY=1\n")) {
			return true
		}
	}
}

// trusts says whether a message came from root or from the service's user.
func (n *notifySocket) trusts(oob []byte) bool {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	for i := range messages {
		if cred, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			return cred.Uid == 0 || cred.Uid == n.uid
		}
	}
	return false
}

func (n *notifySocket) close() {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd >= 0 {
		unix.Close(n.fd)
		_ = os.Remove(n.path)
		n.fd = -1
	}
}
