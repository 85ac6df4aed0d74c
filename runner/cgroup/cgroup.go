// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package cgroup gives a container a control group of its own on the host, see
// cgroups(7), so that what runs in it can be limited and ended as a whole, and
// so that it can make groups for containers of its own.
//
// It owns where such a group lies, who may change what in it, its limits and
// its end. It knows version 2 alone, starts no process and reads no flag. The
// folder of the hierarchy is a parameter, so that nearly all of it can be tested
// without a kernel. Start with [Find] and [Hierarchy.Make].
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNone says that the caller has no place for groups: there is no hierarchy,
// or it is not the caller's to change.
var ErrNone = errors.New("no control group that this user may change")

// Hierarchy is cgroup2 as the calling process sees it.
type Hierarchy struct {
	// Root is where it is mounted, with the group of that folder at its top.
	Root string
	// Own is the folder of the calling process's group, "" if it lies elsewhere.
	Own string

	// mounted is the group at Root, by the paths of /proc/PID/cgroup.
	mounted string
}

// Request says what group a container gets.
type Request struct {
	// Dir is its folder, see [Hierarchy.Place].
	Dir string
	// Owner is the container's root, who may change the members of the group and
	// make groups below it, but none of its limits. Negative, it is the caller.
	Owner  int
	Limits Limits
}

// topName is the group above those of root's containers.
const topName = "osbuild"

// Place is the folder of the group of a container of that name. Root's lie in a
// group of osbuild's at the top, whatever group root happens to be in. A user's
// lie in the user's own one, which must be delegated to them.
func (h Hierarchy) Place(name string, asRoot bool) (string, error) {
	if asRoot {
		return filepath.Join(h.Root, topName, name), nil
	}
	if h.Own == "" || unix.Access(h.Own, unix.W_OK) != nil || unix.Access(filepath.Join(h.Own, procs), unix.W_OK) != nil {
		return "", ErrNone
	}
	return filepath.Join(h.Own, topName+"-"+name), nil
}

// Files of a group.
const (
	procs          = "cgroup.procs"
	controllers    = "cgroup.controllers"
	subtreeControl = "cgroup.subtree_control"
)

// delegated are the files that belong to whom a group is delegated to, if the
// kernel has them. The others hold limits that are set from above.
var delegated = []string{procs, "cgroup.threads", subtreeControl, "memory.oom.group", "memory.reclaim"}

// innerName is the group that a container of the caller's own is in, below the
// one with its limits: whoever makes a group owns its files, the limits too, and
// a container's root is the caller then. The container cannot see above its own
// group, see cgroup_namespaces(7).
const innerName = "container"

// Make makes a group, which must not be there yet, and returns the folder of the
// one in which the container is to begin. [Remove] of r.Dir takes both away.
func (h Hierarchy) Make(r Request) (begin string, err error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("cannot make the control group %s: %w", r.Dir, err)
	}
	parent := filepath.Dir(r.Dir)
	for try := 0; ; try++ {
		err := os.Mkdir(parent, 0o755)
		if err == nil || errors.Is(err, fs.ErrExist) {
			h.offer(parent, r.Limits)
			err = os.Mkdir(r.Dir, 0o755)
		}
		if err == nil {
			break
		}
		// The last container of another start may take the parent with it.
		if !errors.Is(err, fs.ErrNotExist) || try == 10 {
			return fail(err)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Remove(r.Dir))
		}
	}()
	if err := h.limit(r); err != nil {
		return "", err
	}
	for _, b := range bounds {
		_ = write(r.Dir, b.file, b.value)
	}
	if r.Owner < 0 {
		enable(r.Dir)
		begin = filepath.Join(r.Dir, innerName)
		if err := os.Mkdir(begin, 0o755); err != nil {
			return fail(err)
		}
		return begin, nil
	}
	if err := delegate(r.Dir, r.Owner); err != nil {
		return fail(err)
	}
	return r.Dir, nil
}

// bounds are on the groups that a container may make, each of which takes memory
// of the kernel's: far more than containers in it need.
var bounds = []setting{{file: "cgroup.max.depth", value: "64"}, {file: "cgroup.max.descendants", value: "10000"}}

// delegate gives a group to its owner.
func delegate(dir string, owner int) error {
	if err := os.Lchown(dir, owner, owner); err != nil {
		return err
	}
	for _, name := range delegated {
		err := os.Lchown(filepath.Join(dir, name), owner, owner)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// passedOn are the controllers that containers get where the host has them,
// without asking, so that containers in them can be limited.
var passedOn = []string{"cpu", "cpuset", "memory", "pids"}

// offer enables controllers for the groups in parent, and on the way there.
func (h Hierarchy) offer(parent string, limits Limits) {
	if parent == filepath.Join(h.Root, topName) {
		enable(h.Root)
	} else if len(limits.settings()) > 0 {
		stepDown(parent)
	}
	enable(parent)
}

// enable enables controllers for the groups in dir, each by a write of its own:
// one that is refused shows later, where a limit needs it.
func enable(dir string) {
	enabled := words(dir, subtreeControl)
	for _, c := range words(dir, controllers) {
		if slices.Contains(passedOn, c) && !slices.Contains(enabled, c) {
			_ = write(dir, subtreeControl, "+"+c)
		}
	}
}

// runnerGroup is where the runner goes from a group that it is alone in.
const runnerGroup = topName + "-runner"

// stepDown moves the calling process out of a group that is to have groups with
// controllers: only one without processes can (the "no internal processes" rule
// of cgroups(7)). Where there are others, the group is not ours alone.
func stepDown(dir string) {
	self := fmt.Sprint(os.Getpid())
	if members := words(dir, procs); len(members) != 1 || members[0] != self {
		return
	}
	leaf := filepath.Join(dir, runnerGroup)
	if err := os.Mkdir(leaf, 0o755); err == nil || errors.Is(err, fs.ErrExist) {
		_ = write(leaf, procs, self)
	}
}

// patience is how long a group may take to become empty once it was killed.
const patience = 5 * time.Second

// Remove ends all processes in a group and takes it away with all groups below
// it. A group that is not there is no error.
func Remove(dir string) error {
	fail := func(err error) error { return fmt.Errorf("cannot remove the control group %s: %w", dir, err) }
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// Before Linux 5.14 there is no such file. PID 1's end has killed all by
	// then; else removing will say that the group is busy.
	if err := write(dir, "cgroup.kill", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return fail(err)
	}
	var err error
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		// Another remover may have been faster in the middle of it.
		err = removeTree(dir)
		again := errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOENT)
		if !again || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		return fail(err)
	}
	if top := filepath.Dir(dir); filepath.Base(top) == topName {
		_ = os.Remove(top) // unless another container's group is in it
	}
	return nil
}

// level is a group on the way down to the one that is looked at.
type level struct {
	name string
	// below are the groups in it that are still there.
	below []string
}

// removeTree removes a group and those below it, from the bottom up. It goes from
// folder to folder: what a container made may lie deeper than any path reaches.
func removeTree(dir string) error {
	at, err := openFolder(unix.AT_FDCWD, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { at.Close() }()
	way := []level{{name: dir}}
	if way[0].below, err = folders(at); err != nil {
		return err
	}
	move := func(name string) error {
		next, err := openFolder(int(at.Fd()), name)
		if err == nil {
			at.Close()
			at = next
		}
		return err
	}
	for {
		here := &way[len(way)-1]
		if n := len(here.below); n > 0 {
			name := here.below[n-1]
			here.below = here.below[:n-1]
			if err := move(name); err != nil {
				return err
			}
			below, err := folders(at)
			if err != nil {
				return err
			}
			way = append(way, level{name, below})
			continue
		}
		if len(way) == 1 {
			return removeFolder(unix.AT_FDCWD, dir)
		}
		if err := move(".."); err != nil {
			return err
		}
		if err := removeFolder(int(at.Fd()), here.name); err != nil {
			return err
		}
		way = way[:len(way)-1]
	}
}

func openFolder(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func removeFolder(at int, name string) error {
	if err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// folders are the names of the folders in an open one.
func folders(dir *os.File) (out []string, err error) {
	entries, err := dir.ReadDir(-1)
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out, err
}

// words are the words in a file of a group; none if it cannot be read.
func words(dir, name string) []string {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// write says something to the kernel, in one write and never by making a file.
func write(dir, name, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
