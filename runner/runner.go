// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package runner turns a closure on disk into running processes: it boots a
// system as a container, enters and stops containers, runs build programs in a
// sandbox and single programs over their closure.
//
// It owns processes, namespaces, the registry of running containers and the
// host's side of the control protocol. It never decides what stands where
// (runner/mount plans that, as data), never reads a declaration and never
// writes into a store. Everything that a new process does between its creation
// and its execve is a list of system calls computed beforehand; see [Run] for a
// container's life, and start in engine.go for how a process comes to be.
package runner

import (
	"errors"
	"os"
	"time"

	"osbuild/runner/cgroup"
	"osbuild/runner/spec"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotFound says that no running container has that name or PID.
	ErrNotFound = errors.New("no such container")
	// ErrInUse says that a name or a state folder belongs to a container that
	// is running.
	ErrInUse = errors.New("in use by a running container")
	// ErrBoot says that the container ended before it was ready.
	ErrBoot = errors.New("the container did not boot")
)

// Options say how a system is run. Nothing in them changes the system's hash.
type Options struct {
	// Name is the container's name in the registry; Run invents one from the
	// host name when it is empty.
	Name string
	// System is the logical path of the system item.
	System string
	// Container is the system's container.json.
	Container spec.Container
	// Items are the system's closure.
	Items []spec.Item
	// StateRoot is the registry of running containers, [DefaultStateRoot]
	// when empty.
	StateRoot string
	// Mappings are the shares and exposes, in order.
	Mappings []spec.Mapping
	// Network overrides Container.Network when not empty.
	Network string
	// StateDir keeps /var, /home, /root, /srv and the id range between runs.
	StateDir string
	// Secrets maps a name in /run/secrets to a file of the host.
	Secrets map[string]string
	// PIDFile gets the container's PID, as the host sees it.
	PIDFile string
	// Wait is how long Command waits for the services, 30 s when 0.
	Wait time.Duration
	// Command is run as root in the booted container, which then powers off;
	// without it the container runs until a signal or its own end.
	Command []string
	// IDs is how many ids the container has, spec.Ids when 0. Only root can
	// give more.
	IDs int
	// SingleID maps root alone, for users without subordinate ids. Programs
	// that change to another user fail in such a container.
	SingleID bool
	// Hierarchy says how /usr and /opt are made.
	Hierarchy Hierarchy
	// Nested makes the container fit for containers in it.
	Nested bool
	// Limits bound what the container as a whole uses.
	Limits cgroup.Limits
	// Publish opens ports of the container on the host, for as long as it runs.
	Publish []Port
	// Stdin, Stdout and Stderr belong to Command. Nil is /dev/null.
	Stdin, Stdout, Stderr *os.File `json:"-"`
	// Message gets what the user should read, a line a call. Nil drops it.
	Message func(string) `json:"-"`
	// Ready is called once the services have started or failed, with the
	// container's name.
	Ready func(name string) `json:"-"`
}
