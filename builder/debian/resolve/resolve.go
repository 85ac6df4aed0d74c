// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package resolve chooses the packages that a list of names needs.
//
// It owns the choice, and the words for why there is none. It reads no file
// and no network: it gets the records of indexes and gives a lock. The same
// records and names always give the same lock. Start with [Resolve].
package resolve

import (
	"errors"

	"osbuild/builder/debian/lock"
)

// Request says what is wanted.
type Request struct {
	// Roots are the names of packages that are wanted.
	Roots []string
	// Essential is one of the policies of package lock; "" is none.
	Essential string
	// Pinned is a lock whose packages keep their versions, in the index or
	// not. Nil chooses everything anew.
	Pinned *lock.Lock
	// Update are names of Pinned that may move to another version, and with
	// them what they force to move.
	Update []string
}

// Resolve chooses one version of each package that the roots need. The
// caller fills the lock's Suite and Suites.
func Resolve(ix *Index, r Request) (*lock.Lock, error) {
	return nil, errors.New("cannot choose packages yet")
}
