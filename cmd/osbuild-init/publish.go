// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// publishing finds the socket on which the runner asks for connections to
// published ports. There is none without a runner, nor without such ports.
func publishing(control *os.File) *os.File {
	kind, err := unix.GetsockoptInt(spec.PublishFD, unix.SOL_SOCKET, unix.SO_TYPE)
	if control == nil || err != nil || kind != unix.SOCK_SEQPACKET {
		return nil
	}
	unix.CloseOnExec(spec.PublishFD)
	return os.NewFile(spec.PublishFD, "publish")
}
