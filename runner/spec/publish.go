// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package spec

// PublishFD is a connected socket of kind SOCK_SEQPACKET that the runner hands
// to PID 1 where ports are published. Each [Dial] on it is answered by one
// [Dialled], with the connected socket beside it (SCM_RIGHTS, see unix(7)) if
// it has no error.
//
// Only sockets of the container's network cross the border, and only outwards:
// with one of the host's, root of the container could connect to anything that
// the host can reach.
const PublishFD = 5

// MaxDial bounds the size of a message on PublishFD.
const MaxDial = 4096

// Dial asks PID 1 for a TCP connection to a port of the loopback device.
type Dial struct {
	ID   uint64 `json:"id"`
	Port uint16 `json:"port"`
}

// Dialled is the answer to the Dial of the same ID.
type Dialled struct {
	ID    uint64 `json:"id"`
	Error string `json:"error,omitempty"`
}
