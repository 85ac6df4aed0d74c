// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package task carries out task plans: the small programs of services that
// need no shell.
//
// It owns what each kind of task does, in which order it touches the system,
// and which refusals of the kernel are no reason to stop: a container often
// lacks a privilege or a controller, and what can be done without is said in a
// warning. It never starts a process, and knows no service. Start with [Run].
package task

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/spec"
)

// Kernel is what tasks ask of the system. [System] asks the real one.
type Kernel interface {
	// Share makes the mount at path shared, and none below it.
	Share(path string) error
	ReadFile(name string) ([]byte, error)
	// Write hands the text to a file that exists, by one write(2).
	Write(name, text string) error
	Mkdir(name string, mode uint32) error
	Chown(name string, uid, gid int) error
	Chmod(name string, mode uint32) error
}

// Options are the circumstances of a program.
type Options struct {
	Kernel Kernel
	// Machine says that the system has the machine to itself: it is in no
	// container.
	Machine bool
	// Names resolves users and groups.
	Names account.Names
	// Warn gets what is wrong but no reason to stop.
	Warn func(line string)
}

// ErrTask is a plan that this package cannot carry out.
var ErrTask = errors.New("a task has exactly one thing to do")

// Run does the tasks in order, up to the first that fails.
func Run(plan spec.TaskPlan, o Options) error {
	for i, t := range plan.Tasks {
		if err := one(t, o); err != nil {
			if errors.Is(err, ErrTask) {
				return fmt.Errorf("cannot do task %d: %w", i+1, err)
			}
			return err
		}
	}
	return nil
}

func one(t spec.Task, o Options) error {
	var do []func() error
	if t.ShareMount != "" {
		do = append(do, func() error { return o.share(t.ShareMount) })
	}
	if t.Controllers != nil {
		do = append(do, func() error { return o.controllers(t.Controllers) })
	}
	if t.CgroupOwner != nil {
		do = append(do, func() error { return o.cgroupOwner(t.CgroupOwner) })
	}
	if len(do) != 1 {
		return ErrTask
	}
	return do[0]()
}

// share makes a mount shared, so that what is mounted below it later is seen in
// mount namespaces that are made from now on, see mount_namespaces(7).
func (o Options) share(path string) error {
	err := o.Kernel.Share(path)
	switch {
	case refused(err):
		o.Warn(fmt.Sprintf("cannot share the mount %s: %v; what is mounted later does not reach containers of users that run already", path, err))
		return nil
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("cannot share the mount %s: nothing is mounted there", path)
	case err != nil:
		return fmt.Errorf("cannot share the mount %s: %w", path, err)
	}
	return nil
}

// refused says whether an error means that this container may not do it.
func refused(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)
}
