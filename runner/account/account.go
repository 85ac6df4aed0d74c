// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package account computes the account files of a system: /etc/passwd,
// /etc/shadow, /etc/group, /etc/subuid and /etc/subgid.
//
// It owns their formats, the rules by which ids are allocated and kept, and
// the placement of subordinate ids. All of it is pure: earlier state and the
// declaration go in, the new state comes out. It never reads or writes a file
// and never changes the owner of one; runner/activate does that. Start with
// [Build] and, for subordinate ids, [PlaceSubids].
package account

import (
	"errors"

	"osbuild/runner/spec"
)

// Ranges from which ids are allocated.
const (
	systemMin  = 100
	systemMax  = 999
	regularMin = 1000
	regularMax = 59999
)

// Bounds of subordinate ids inside a container, whose own ids end at
// spec.Ids-1; the two highest are nobody and the overflow id.
const (
	// ContainerSubidMin is where subordinate ids begin in a container;
	// regular users get the ids below it.
	ContainerSubidMin = 10000
	// ContainerSubidMax is where they end, exclusive, in a container of
	// spec.Ids ids.
	ContainerSubidMax = spec.Ids - 2
)

// Errors that [Build] and [PlaceSubids] wrap.
var (
	// ErrExhausted says that every id of a range is in use.
	ErrExhausted = errors.New("no id is free")
	// ErrTaken says that a declared id belongs to another account.
	ErrTaken = errors.New("the id belongs to another account")
	// ErrNoStart says that a range that exists already has no start.
	ErrNoStart = errors.New("the range has no start")
	// ErrOutside says that a declared range leaves the permitted bounds.
	ErrOutside = errors.New("the range is outside the permitted ids")
	// ErrOverflow says that a range finds no room.
	ErrOverflow = errors.New("there is no room for the range")
)

// User is one line of /etc/passwd.
type User struct {
	Name     string
	UID, GID int
	Comment  string
	Home     string
	Shell    string
}

// Shadow is one line of /etc/shadow. Rest are the fields behind the password
// as they were read, so that ages and expiries survive.
type Shadow struct {
	Name     string
	Password string
	Rest     [7]string
}

// Group is one line of /etc/group.
type Group struct {
	Name     string
	Password string
	GID      int
	Members  []string
}

// IDs are all ids that names ever had on this system. An id in it is given to
// no other name, so that files of a removed user never become someone else's.
type IDs struct {
	Users  map[string]int `json:"users"`
	Groups map[string]int `json:"groups"`
	// FormerUsers and FormerGroups are ids that a name had before its
	// declaration gave it another.
	FormerUsers  map[int]string `json:"formerUsers,omitempty"`
	FormerGroups map[int]string `json:"formerGroups,omitempty"`
}

// Previous is the state that an earlier activation left.
type Previous struct {
	Users  []User
	Shadow []Shadow
	Groups []Group
	IDs    IDs
}

// Database is the state after an activation.
type Database struct {
	Users  []User
	Shadow []Shadow
	Groups []Group
	IDs    IDs
	// Warnings tell of what was decided against the declaration or by force.
	Warnings []string
}
