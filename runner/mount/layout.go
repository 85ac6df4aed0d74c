// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"osbuild/runner/spec"
)

// Bind is a host path that the caller has looked at.
type Bind struct {
	// Source is an absolute host path without symbolic links.
	Source string
	// Target is an absolute, clean path in the container.
	Target string
	// Dir says that Source is a folder; otherwise it is a file, a socket or a
	// device.
	Dir   bool
	Flags Flags
	// Optional skips the bind where the kernel refuses it.
	Optional bool
}

// layout collects steps and remembers what stands where, so that mount points
// are made only where the plan itself owns the file system below them.
type layout struct {
	steps []Step
	// made says what the plan put at a path.
	made map[string]what
}

type what int

const (
	nothing what = iota
	folder       // made here, or a tmpfs mounted here: things can be made below
	file
	link
	foreign // somebody's files: nothing is ever made below
)

// newLayout has room for that many items and some more.
func newLayout(items int) *layout {
	l := &layout{steps: make([]Step, 0, 2*items+64), made: make(map[string]what, items+64)}
	l.made["/"] = folder
	return l
}

func (l *layout) add(s Step) { l.steps = append(l.steps, s) }

// ancestor returns what stands at the nearest known path at or above p.
func (l *layout) ancestor(p string) (string, what) {
	for {
		if w := l.made[p]; w != nothing {
			return p, w
		}
		p = path.Dir(p)
	}
}

// directory makes a folder and the parents it lacks.
func (l *layout) directory(s Step) error {
	at, w := l.ancestor(s.Target)
	switch {
	case w == foreign:
		return nil // the mount point must exist there already
	case w == link:
		return fmt.Errorf("cannot make %s: %s is a symbolic link", s.Target, at)
	case w == file:
		return fmt.Errorf("cannot make %s: %s is a file", s.Target, at)
	case at == s.Target:
		return nil
	}
	if parent := path.Dir(s.Target); parent != at {
		if err := l.directory(Step{Target: parent, Mode: 0o755}); err != nil {
			return err
		}
	}
	s.Stage, s.Op = Outer, OpDirectory
	l.add(s)
	l.made[s.Target] = folder
	return nil
}

// leaf makes the folders above a file or link, then the step itself.
func (l *layout) leaf(s Step) error {
	if at, w := l.ancestor(s.Target); at == s.Target && w == file && s.Op == OpFile && len(s.Content) == 0 {
		return nil
	} else if at == s.Target {
		return fmt.Errorf("cannot make %s: it is declared twice", s.Target)
	} else if w == foreign && s.Op == OpFile && len(s.Content) == 0 {
		return nil
	} else if w == foreign {
		return fmt.Errorf("cannot make %s: %s is not the container's own", s.Target, at)
	}
	if err := l.directory(Step{Target: path.Dir(s.Target), Mode: 0o755}); err != nil {
		return err
	}
	s.Stage = Outer
	l.add(s)
	l.made[s.Target] = file
	if s.Op == OpLink {
		l.made[s.Target] = link
	}
	return nil
}

// mount adds a mount and its mount point.
func (l *layout) mount(s Step, dir bool) error {
	at, w := l.ancestor(s.Target)
	s.Foreign = w == foreign
	if dir {
		if err := l.directory(Step{Target: s.Target, Mode: 0o755, MountPoint: true}); err != nil {
			return err
		}
	} else if err := l.leaf(Step{Op: OpFile, Target: s.Target, Mode: 0o644, MountPoint: true}); err != nil {
		return err
	}
	if w == foreign && at == s.Target {
		return fmt.Errorf("cannot mount on %s: something is mounted there already", s.Target)
	}
	l.add(s)
	switch {
	case s.Op == OpMount && s.FS == spec.MountTmpfs:
		l.made[s.Target] = folder
	default:
		l.made[s.Target] = foreign
	}
	return nil
}

// bind adds a bind and its mount point.
func (l *layout) bind(b Bind) error {
	return l.mount(Step{
		Stage: Outer, Op: OpBind, Target: b.Target, Source: b.Source,
		Flags: b.Flags, Optional: b.Optional,
	}, b.Dir)
}

// Item is a store item that the caller has looked at.
type Item struct {
	spec.Item
	// Dir says that the item is a folder. Link is the text of an item that is
	// a symbolic link. Neither: a file.
	Dir  bool
	Link string
}

// store shows the items under a tmpfs that is read-only in the end.
func (l *layout) store(items []Item, idmap bool) error {
	err := l.mount(Step{
		Stage: Outer, Op: OpMount, Target: spec.StoreDir, FS: spec.MountTmpfs,
		Options: []string{"mode=0755"}, Flags: Flags{NoSuid: true, NoDev: true},
	}, true)
	if err != nil {
		return err
	}
	for _, it := range sortedItems(items) {
		if err := l.item(it, idmap); err != nil {
			return err
		}
	}
	l.add(Step{Stage: Outer, Op: OpReadOnly, Target: spec.StoreDir})
	return nil
}

// item shows one item read-only.
func (l *layout) item(it Item, idmap bool) error {
	if path.Dir(it.Logical) != spec.StoreDir {
		return fmt.Errorf("cannot show item %s: it does not lie in %s", it.Logical, spec.StoreDir)
	}
	if it.Link != "" {
		return l.leaf(Step{Op: OpLink, Target: it.Logical, Source: it.Link})
	}
	return l.bind(Bind{
		Source: it.Physical, Target: it.Logical, Dir: it.Dir,
		Flags: Flags{ReadOnly: true, NoSuid: true, NoDev: true, IDMap: idmap},
	})
}

// sortedItems orders items by path and drops repetitions.
func sortedItems(items []Item) []Item {
	out := slices.Clone(items)
	slices.SortStableFunc(out, func(a, b Item) int { return strings.Compare(a.Logical, b.Logical) })
	return slices.CompactFunc(out, func(a, b Item) bool { return a.Logical == b.Logical })
}

// devices are the nodes that every program may expect.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// dev makes /dev out of the host's nodes, bound: a node of one's own would need
// a privilege that no container has.
func (l *layout) dev(extra []string) error {
	err := l.mount(Step{
		Stage: Outer, Op: OpMount, Target: "/dev", FS: spec.MountTmpfs,
		Options: []string{"mode=0755", "size=64k"}, Flags: Flags{NoSuid: true, NoExec: true},
	}, true)
	if err != nil {
		return err
	}
	for _, name := range append(slices.Clone(devices), extra...) {
		err := l.bind(Bind{Source: "/dev/" + name, Target: "/dev/" + name, Flags: Flags{NoSuid: true, NoExec: true}})
		if err != nil {
			return err
		}
	}
	for _, x := range [][2]string{
		{"fd", "/proc/self/fd"},
		{"stdin", "/proc/self/fd/0"},
		{"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"},
	} {
		if err := l.leaf(Step{Op: OpLink, Target: "/dev/" + x[0], Source: x[1]}); err != nil {
			return err
		}
	}
	return nil
}

// depth orders targets so that parents come before what lies in them.
func depth(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

// checkTarget refuses targets that no mapping may take.
func checkTarget(target string) error {
	if !path.IsAbs(target) || path.Clean(target) != target {
		return fmt.Errorf("cannot mount on %q: write an absolute path without dot segments", target)
	}
	for _, own := range []string{"/", "/proc", "/sys", "/dev", "/osbuild"} {
		if target == own || own != "/" && strings.HasPrefix(target, own+"/") {
			if own == "/dev" && target != own {
				continue // a device or a socket of the user's choice
			}
			return fmt.Errorf("cannot mount on %s: the container needs %s for itself; choose another target", target, own)
		}
	}
	return nil
}
