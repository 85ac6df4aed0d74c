// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// TestPublishDials: PID 1 answers each request by a connected socket, or by why
// there is none, and ends with the runner.
func TestPublishDials(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello")
			c.Close()
		}
	}()
	open := uint16(l.Addr().(*net.TCPAddr).Port)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := uint16(closed.Addr().(*net.TCPAddr).Port)
	closed.Close()

	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		publish(os.NewFile(uintptr(fds[1]), "publish"))
	}()
	want := map[uint64]string{1: "hello", 2: "connection refused", 3: "hello"}
	for id, port := range map[uint64]uint16{1: open, 2: nobody, 3: open} {
		data, err := json.Marshal(spec.Dial{ID: id, Port: port})
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Send(fds[0], data, 0); err != nil {
			t.Fatal(err)
		}
	}
	buf, oob := make([]byte, spec.MaxDial), make([]byte, unix.CmsgSpace(16))
	for range 3 {
		n, oobn, _, _, err := unix.Recvmsg(fds[0], buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		var d spec.Dialled
		if err := json.Unmarshal(buf[:n], &d); err != nil {
			t.Fatalf("%v: %s", err, buf[:n])
		}
		got := d.Error
		if d.Error == "" {
			messages, err := unix.ParseSocketControlMessage(oob[:oobn])
			if err != nil || len(messages) != 1 {
				t.Fatalf("%d messages beside the answer, %v", len(messages), err)
			}
			rights, err := unix.ParseUnixRights(&messages[0])
			if err != nil || len(rights) != 1 {
				t.Fatalf("%d descriptors, %v", len(rights), err)
			}
			f := os.NewFile(uintptr(rights[0]), "connection")
			text, err := io.ReadAll(f)
			f.Close()
			if err != nil {
				t.Error(err)
			}
			got = string(text)
		}
		if !strings.Contains(got, want[d.ID]) {
			t.Errorf("request %d: %q, want %q", d.ID, got, want[d.ID])
		}
		delete(want, d.ID)
	}
	if len(want) > 0 {
		t.Errorf("no answer to %v", want)
	}
	unix.Close(fds[0])
	<-ended
}
