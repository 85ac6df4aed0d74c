// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"io/fs"
	"syscall"
)

// Statuses of programs that did not run, as shells have them.
const (
	statusNotExecutable = 126
	statusNotFound      = 127
)

// executeLabel begins the label of the step that executes the program.
const executeLabel = "execute "

// ProgramError says that the program which the caller named could not be
// executed: not a failure of the container around it.
type ProgramError struct {
	// Status is 127 for a program that is not there, and otherwise 126.
	Status int
	Err    error
}

func (e *ProgramError) Error() string { return e.Err.Error() }

func (e *ProgramError) Unwrap() error { return e.Err }

// programError gives err, which executing a program failed with, its status.
func programError(err error) *ProgramError {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return &ProgramError{statusNotFound, err}
	}
	return &ProgramError{statusNotExecutable, err}
}
