// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package services is the library of service types that a system is made of,
// and of the records that declarations use to configure them.
//
// It owns what each type means: what its value is, what others may contribute,
// and which part of the system (an activation step, an entry of /etc, a
// service of PID 1) comes of it. It produces the plans of runner/spec as data
// and never runs, mounts or reads anything; how a graph of services is folded
// is builder/service's business, and which services a system has without
// being asked is builder/system's. Start with [ShepherdRoot] and [Activation],
// in which nearly everything ends.
package services

import (
	"slices"
	"strings"

	"osbuild/builder/service"
)

// Record is a constructor of the declaration language.
type Record struct {
	// Name is the constructor's name, e.g. "user_account".
	Name string
	// Proto is a pointer to a struct that holds the defaults. Fields tagged
	// `star:"name"` or `star:"name,required"` are its arguments, in order.
	Proto any
	Doc   string
	// Convert makes what the constructor returns of the filled-in struct; nil
	// returns the struct itself.
	Convert func(rec any) (any, error)
}

// Records are all constructors of this package, sorted by name.
func Records() []Record {
	all := slices.Concat(accountRecords(), processRecords(), fileRecords(), networkRecords(), pamRecords(), terminalRecords())
	slices.SortFunc(all, func(a, b Record) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Module is something a declaration can load().
type Module struct {
	// Name is the string to load, e.g. "@osbuild//base.star".
	Name  string
	Types map[string]*service.Type
	Lists map[string][]*service.Service
	// Records are constructors that only those have who load them.
	Records []Record
	// Source is Starlark text whose globals the module has too.
	Source string
}

// Modules are the modules of this package.
func Modules() []Module {
	return append([]Module{baseModule(), containersModule()}, readyModules()...)
}
