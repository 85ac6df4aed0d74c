// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// errGone says that PID 1 closed its end of the control socket.
var errGone = errors.New("PID 1 has ended")

// control is the runner's end of the socket on which PID 1 takes requests. What
// comes back is written by the container and is not trusted: a line that is no
// reply, or too long, ends the conversation.
type control struct {
	conn net.Conn

	mu      sync.Mutex
	next    int
	waiting map[int]chan spec.Reply
	err     error
}

// maxReply bounds a line from the container.
const maxReply = 4 << 20

// newControl makes a control socket; the file is PID 1's end.
func newControl() (*control, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make the control socket: %w", err)
	}
	ours := os.NewFile(uintptr(fds[0]), "control")
	theirs := os.NewFile(uintptr(fds[1]), "control")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("cannot make the control socket: %w", err)
	}
	c := &control{conn: conn, waiting: map[int]chan spec.Reply{}}
	go c.read()
	return c, theirs, nil
}

// read hands replies to those who wait for them.
func (c *control) read() {
	sc := bufio.NewScanner(c.conn)
	sc.Buffer(make([]byte, 0, 4096), maxReply)
	err := errGone
	for sc.Scan() {
		var reply spec.Reply
		if jerr := json.Unmarshal(sc.Bytes(), &reply); jerr != nil {
			err = fmt.Errorf("PID 1 sent a reply that cannot be read: %w", jerr)
			break
		}
		c.mu.Lock()
		w := c.waiting[reply.ID]
		delete(c.waiting, reply.ID)
		c.mu.Unlock()
		if w != nil {
			w <- reply
		}
	}
	if errors.Is(sc.Err(), bufio.ErrTooLong) {
		err = fmt.Errorf("PID 1 sent a reply of more than %d bytes", maxReply)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	for _, w := range c.waiting {
		close(w)
	}
	c.waiting = nil
}

// ask sends a request and waits for its reply. A reply with an error is
// returned together with that error.
func (c *control) ask(ctx context.Context, r spec.Request) (spec.Reply, error) {
	reply := make(chan spec.Reply, 1)
	c.mu.Lock()
	if c.waiting == nil {
		defer c.mu.Unlock()
		return spec.Reply{}, c.err
	}
	c.next++
	r.ID = c.next
	c.waiting[r.ID] = reply
	line, err := json.Marshal(r)
	if err == nil {
		_, err = c.conn.Write(append(line, '\n'))
	}
	c.mu.Unlock()
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, net.ErrClosed) {
		return spec.Reply{}, errGone
	}
	if err != nil {
		return spec.Reply{}, fmt.Errorf("cannot reach PID 1: %w", err)
	}
	select {
	case got, ok := <-reply:
		if !ok {
			c.mu.Lock()
			defer c.mu.Unlock()
			return spec.Reply{}, c.err
		}
		if got.Error != "" {
			return got, fmt.Errorf("PID 1 refused %s: %s", r.Op, harmless(got.Error))
		}
		return got, nil
	case <-ctx.Done():
		return spec.Reply{}, context.Cause(ctx)
	}
}

func (c *control) close() { c.conn.Close() }
