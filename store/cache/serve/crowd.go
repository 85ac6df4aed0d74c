// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// usualCrowd is how many connections are taken at once where the owner says
// nothing: so many that the store can open its files all the same.
func usualCrowd() int {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return 256
	}
	return int(min(max(files.Cur/4, 16), 4096))
}

// crowd is a listener that lets more connections wait outside when there are
// many.
type crowd struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once

	mu     sync.Mutex
	guests map[*guest]bool
}

func newCrowd(l net.Listener, n int) *crowd {
	return &crowd{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{}), guests: make(map[*guest]bool)}
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	select {
	case c.slots <- struct{}{}:
	case <-c.closed:
		return nil, net.ErrClosed
	}
	conn, err := c.Listener.Accept()
	if err != nil {
		<-c.slots
		return nil, err
	}
	g := &guest{Conn: conn, crowd: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guests[g] = true
	return g, nil
}

// Close implements net.Listener.
func (c *crowd) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Listener.Close()
}

// dismiss closes connections on which nothing was ever said. Clients open
// some in advance, and a server that stops would wait for them.
func (c *crowd) dismiss() {
	c.mu.Lock()
	var silent []*guest
	for g := range c.guests {
		if !g.spoke.Load() {
			silent = append(silent, g)
		}
	}
	c.mu.Unlock()
	for _, g := range silent {
		_ = g.Close() // nobody used it
	}
}

// guest is a connection that makes room when it ends.
type guest struct {
	net.Conn
	crowd *crowd
	spoke atomic.Bool
}

// Read implements net.Conn.
func (g *guest) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if n > 0 {
		g.spoke.Store(true)
	}
	return n, err
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	if g.crowd.guests[g] {
		delete(g.crowd.guests, g)
		<-g.crowd.slots
	}
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}
