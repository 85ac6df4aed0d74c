// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"os"
	"time"

	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// Run boots a system and returns when its container has ended.
func Run(ctx context.Context, o Options) (spec.Exit, error) {
	return spec.Exit{}, errors.ErrUnsupported
}

// Plan is what Run would do, as data.
func Plan(o Options) (mount.Plan, error) { return mount.Plan{}, errors.ErrUnsupported }

// Instance is one container of the registry.
type Instance struct {
	Name    string    `json:"name"`
	PID     int       `json:"pid"`
	System  string    `json:"system"`
	Started time.Time `json:"started"`
}

// List returns the running containers of a registry, sorted by name.
func List(stateRoot string) ([]Instance, error) { return nil, errors.ErrUnsupported }

// Find returns the running container of that name or PID.
func Find(stateRoot, nameOrPID string) (Instance, error) {
	return Instance{}, errors.ErrUnsupported
}

// Stdio are the three descriptors of a program; nil is /dev/null.
type Stdio struct{ In, Out, Err *os.File }

// Exec runs a program in a running container.
func (i Instance) Exec(ctx context.Context, p spec.Process, stdio Stdio, tty bool) (spec.Exit, error) {
	return spec.Exit{}, errors.ErrUnsupported
}

// Stop powers the container off, and kills it after grace.
func (i Instance) Stop(ctx context.Context, grace time.Duration) error { return errors.ErrUnsupported }

// Wait returns when the container has ended.
func (i Instance) Wait(ctx context.Context) error { return errors.ErrUnsupported }

// Remove deletes what a dead container left in the registry.
func (i Instance) Remove() error { return errors.ErrUnsupported }

// ConsoleLog is the path of the container's console log.
func (i Instance) ConsoleLog() string { return "" }

// Eval runs one program over its closure.
func Eval(ctx context.Context, p spec.Program, stdio Stdio) (spec.Exit, error) {
	return spec.Exit{}, errors.ErrUnsupported
}
