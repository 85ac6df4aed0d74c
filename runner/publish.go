// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// Port is a TCP port of the container that is open on the host.
type Port struct {
	// Host is where the host listens; port 0 is one that the kernel chooses.
	Host netip.AddrPort
	// Container is the port on the container's loopback device.
	Container uint16
}

// String is the port as on a command line.
func (p Port) String() string { return fmt.Sprintf("%s:%d", p.Host, p.Container) }

// ports are the published ports of a container. The runner accepts on the host
// and has PID 1 connect inside: see [spec.PublishFD] for what crosses the border.
type ports struct {
	listeners []*net.TCPListener
	ports     []Port

	// socket is the runner's end, theirs PID 1's until it is started.
	socket, theirs *os.File

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan answer
	// flows are the connections that are open, to be closed at the end, each
	// with a second descriptor of ours if the container has it too, else -1.
	flows  map[*net.TCPConn]int
	closed bool
	done   sync.WaitGroup
}

// answer is what PID 1 gave for a connection.
type answer struct {
	conn *net.TCPConn
	err  error
}

// listen opens the ports of the host; nothing is accepted yet.
func listen(list []Port) (_ *ports, err error) {
	p := &ports{waiting: map[uint64]chan answer{}, flows: map[*net.TCPConn]int{}}
	if len(list) == 0 {
		return p, nil
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	for _, port := range list {
		network := "tcp6"
		if port.Host.Addr().Is4() {
			network = "tcp4"
		}
		l, err := net.ListenTCP(network, net.TCPAddrFromAddrPort(port.Host))
		if err != nil {
			return nil, listenError(port, err)
		}
		p.listeners = append(p.listeners, l)
		port.Host = l.Addr().(*net.TCPAddr).AddrPort()
		p.ports = append(p.ports, port)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot publish ports: %w", err)
	}
	p.socket, p.theirs = os.NewFile(uintptr(fds[0]), "publish"), os.NewFile(uintptr(fds[1]), "publish")
	return p, nil
}

// listenError says what to do about a port.
func listenError(port Port, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno // what it is about is said here
	}
	var remedy string
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		remedy = "another program listens there; choose another port"
	case errors.Is(err, unix.EACCES):
		remedy = "low ports are root's on this host; choose one from 1024 on"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		remedy = "the host has no such address; choose one of its own"
	default:
		return fmt.Errorf("cannot publish port %d at %s: %w", port.Container, port.Host, err)
	}
	return fmt.Errorf("cannot publish port %d at %s: %w (%s)", port.Container, port.Host, err, remedy)
}

// published are the ports in words, for the registry.
func (p *ports) published() (out []string) {
	for _, port := range p.ports {
		out = append(out, port.String())
	}
	return out
}

// serve accepts connections. It is called once PID 1 runs.
func (p *ports) serve() {
	if p.socket == nil {
		return
	}
	p.theirs.Close()
	p.done.Go(p.read)
	for i, l := range p.listeners {
		port := p.ports[i].Container
		p.done.Go(func() { p.accept(l, port) })
	}
}

const (
	// maxFlows bounds the connections of one port; others wait in the kernel.
	maxFlows = 1024
	// acceptPause is how long a listener rests when descriptors are short.
	acceptPause = 100 * time.Millisecond
	// answerTime is how long PID 1 may take for a connection, which is more than
	// it gives itself.
	answerTime = 10 * time.Second
)

func (p *ports) accept(l *net.TCPListener, port uint16) {
	room := make(chan struct{}, maxFlows)
	for {
		room <- struct{}{}
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-room
			time.Sleep(acceptPause)
			continue
		}
		p.done.Go(func() {
			defer func() { <-room }()
			p.forward(conn, port)
		})
	}
}

// close ends all connections and gives the ports back.
func (p *ports) close() {
	p.mu.Lock()
	p.closed = true
	for c, fd := range p.flows {
		// Closing waits for who reads or writes, and the container may have made
		// what it gave us a connection on which the kernel waits too, for ever
		// perhaps: O_NONBLOCK is of the open file, which both have.
		if fd >= 0 {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		}
		c.Close()
	}
	p.mu.Unlock()
	for _, l := range p.listeners {
		l.Close()
	}
	if p.socket != nil {
		// Wakes the reader, which a close alone would not.
		_ = unix.Shutdown(int(p.socket.Fd()), unix.SHUT_RDWR)
		p.theirs.Close()
	}
	p.done.Wait()
	if p.socket != nil {
		p.socket.Close()
	}
}

// hold remembers what must be closed at the end, unless that has come. The
// connection is shared with the container or the runner's own.
func (p *ports) hold(c *net.TCPConn, shared bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	second := -1
	if shared {
		raw, err := c.SyscallConn()
		if err != nil {
			return false
		}
		if raw.Control(func(fd uintptr) { second, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }) != nil || err != nil {
			return false
		}
	}
	p.flows[c] = second
	return true
}

func (p *ports) release(c *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fd, ok := p.flows[c]; ok && fd >= 0 {
		unix.Close(fd)
	}
	delete(p.flows, c)
	c.Close()
}

// forward carries one connection of the host to the container's port. Where
// nobody listens there, the other side sees its connection reset.
func (p *ports) forward(outside *net.TCPConn, port uint16) {
	if !p.hold(outside, false) {
		outside.Close()
		return
	}
	defer p.release(outside)
	inside, err := p.dial(port)
	if err != nil {
		_ = outside.SetLinger(0)
		return
	}
	if !p.hold(inside, true) {
		inside.Close()
		return
	}
	defer p.release(inside)
	var other sync.WaitGroup
	other.Go(func() { carry(outside, inside) })
	carry(inside, outside)
	other.Wait()
}

// carry copies one direction, and passes on its end, so that a side that has
// said everything can still listen.
func carry(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		// A reset on one side is one for the other.
		_ = to.SetLinger(0)
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite()
}

// dial has PID 1 connect to a port.
func (p *ports) dial(port uint16) (*net.TCPConn, error) {
	got := make(chan answer, 1)
	p.mu.Lock()
	if p.waiting == nil {
		p.mu.Unlock()
		return nil, errGone
	}
	p.next++
	id := p.next
	p.waiting[id] = got
	data, err := json.Marshal(spec.Dial{ID: id, Port: port})
	p.mu.Unlock()
	if err == nil {
		err = unix.Send(int(p.socket.Fd()), data, unix.MSG_NOSIGNAL)
	}
	if err != nil {
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
		return nil, err
	}
	select {
	case a, ok := <-got:
		if !ok {
			return nil, errGone
		}
		return a.conn, a.err
	case <-time.After(answerTime):
	}
	p.mu.Lock()
	delete(p.waiting, id)
	p.mu.Unlock()
	select {
	case a := <-got: // it came at this moment
		if a.conn != nil {
			a.conn.Close()
		}
	default:
	}
	return nil, errors.New("PID 1 does not answer")
}

// read hands PID 1's answers to those who wait for them. They are written by
// the container: what is no answer ends the conversation, and a descriptor
// that is no TCP socket is no connection.
func (p *ports) read() {
	fd := int(p.socket.Fd())
	buf, rights := make([]byte, spec.MaxDial), make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, flags, _, err := unix.Recvmsg(fd, buf, rights, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		var files []*os.File
		if err == nil {
			files = received(rights[:oobn])
		}
		var d spec.Dialled
		if err != nil || n == 0 || flags&unix.MSG_TRUNC != 0 || json.Unmarshal(buf[:n], &d) != nil {
			closeAll(files)
			break
		}
		p.mu.Lock()
		w := p.waiting[d.ID]
		delete(p.waiting, d.ID)
		if w != nil {
			w <- connection(d, files) // there is room for one
		}
		p.mu.Unlock()
		if w == nil {
			closeAll(files)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.waiting {
		close(w)
	}
	p.waiting = nil
}

// connection is the answer that a message means.
func connection(d spec.Dialled, files []*os.File) answer {
	defer closeAll(files)
	if d.Error != "" {
		return answer{err: errors.New(harmless(d.Error))}
	}
	if len(files) != 1 {
		return answer{err: errors.New("PID 1 gave no connection")}
	}
	conn, err := net.FileConn(files[0])
	if err != nil {
		return answer{err: fmt.Errorf("PID 1 gave no connection: %w", err)}
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		conn.Close()
		return answer{err: errors.New("PID 1 gave a socket that is no TCP connection")}
	}
	return answer{conn: tcp}
}

// received are the files beside a message.
func received(oob []byte) (out []*os.File) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			out = append(out, os.NewFile(uintptr(fd), "received"))
		}
	}
	return out
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
