// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"fmt"
	"slices"
	"strings"
)

// Change is a package that differs between two locks. Old or New is "" where
// the package is not in that lock; sizes are of the .deb, in bytes.
type Change struct {
	Name, Old, New   string
	OldSize, NewSize int64
}

// String is one line for people, without a newline.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("+ %s %s (%s)", c.Name, c.New, size(c.NewSize))
	case c.New == "":
		return fmt.Sprintf("- %s %s (%s)", c.Name, c.Old, size(c.OldSize))
	case c.Old == c.New:
		return fmt.Sprintf("~ %s %s: another file of the same version (%s)", c.Name, c.New, size(c.NewSize))
	}
	sign, delta := "+", c.NewSize-c.OldSize
	if delta < 0 {
		sign, delta = "-", -delta
	}
	return fmt.Sprintf("~ %s %s -> %s (%s%s)", c.Name, c.Old, c.New, sign, size(delta))
}

// Diff lists the packages that differ between two locks, by name. A nil lock
// is an empty one.
func Diff(old, next *Lock) []Change {
	var a, b []Package
	if old != nil {
		a = old.Packages
	}
	if next != nil {
		b = next.Packages
	}
	var changes []Change
	for len(a) > 0 || len(b) > 0 {
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = strings.Compare(a[0].Name, b[0].Name)
		}
		switch {
		case order < 0:
			changes = append(changes, Change{Name: a[0].Name, Old: a[0].Version, OldSize: a[0].Size})
			a = a[1:]
		case order > 0:
			changes = append(changes, Change{Name: b[0].Name, New: b[0].Version, NewSize: b[0].Size})
			b = b[1:]
		default:
			if a[0].Version != b[0].Version || a[0].SHA256 != b[0].SHA256 {
				changes = append(changes, Change{
					Name: a[0].Name, Old: a[0].Version, New: b[0].Version, OldSize: a[0].Size, NewSize: b[0].Size,
				})
			}
			a, b = a[1:], b[1:]
		}
	}
	return slices.Clip(changes)
}

// size writes bytes in the units of every other message.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
