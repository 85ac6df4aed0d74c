// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"os/signal"

	"golang.org/x/sys/unix"
)

// foreground says whether a command that gets our standard input should become
// the foreground process group of the terminal there. It should if we hold the
// terminal ourselves: then Ctrl-C is the command's, and a shell can do its job
// control. Process groups outside of our pid namespace have no number here, so
// comparing numbers does not tell; a read of nothing does, for the terminal
// refuses it to the background.
func foreground() bool {
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err != nil {
		return false // no terminal, or not ours
	}
	// Otherwise the refusal would be a signal that stops our whole group.
	signal.Ignore(unix.SIGTTIN)
	defer signal.Reset(unix.SIGTTIN)
	_, err := unix.Read(0, []byte{})
	return !errors.Is(err, unix.EIO)
}

// retakeTerminal makes our process group the foreground again after a command
// had it, where our group has a number in this pid namespace; elsewhere the
// runner does that.
func retakeTerminal() {
	group := unix.Getpgrp()
	if group <= 0 {
		return
	}
	signal.Ignore(unix.SIGTTOU)
	defer signal.Reset(unix.SIGTTOU)
	_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, group)
}
