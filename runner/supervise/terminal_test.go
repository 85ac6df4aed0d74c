// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTerminal runs a command at a terminal: in the foreground it gets the
// terminal, as a shell needs for its job control; a start in the background
// leaves the terminal to whoever has it.
func TestTerminal(t *testing.T) {
	for _, tt := range []struct {
		summary    string
		background bool
		want       string
	}{
		{"in the foreground", false, "foreground true own group true <nil>\n"},
		{"in the background", true, "foreground false own group true <nil>\n"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			master, slave := terminal(t)
			s := bootOn(t, how{tty: slave, background: tt.background})
			s.up()
			if e := s.run(self("tty").Argv...); e.Status() != 0 {
				t.Errorf("command: %+v", e)
			}
			if got := s.file("stdio"); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			group, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPGRP)
			if tt.background && group != s.cmd.Process.Pid {
				t.Errorf("the terminal is process group %d's (%v), want %d", group, err, s.cmd.Process.Pid)
			}
			if status := s.off(); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIP-ENV: no terminal can be made here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIP-ENV: no terminal can be made here: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}
