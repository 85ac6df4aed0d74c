// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package derivation

import "errors"

var (
	// ErrFragment is wrapped by the error for a string that holds a part of a
	// placeholder: replacing it would be impossible, and the dependency lost.
	ErrFragment = errors.New("a path is cut")
	// ErrUnknown is wrapped by the error for a placeholder that no derivation
	// of the evaluation has.
	ErrUnknown = errors.New("unknown placeholder")
)

// Error is an error in a declaration, with its place.
type Error struct {
	Pos Position
	Err error
}

// Error puts the position, where it is known, before the message.
func (e *Error) Error() string {
	if e.Pos == (Position{}) {
		return e.Err.Error()
	}
	return e.Pos.String() + ": " + e.Err.Error()
}

// Unwrap gives the message without the position.
func (e *Error) Unwrap() error { return e.Err }
