// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hostTerminal is a terminal of the host with somebody who types text.
func hostTerminal(t *testing.T, text string) (slave *os.File, output func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("SKIP-ENV: no terminals on this machine: " + err.Error())
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("SKIP-ENV: no terminals on this machine: " + err.Error())
	}
	var buf bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&buf, master) // ends with an error when the slave closes
	}()
	if _, err := master.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return slave, func() string {
		slave.Close()
		<-done
		master.Close()
		return strings.ReplaceAll(buf.String(), "\r", "")
	}
}

// A command that somebody runs from a terminal gets one of the container's own,
// of the same size and with job control; the caller's is raw only meanwhile.
func TestRunFromTerminal(t *testing.T) {
	slave, output := hostTerminal(t, "typed\n")
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, nil)
	o := r.options(`tty; stat -c "owner %u:%g" /dev/pts/0; stty size; read x </dev/tty; echo got $x; exit 4`)
	o.Stdin, o.Stdout, o.Stderr = slave, slave, slave
	exit, err := Run(t.Context(), o)
	after, terr := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || exit.Code != 4 {
		t.Errorf("got %+v, %v", exit, err)
	}
	if terr != nil || *after != *before {
		t.Errorf("the caller's terminal was changed: %+v, %v", after, terr)
	}
	out := output()
	for _, want := range []string{"/dev/pts/0\n", "owner 0:0\n", "33 77\n", "got typed\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in %q", want, out)
		}
	}
}
