// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// Files of a control group, see cgroups(7).
const (
	available = "cgroup.controllers"
	enabled   = "cgroup.subtree_control"
	members   = "cgroup.procs"
	// kind is in every group but the one that holds the whole machine.
	kind = "cgroup.type"
)

// leaf is the control group for the processes that would otherwise be in the
// root of the container's: a group with members cannot have controllers enabled
// for its children.
const leaf = "init"

// notOwn is why a container leaves a control group alone. An engine that gives
// it all privileges and no control group namespace, see cgroup_namespaces(7),
// would otherwise let it change the machine.
const notOwn = "it is the control group of the whole machine; give the container one of its own"

// group looks at a control group: which controllers it has, and whether it is
// the system's to change.
func (o Options) group(root string) (controllers []string, own bool, err error) {
	data, err := o.Kernel.ReadFile(path.Join(root, available))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("there is no control group at %s; mount a file system of type cgroup2 there", root)
	}
	if err != nil {
		return nil, false, err
	}
	if !o.Machine {
		_, err = o.Kernel.ReadFile(path.Join(root, kind))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	return strings.Fields(string(data)), err == nil, nil
}

// controllers enables controllers for the children of a control group. The
// kernel takes all of one write or none, so those that it lacks are left out.
func (o Options) controllers(c *spec.Controllers) error {
	has, own, err := o.group(c.Root)
	if err != nil {
		return fmt.Errorf("cannot enable controllers: %w", err)
	}
	if !own {
		o.Warn(fmt.Sprintf("cannot limit %s in containers of users by %s: %s", strings.Join(c.Enable, ", "), c.Root, notOwn))
		return nil
	}
	var there, lacking []string
	for _, name := range c.Enable {
		if slices.Contains(has, name) {
			there = append(there, name)
		} else {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) > 0 {
		o.Warn(fmt.Sprintf("cannot limit %s in containers of users: the host gives the control group %s no such controllers; delegate them to it there",
			strings.Join(lacking, ", "), c.Root))
	}
	if len(there) == 0 {
		return nil
	}
	text := "+" + strings.Join(there, " +")
	file := path.Join(c.Root, enabled)
	err = o.Kernel.Write(file, text)
	if errors.Is(err, unix.EBUSY) {
		if err = o.moveToLeaf(c.Root); err == nil {
			err = o.Kernel.Write(file, text)
		}
	}
	if errors.Is(err, unix.EBUSY) {
		err = fmt.Errorf("%w: processes from outside of this container are in the group", err)
	}
	if err != nil {
		o.Warn(fmt.Sprintf("cannot limit %s in containers of users: cannot write %q to %s: %v", strings.Join(there, ", "), text, file, err))
	}
	return nil
}

// rounds bound how often the members of a group are asked for: they may fork
// while they are moved.
const rounds = 10

// moveToLeaf moves the processes of a control group into one below it.
func (o Options) moveToLeaf(root string) error {
	to := path.Join(root, leaf)
	if err := o.Kernel.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for range rounds {
		data, err := o.Kernel.ReadFile(path.Join(root, members))
		if err != nil {
			return err
		}
		left := 0
		for _, line := range strings.Fields(string(data)) {
			// 0 is a process that has no number in here; written, it would mean
			// the writer.
			pid, err := strconv.Atoi(line)
			if err != nil || pid <= 0 {
				continue
			}
			left++
			// A process that has ended in the meantime needs no moving.
			if err := o.Kernel.Write(path.Join(to, members), line); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("cannot move process %d into %s: %w", pid, to, err)
			}
		}
		if left == 0 {
			return nil
		}
	}
	return nil
}

// cgroupOwner gives a control group and some of its files to a group of users.
// The folder comes first: without it the rest is of no use.
func (o Options) cgroupOwner(c *spec.CgroupOwner) error {
	uid, _, err := o.Names.User(c.User)
	if err != nil {
		return fmt.Errorf("cannot give %s away: %w", c.Root, err)
	}
	gid, err := o.Names.Group(c.Group)
	if err != nil {
		return fmt.Errorf("cannot give %s away: %w", c.Root, err)
	}
	_, own, err := o.group(c.Root)
	if err != nil {
		return fmt.Errorf("cannot give %s away: %w", c.Root, err)
	}
	if !own {
		o.Warn(fmt.Sprintf("cannot make %s the owner of %s: %s", owner(c), c.Root, notOwn))
		return nil
	}
	give := func(name string, mode uint32) error {
		if err := o.Kernel.Chown(name, uid, gid); err != nil {
			return fmt.Errorf("cannot make %s the owner of %s: %w", owner(c), name, err)
		}
		if err := o.Kernel.Chmod(name, mode); err != nil {
			return fmt.Errorf("cannot give %s the mode %#o: %w", name, mode, err)
		}
		return nil
	}
	err = give(c.Root, c.DirMode)
	for _, name := range c.Files {
		if err != nil {
			break
		}
		err = give(path.Join(c.Root, name), c.FileMode)
	}
	// Ids that a container lacks are refused in other ways, see chown(2).
	if refused(err) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOVERFLOW) {
		o.Warn(err.Error() + "; limits of containers of users have no effect")
		return nil
	}
	return err
}

func owner(c *spec.CgroupOwner) string {
	user, group := c.User, c.Group
	if user == "" {
		user = "root"
	}
	if group == "" {
		group = "root"
	}
	return user + ":" + group
}
