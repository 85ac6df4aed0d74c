// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// loopback0 is a free port of the host that leads to 80.
var loopback0 = Port{Host: netip.MustParseAddrPort("127.0.0.1:0"), Container: 80}

// send is how a test's PID 1 answers: a message, or bytes that are none, and
// descriptors that it gives away.
type send func(answer any, fds ...int)

// published opens a port whose connections pid1 makes, which gets each request.
func published(t *testing.T, pid1 func(spec.Dial, send)) (*ports, string) {
	t.Helper()
	p, err := listen([]Port{loopback0})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	fd, err := unix.Dup(int(p.theirs.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer unix.Close(fd)
		buf := make([]byte, spec.MaxDial)
		for {
			n, err := unix.Read(fd, buf)
			var d spec.Dial
			if err != nil || n == 0 || json.Unmarshal(buf[:n], &d) != nil {
				return
			}
			pid1(d, func(answer any, fds ...int) {
				data, ok := answer.([]byte)
				if !ok {
					data, _ = json.Marshal(answer)
				}
				_ = unix.Sendmsg(fd, data, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
				for _, fd := range fds {
					unix.Close(fd)
				}
			})
		}
	}()
	p.serve()
	return p, p.ports[0].Host.String()
}

// connected gives PID 1's side of a connection to a server.
func connected(t *testing.T, address string) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// server answers each connection with f.
func server(t *testing.T, f func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

// dial connects to a published port, with a time limit on all that follows.
func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn.(*net.TCPConn)
}

// TestPublishForwards: both directions, and the end of each by itself.
func TestPublishForwards(t *testing.T) {
	inside := server(t, func(c *net.TCPConn) {
		// It answers only after the client has said everything.
		data, _ := io.ReadAll(c)
		_, _ = c.Write([]byte(strings.ToUpper(string(data))))
	})
	_, at := published(t, func(d spec.Dial, send send) {
		if d.Port == 80 {
			send(spec.Dialled{ID: d.ID}, connected(t, inside))
		}
	})
	text := strings.Repeat("word ", 1<<17)
	for range 3 {
		c := dial(t, at)
		go func() {
			_, _ = io.WriteString(c, text)
			_ = c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || string(got) != strings.ToUpper(text) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
}

// TestPublishRefuses: where there is no connection inside, whatever PID 1 says,
// the one outside is reset, and nothing is left open.
func TestPublishRefuses(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tc := range []struct {
		summary string
		pid1    func(spec.Dial, send)
	}{
		{"nobody listens", func(d spec.Dial, send send) { send(spec.Dialled{ID: d.ID, Error: "connection refused"}) }},
		{"no connection", func(d spec.Dial, send send) { send(spec.Dialled{ID: d.ID}) }},
		{"a file", func(d spec.Dial, send send) {
			fd, err := unix.Dup(int(null.Fd()))
			if err != nil {
				t.Error(err)
			}
			send(spec.Dialled{ID: d.ID}, fd)
		}},
		{"a socket of another kind", func(d spec.Dial, send send) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Error(err)
			}
			unix.Close(fds[1])
			send(spec.Dialled{ID: d.ID}, fds[0])
		}},
		{"two files", func(d spec.Dial, send send) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Error(err)
			}
			send(spec.Dialled{ID: d.ID}, fds[:]...)
		}},
		{"no JSON", func(_ spec.Dial, send send) { send([]byte("{")) }},
		{"too much", func(d spec.Dial, send send) {
			send(spec.Dialled{ID: d.ID, Error: strings.Repeat("x", 2*spec.MaxDial)})
		}},
		{"an end", func(_ spec.Dial, send send) { send([]byte{}) }},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			p, at := published(t, tc.pid1)
			for range 2 {
				conn, err := net.Dial("tcp", at)
				if err == nil {
					_, err = conn.Read(make([]byte, 1))
					conn.Close()
				}
				if !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("it is not reset: %v", err)
				}
			}
			eventually(t, "all flows are closed", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return len(p.flows) == 0
			})
		})
	}
}

// TestPublishStranger: an answer that nobody waits for is no harm.
func TestPublishStranger(t *testing.T) {
	inside := server(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "hello") })
	_, at := published(t, func(d spec.Dial, send send) {
		send(spec.Dialled{ID: d.ID + 1000}, connected(t, inside))
		send(spec.Dialled{ID: d.ID}, connected(t, inside))
		send(spec.Dialled{ID: d.ID}, connected(t, inside))
	})
	if got, err := io.ReadAll(dial(t, at)); string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestPublishEnds: the end of the container is the end of its connections, and
// the port is free again.
func TestPublishEnds(t *testing.T) {
	inside := server(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	p, at := published(t, func(d spec.Dial, send send) { send(spec.Dialled{ID: d.ID}, connected(t, inside)) })
	c := dial(t, at)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both sides are there", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.flows) == 2
	})
	p.close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
}

func TestPublishErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).AddrPort()
	for _, tc := range []struct {
		summary string
		port    Port
		want    string
	}{
		{"taken", Port{taken, 80}, "cannot publish port 80 at " + taken.String() + ": address already in use (another program listens there; choose another port)"},
		{"no such address", Port{netip.MustParseAddrPort("192.0.2.1:8080"), 80}, "cannot publish port 80 at 192.0.2.1:8080: cannot assign requested address (the host has no such address; choose one of its own)"},
		{"a low port", Port{netip.MustParseAddrPort("127.0.0.1:80"), 8080}, "cannot publish port 8080 at 127.0.0.1:80: permission denied (low ports are root's on this host; choose one from 1024 on)"},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			if tc.port.Host.Port() < 1024 && os.Geteuid() == 0 {
				t.Skip("SKIP-ENV: low ports are root's: TestAsUser runs this as a user")
			}
			p, err := listen([]Port{loopback0, tc.port})
			if tc.port.Host.Port() < 1024 && err == nil {
				p.close()
				t.Skip("SKIP-ENV: low ports are everybody's here")
			}
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestPublishHeld: a container that makes a connection block, as it may with any
// that it gave away, does not keep the runner from ending.
func TestPublishHeld(t *testing.T) {
	inside := make(chan net.Conn, 1)
	kept := make(chan int, 1)
	server := server(t, func(c *net.TCPConn) {
		inside <- c
		_, _ = io.Copy(io.Discard, c)
	})
	p, address := published(t, func(d spec.Dial, answer send) {
		fd := connected(t, server)
		mine, err := unix.Dup(fd)
		if err != nil {
			t.Error(err)
		}
		kept <- mine
		answer(spec.Dialled{ID: d.ID}, fd)
	})
	outside := dial(t, address)
	through := func(text string) {
		t.Helper()
		got := make([]byte, len(text))
		if _, err := io.ReadFull(outside, got); err != nil || string(got) != text {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	there := <-inside
	_, _ = there.Write([]byte("one"))
	through("one")
	fd := <-kept
	defer unix.Close(fd)
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	_, _ = there.Write([]byte("two"))
	through("two")                    // what comes next is waited for in the kernel
	time.Sleep(50 * time.Millisecond) // nothing tells that it is
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.close()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("it does not end")
		_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		<-done
	}
}
