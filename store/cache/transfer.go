// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"io"

	"osbuild/store"
)

// Transfer says how far an item is on its way to or from a cache.
type Transfer struct {
	Path store.Path
	// Done of Total bytes of its archive, which is not compressed, have
	// passed. What begins anew, from another cache for example, has fewer
	// than before.
	Done, Total int64
	// Settled says that it has ended: whole, or with Err.
	Settled bool
	Err     error
}

// Observer is told of transfers, by many goroutines: of each as soon as it is
// known, which is before anything moves, now and then, and at its end. An item that several calls wait for
// may be told more than once.
type Observer func(Transfer)

// tellEach is how many bytes pass between two words about them.
const tellEach = 256 << 10

func (o Observer) tell(t Transfer) {
	if o != nil {
		o(t)
	}
}

// passing counts the bytes of one transfer.
type passing struct {
	tell Observer
	t    Transfer
	told int64
}

func (p *passing) add(n int) {
	p.t.Done = min(p.t.Done+int64(n), p.t.Total)
	if p.t.Done-p.told >= tellEach {
		p.told = p.t.Done
		p.tell.tell(p.t)
	}
}

// Write never fails.
func (p *passing) Write(b []byte) (int, error) {
	p.add(len(b))
	return len(b), nil
}

// passingReader counts what is read.
type passingReader struct {
	io.Reader
	*passing
}

func (r passingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.add(n)
	return n, err
}
