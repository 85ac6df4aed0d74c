// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"fmt"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/runner/spec"
)

// tailLines is how much of a failed build's log an error shows.
const tailLines = 20

// BuildError says that a derivation could not be built.
type BuildError struct {
	// Name, Key and Pos are those of the derivation.
	Name string
	Key  derivation.Key
	Pos  derivation.Position
	// Cause is why; an *[ExitError] where a program failed.
	Cause error
	// LogTail is the end of the log, and LogPath where all of it lies; both
	// are empty where the build said nothing.
	LogTail []string
	LogPath string
	// KeptDir is the folder of the build, where it was kept.
	KeptDir string
	// Hint says what to do next, "" where Cause says so itself.
	Hint string
}

// Error gives several lines: what and where, the end of the log, the places.
func (e *BuildError) Error() string {
	var b strings.Builder
	if p := e.Pos.String(); p != "" {
		b.WriteString(p + ": ")
	}
	fmt.Fprintf(&b, "cannot build %q: %v", e.Name, e.Cause)
	if len(e.LogTail) > 0 {
		b.WriteString("\n  the end of its log:")
		for _, l := range e.LogTail {
			b.WriteString("\n  | " + l)
		}
	}
	if e.LogPath != "" {
		b.WriteString("\n  the whole log: " + e.LogPath)
	}
	if e.KeptDir != "" {
		b.WriteString("\n  the build folder is kept: " + e.KeptDir)
	}
	if e.Hint != "" {
		b.WriteString("\n  " + e.Hint)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *BuildError) Unwrap() error { return e.Cause }

// ExitError says how a builder program ended that did not succeed.
type ExitError struct{ Exit spec.Exit }

func (e *ExitError) Error() string {
	if e.Exit.Signal != 0 {
		return fmt.Sprintf("the builder was killed by signal %d (%s)", e.Exit.Signal, signalName(e.Exit.Signal))
	}
	return fmt.Sprintf("the builder ended with status %d", e.Exit.Code)
}

// DifferenceError says that building again gave something else.
type DifferenceError struct {
	Name   string
	Key    derivation.Key
	Pos    derivation.Position
	Output string
	// File is the first file that differs, relative to the output; "" is the
	// output itself.
	File string
	// Detail says what differs about it.
	Detail string
	// KeptDir holds the second result, where it was kept.
	KeptDir string
}

func (e *DifferenceError) Error() string {
	var b strings.Builder
	if p := e.Pos.String(); p != "" {
		b.WriteString(p + ": ")
	}
	file := e.File
	if file == "" {
		file = "the output itself"
	}
	fmt.Fprintf(&b, "cannot reproduce %q: built again, output %q differs first in %s: %s", e.Name, e.Output, file, e.Detail)
	if e.KeptDir != "" {
		b.WriteString("\n  the second result is kept: " + e.KeptDir)
	} else {
		b.WriteString("\n  run again with --keep-failed to keep the second result for comparison")
	}
	return b.String()
}
