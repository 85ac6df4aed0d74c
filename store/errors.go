// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// StorageError is a change that the disk or the permissions of the root did
// not allow. It says what to do.
type StorageError struct {
	Root   string
	Remedy string
	Err    error
}

func (e *StorageError) Error() string { return fmt.Sprintf("%v: %s", e.Err, e.Remedy) }

func (e *StorageError) Unwrap() error { return e.Err }

// explain adds a remedy to errors below the root whose cause the user can
// mend: a full disk, a read-only or foreign root.
func (s *Store) explain(err error) error {
	if err == nil || errors.As(err, new(*StorageError)) {
		return err
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) && !strings.HasPrefix(pathErr.Path+"/", s.root+"/") {
		return err // the source's fault, not the store's
	}
	var remedy string
	switch {
	case errors.Is(err, unix.ENOSPC):
		remedy = fmt.Sprintf("the disk that holds %s is full (free some space there, for example with \"osbuild store gc\", or choose another --root)", s.root)
	case errors.Is(err, unix.EDQUOT):
		remedy = fmt.Sprintf("the quota on the disk that holds %s is used up (free some space there, for example with \"osbuild store gc\", or choose another --root)", s.root)
	case errors.Is(err, unix.EROFS):
		remedy = fmt.Sprintf("the disk that holds %s is mounted read-only (choose another --root)", s.root)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		remedy = fmt.Sprintf("the store at %s belongs to another user (choose a --root of your own)", s.root)
	default:
		return err
	}
	return &StorageError{Root: s.root, Remedy: remedy, Err: err}
}
