// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package spec is the contract between what builds a system and what runs it:
// plain data with a canonical JSON form and a version, nothing else.
//
// It owns the words of container.json, of the activation plan, of the service
// plan and of the control protocol that osbuild-init speaks. It never reads a
// file, starts a process or knows how a system was declared, and it imports
// the standard library alone, so the builder and the runner can share it
// without sharing anything more. Start with [Container].
package spec

// Version is the format version of every document of this package. A reader
// refuses a document whose version it does not know.
const Version = 1

// StoreDir is the logical folder of the store inside every container. It is
// the same string as store.Dir, repeated because this package imports nothing.
const StoreDir = "/osbuild/store"

// Places inside a container that both sides must agree on.
const (
	// CurrentSystem is the link to the system item that runs.
	CurrentSystem = "/run/current-system"
	// BootedSystem is the link to the system item that was booted, whatever
	// runs since.
	BootedSystem = "/run/booted-system"
	// SystemPackages is the name in a system item of the tree that its packages
	// make together, if it has any. That tree holds PackagesRoot, a [Root]
	// with what packages put on it, and PackagesPlan, an [ActivationPlan]
	// whose steps are joined with the system's own.
	SystemPackages = "packages"
	PackagesRoot   = "root.json"
	PackagesPlan   = "activate.json"
	// ControlSocket is the unix socket on which osbuild-init takes requests
	// from inside the container.
	ControlSocket = "/run/osbuild/control"
	// SecretsDir holds one file a secret, given at run time, never an item.
	SecretsDir = "/run/secrets"
	// PrivilegedDir holds the copies of programs that carry privileges.
	PrivilegedDir = "/run/privileged/bin"
	// StateDir is where osbuild-init keeps what must survive a boot: the
	// persisted ids and account files. It lies in /var, which --state keeps.
	StateDir = "/var/lib/osbuild"
	// LogDir holds one log a service.
	LogDir = "/var/log/services"
)

// File descriptors that the runner hands to PID 1 besides 0, 1 and 2, which
// are the caller's own and belong to the command of `run-container -- CMD`.
// osbuild-init marks both close-on-exec before it does anything else.
const (
	// ControlFD is a connected stream socket: requests in, replies out, one
	// JSON document a line ([Request], [Reply]). Its end of file means that
	// the runner died; PID 1 then ends the container at once.
	ControlFD = 3
	// ConsoleFD is where boot messages and the output of services go.
	ConsoleFD = 4
)

// Ids says how many ids a container has: 0 to Ids-1.
const Ids = 65536

// Item is one store item: where it appears and where its bytes lie.
type Item struct {
	// Logical is the path in the container, /osbuild/store/<hash>-<name>.
	Logical string `json:"logical"`
	// Physical is the path on the host.
	Physical string `json:"physical"`
}
