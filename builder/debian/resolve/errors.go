// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"strings"
)

// UnknownError says that no package has the name of a root.
type UnknownError struct {
	Name string
	// Near are names that may have been meant, the likeliest first.
	Near []string
	// Providers are the packages that provide Name, which is virtual.
	Providers []string
}

func (e *UnknownError) Error() string {
	s := fmt.Sprintf("cannot find the package %q", e.Name)
	switch {
	case len(e.Providers) > 0:
		return s + ": no package has this name, but these provide it: " + strings.Join(e.Providers, ", ") + "; name one of them"
	case len(e.Near) > 0:
		return s + "; did you mean " + strings.Join(e.Near, ", ") + "?"
	}
	return s + " in the indexes of the host's archives; look at its spelling, or add the archive that has it to the host's apt sources"
}

// ConflictError says that two packages exclude each other.
type ConflictError struct {
	A, B string // "name version"
	// Why is what A or B says: "A conflicts with B (<< 2)".
	Why string
	// PathA and PathB lead from a root to A and to B.
	PathA, PathB []string
	// Locked are those of the two that a lock keeps at their versions.
	Locked []string
}

func (e *ConflictError) Error() string {
	var todo []string
	if len(e.PathA) > 0 && len(e.PathB) > 0 && e.PathA[0] != e.PathB[0] {
		todo = append(todo, "leave out "+e.PathA[0]+" or "+e.PathB[0])
	}
	if len(e.Locked) > 0 {
		todo = append(todo, "let what is locked move: `osbuild lock --update FILE "+strings.Join(e.Locked, " ")+"`")
	}
	todo = append(todo, "name an alternative that does not conflict")
	return fmt.Sprintf("cannot have %s and %s together: %s\n  %s\n  %s\n%s",
		e.A, e.B, e.Why, way(e.PathA), way(e.PathB), strings.Join(todo, ", or "))
}

// UnsatisfiedError says that no package satisfies what another one needs.
type UnsatisfiedError struct {
	Package string // "name version"
	Needs   string // as the package writes it
	// Why says what there is instead, or why it cannot be taken.
	Why string
	// Path leads from a root to Package.
	Path []string
}

func (e *UnsatisfiedError) Error() string {
	return fmt.Sprintf("cannot satisfy %s, which needs %s: %s\n  %s", e.Package, e.Needs, e.Why, way(e.Path))
}

// way writes a path of dependencies.
func way(path []string) string { return strings.Join(path, " -> ") }
