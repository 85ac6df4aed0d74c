// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package script reads the maintainer scripts of Debian packages for what they
// would do to a new system, without running anything.
//
// It owns the small shell: the syntax is that of mvdan.cc/sh, and what words,
// conditions and the programs that only work on text become is here. What
// cannot be known before a system runs is carried along as [Unknown], and
// where a condition depends on it, both ways are read. It never touches a disk
// and knows neither the files of the system nor what a command such as adduser
// does to it: for these it asks a [World]. Start with [Read], then shell.go.
package script

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// World is the system that a script is for, and who does what it says.
type World interface {
	// Find follows a path from the root; follow says whether a link at its end
	// is followed too. It gives what stands there and its path without links,
	// or with an error the path at which it would be made, where only the last
	// name is missing.
	Find(path string, follow bool) (Node, string, error)
	// Write makes a file, or changes what one that is there has. One that is
	// made gets the mode that mask, a umask, leaves.
	Write(path, text string, mask uint32) error
	// Edit changes the text of a file that is there.
	Edit(path, from, to string) error
	// Program looks for an executable by its path or by its name.
	Program(name string) (string, bool)
	// Group is the first group of a user, and whether there is such a user.
	Group(user string) (string, bool)
	// Provides says whether the commands that a script wants to have from
	// another file are the world's own, so that the file need not be read.
	Provides(path string) bool
	// Do does a command, or says that it is [Unsure] and did nothing. Its
	// words and conditions may not be known: see [Known] and [Shell.Sure].
	Do(c *Call) Status
	// Leave takes down a command that nobody does, as it is shown to people.
	Leave(command string)
}

// Node is a file, folder or link.
type Node interface {
	// Type is fs.ModeDir, fs.ModeSymlink, or 0 for a file.
	Type() fs.FileMode
	Executable() bool
	// Owner gives names; root has only this one.
	Owner() (user, group string)
	// Target is where a link leads.
	Target() (string, error)
	// Text is what a file has; it is an error if that is longer than most.
	Text(most int) (string, error)
	// List is what a folder holds, sorted by name.
	List() []fs.DirEntry
}

// Script says what is read: a maintainer script of this name, of a package,
// with its arguments.
type Script struct {
	Package, Name, Arch string
	Args                []string
}

// Read does what a script says. One that cannot be read, because it is in
// another language or does not end, is left as a whole.
func Read(w World, s Script, text string) {
	sh := newShell(w, s)
	if err := sh.source(s.Name, text); err != nil {
		sh.Leave(fmt.Sprintf("%s, as a whole: %v", s.Name, err))
	}
}

// Unknown is a character that stands for text that only a running system
// knows: a word that has it is not acted upon. Since it goes through every
// expansion like any other character, nothing else is needed to know what
// depends on what. It is of the private use area, and no script has it.
const Unknown = "\ue0f7"

// Known says whether all of some words are.
func Known(words ...string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, Unknown) })
}

// Status is how a command ends, as far as it can be told.
type Status int

const (
	Success Status = iota
	Failure
	Unsure
)

// When is the status of what holds, or does not.
func When(b bool) Status {
	if b {
		return Success
	}
	return Failure
}

func (s Status) not() Status {
	switch s {
	case Success:
		return Failure
	case Failure:
		return Success
	}
	return Unsure
}
