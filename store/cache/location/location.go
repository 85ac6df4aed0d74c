// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package location is where the files of a binary cache lie: a folder, or a
// server.
//
// It owns how files get there and back: whole or not at all, and through
// connections that break. It knows no format and checks no content. Start
// with [Location].
package location

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Location holds files by name: slash-separated, relative. It may be used by
// many goroutines.
type Location interface {
	// String is the URL that users know it by.
	String() string
	// Open reads a file; size is -1 where it is not known. An error wraps
	// [fs.ErrNotExist] where there is none.
	Open(ctx context.Context, name string) (r io.ReadCloser, size int64, err error)
	// Has says whether a file is there.
	Has(ctx context.Context, name string) (bool, error)
	// Create begins a file that gets its name at the end.
	Create(ctx context.Context) (Upload, error)
	// Sync makes durable what was committed so far, where that is the
	// caller's business.
	Sync() error
}

// Upload is a file on its way to a location. It ends with Commit or Discard;
// Discard after Commit does nothing.
type Upload interface {
	io.Writer
	// Commit makes the file appear, whole, under its name; one that is there
	// is replaced.
	Commit(ctx context.Context, name string) error
	Discard()
}

// ErrReadOnly is wrapped by the refusal to change what can only be read.
var ErrReadOnly = errors.New("it can only be read")

// Locker is a location that one can have for oneself, to change files in it
// that others change, too.
type Locker interface {
	Lock(ctx context.Context) (unlock func(), err error)
}

// Lock has a location for itself until unlock is called, where it is one
// that can be locked. Others can still read it, and add files.
func Lock(ctx context.Context, l Location) (unlock func(), err error) {
	if locker, ok := l.(Locker); ok {
		return locker.Lock(ctx)
	}
	return func() {}, nil
}

// Read reads a small file.
func Read(ctx context.Context, l Location, name string, limit int64) ([]byte, error) {
	r, _, err := l.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("cannot read %s of %s: it has more than %d bytes", name, l, limit)
	}
	return text, nil
}

// Write writes a small file.
func Write(ctx context.Context, l Location, name string, text []byte) error {
	u, err := l.Create(ctx)
	if err != nil {
		return err
	}
	defer u.Discard()
	if _, err := u.Write(text); err != nil {
		return err
	}
	return u.Commit(ctx, name)
}
