// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/cgroup"
)

// groupFile is the file of a registry entry that names the control group of its
// container. It is written before the group is made, so that one whose runner
// was killed is found again.
const groupFile = "cgroup"

// controlGroup gives the container a control group of its own, if it is to have
// one: for containers in it, or for limits. The kernel lets root alone make
// one, and users to whom a group was delegated.
func (c *container) controlGroup() error {
	limited := c.o.Limits != cgroup.Limits{}
	if !c.o.Nested && !limited {
		return nil
	}
	err := c.makeGroup()
	switch {
	case err == nil:
		return nil
	case limited && errors.Is(err, cgroup.ErrNone) && !c.who.asRoot:
		return fmt.Errorf("cannot limit the container: %w; start it as root, or by `systemd-run --user --scope --property=Delegate=yes osbuild ...`", err)
	case limited:
		return err
	case c.who.asRoot:
		c.o.Message("warning: containers in this one cannot be limited: " + err.Error())
	}
	return nil
}

func (c *container) makeGroup() error {
	h, err := cgroup.Find()
	if err != nil {
		return err
	}
	dir, err := h.Place(c.entry.name+"-"+strings.ToLower(rand.Text()[:8]), c.who.asRoot)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(c.entry.dir, groupFile), []byte(dir), 0o600); err != nil {
		return err
	}
	r := cgroup.Request{Dir: dir, Owner: -1, Limits: c.o.Limits}
	if c.who.asRoot {
		r.Owner = c.who.base()
	}
	begin, err := h.Make(r)
	if err != nil {
		return err
	}
	c.group, err = os.OpenFile(begin, unix.O_PATH|unix.O_DIRECTORY, 0)
	return err
}

// groupDir is the folder of the group.
func (c *container) groupDir() string {
	if c.group == nil {
		return ""
	}
	return c.group.Name()
}

// leaveGroup gives up the group that the entry names; a failure does not change
// how the container ended.
func (c *container) leaveGroup() {
	if err := c.entry.leaveGroup(); err != nil {
		c.o.Message("warning: " + err.Error())
	}
}

// leaveGroup ends what is left in the entry's control group, and removes it. It
// is tried once: a user cannot remove a group in one that belongs to another of
// the container's ids, and leaves it to who delegated the group above.
func (e *claimed) leaveGroup() error {
	file := filepath.Join(e.dir, groupFile)
	dir, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = cgroup.Remove(string(dir))
	}
	return errors.Join(err, os.Remove(file))
}

// joinGroup opens the control group that a container's PID 1 is in, nil where
// the container has none of its own. A container that hides where PID 1 is, in
// groups deeper than a path can tell, does not get a program past its limits by
// that: the program begins in the container's whole group.
func (i Instance) joinGroup() (*os.File, error) {
	if i.Group == "" {
		return nil, nil
	}
	if h, err := cgroup.Find(); err == nil {
		if dir, ok := h.Of(i.PID); ok {
			if f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0); err == nil {
				return f, nil
			}
		}
	}
	f, err := os.OpenFile(i.Group, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot find the control group of container %s: %w", i.Name, err)
	}
	return f, nil
}
