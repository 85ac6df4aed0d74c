// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

const (
	// dialTimeout is how long a connection inside the container may take.
	dialTimeout = 5 * time.Second
	// maxDialling bounds how many are being made at a time.
	maxDialling = 64
)

// publish makes connections inside the container for those who connect to a
// published port of the host, until the runner closes its end. It works beside
// the loop, of whose state it needs nothing.
func publish(socket *os.File) {
	defer socket.Close()
	fd := int(socket.Fd()) // blocking: this goroutine has a thread to itself
	room := make(chan struct{}, maxDialling)
	buf := make([]byte, spec.MaxDial)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		var d spec.Dial
		if err != nil || n == 0 || json.Unmarshal(buf[:n], &d) != nil {
			return
		}
		room <- struct{}{}
		go func() {
			defer func() { <-room }()
			dial(fd, d)
		}()
	}
}

// dial answers one request.
func dial(socket int, d spec.Dial) {
	answer := spec.Dialled{ID: d.ID}
	var rights []byte
	conn, err := connect(d.Port)
	if err == nil {
		defer conn.Close()
		rights = unix.UnixRights(int(conn.Fd()))
	} else {
		answer.Error = err.Error()
	}
	if data, err := json.Marshal(answer); err == nil {
		_ = unix.Sendmsg(socket, data, rights, nil, unix.MSG_NOSIGNAL)
	}
}

// connect connects to a port of the loopback device.
func connect(port uint16) (*os.File, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*net.TCPConn).File()
}
