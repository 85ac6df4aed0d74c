// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

const (
	// maxRequest bounds one line of the control protocol.
	maxRequest = 1 << 20
	// maxReplies is how many replies may wait for a slow reader before its
	// connection is dropped.
	maxReplies = 64
	// maxConns is how many connections from inside are served at once; others
	// wait, so that nobody fills our memory with them.
	maxConns = 128
	// maxKills is how often processes are killed that outlive the runner.
	maxKills = 100
)

// DecodeRequest reads one line of the control protocol.
func DecodeRequest(line []byte) (spec.Request, error) {
	var r spec.Request
	if err := json.Unmarshal(line, &r); err != nil {
		return spec.Request{}, fmt.Errorf("cannot read the request: %w", err)
	}
	if r.Op == "" {
		return r, errors.New("cannot read the request: it names no operation")
	}
	return r, nil
}

// conn is one connection on which requests come.
type conn struct {
	f       *os.File
	replies chan spec.Reply
	done    chan struct{}
	// trusted is the runner's own connection.
	trusted bool
}

// serve reads requests until the connection ends. The end of the runner's
// means that the runner is gone, and the container goes with it.
func (s *supervisor) serve(f *os.File, trusted bool) {
	c := &conn{f: f, replies: make(chan spec.Reply, maxReplies), done: make(chan struct{}), trusted: trusted}
	go c.write()
	r := bufio.NewReaderSize(f, 64*1024)
	for {
		line, err := readLine(r)
		if err != nil && !errors.Is(err, errTooLong) {
			break
		}
		var req spec.Request
		if err == nil {
			req, err = DecodeRequest(line)
		}
		if err != nil {
			s.post(func() { c.reply(spec.Reply{ID: req.ID, Error: err.Error()}) })
			continue
		}
		s.post(func() { s.handle(c, req) })
	}
	if trusted {
		s.post(func() {
			s.say("the runner is gone; ending")
			// As PID 1 once is enough. Descendants may fork while they are
			// being listed.
			for range maxKills {
				if !s.killAll(sigkill) {
					break
				}
				time.Sleep(time.Millisecond)
				s.reap()
			}
			s.end(1)
		})
		return
	}
	s.post(func() { close(c.replies); c.replies = nil })
}

var errTooLong = errors.New("cannot read the request: the line is too long")

// readLine reads one line; the rest of one that is too long is passed over.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line) <= maxRequest {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		case len(line) > maxRequest:
			return nil, errTooLong
		}
		return line, nil
	}
}

// reply sends a reply; it is called in the loop.
func (c *conn) reply(r spec.Reply) {
	if c.replies == nil {
		return // the peer has gone
	}
	select {
	case c.replies <- r:
	default:
		// It asks and does not listen.
		c.f.Close()
	}
}

// write writes the replies, one a line.
func (c *conn) write() {
	defer close(c.done)
	defer c.f.Close()
	enc := json.NewEncoder(c.f)
	for r := range c.replies {
		if err := enc.Encode(r); err != nil {
			return
		}
	}
}

// flush waits a moment until the replies are written.
func (c *conn) flush() {
	if c.replies == nil {
		return
	}
	close(c.replies)
	c.replies = nil
	select {
	case <-c.done:
	case <-time.After(time.Second):
	}
}

// listen takes requests from inside, from root alone.
func (s *supervisor) listen() error {
	if err := os.MkdirAll(filepath.Dir(s.Socket), 0o755); err != nil {
		return err
	}
	if err := os.Remove(s.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	old := unix.Umask(0o177)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: s.Socket})
	unix.Umask(old)
	if err == nil {
		err = unix.Listen(fd, 16)
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("cannot listen on %s: %w", s.Socket, err)
	}
	go s.accept(fd)
	return nil
}

func (s *supervisor) accept(fd int) {
	places := make(chan struct{}, maxConns)
	for {
		places <- struct{}{}
		peer, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
			<-places
			continue
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			<-places
			time.Sleep(longestPause)
			continue
		case err != nil:
			return
		}
		go func() {
			s.serve(os.NewFile(uintptr(peer), s.Socket), false)
			<-places
		}()
	}
}
