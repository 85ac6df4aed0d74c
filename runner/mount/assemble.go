// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"path"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// Registers of the steps. The runner's own instructions use the others.
const (
	// RegRoot is a descriptor of the new root, the current folder while steps
	// run. OpRoot sets it; before the inner stage the runner sets it anew.
	RegRoot Reg = iota + 1
	regA
	regB
	// FirstFreeReg is the first register that steps leave alone.
	FirstFreeReg
)

// optionPage is how much of mount(2)'s option string the kernel reads. What is
// longer would be cut off without an error.
const optionPage = 4000

// Assembler turns steps into instructions.
type Assembler struct {
	Code *Code
	// IDs are the container's ids as the outer stage sees them.
	IDs spec.IDMap
	// MapFD is a user namespace whose map shows host root as container root,
	// for steps with the IDMap flag.
	MapFD int
}

// Add appends the steps of one stage, in order.
func (a Assembler) Add(p Plan, stage Stage) error {
	steps := 0
	for i := range p.Steps {
		if p.Steps[i].Stage == stage {
			steps++
		}
	}
	// A bind and the folder below it, of which there may be many, take 5.
	a.Code.Grow(3*steps+32, steps)
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Stage != stage {
			continue
		}
		a.Code.labels = append(a.Code.labels, label{step: s})
		start := a.Code.Next()
		if err := a.step(*s); err != nil {
			return fmt.Errorf("cannot %s: %w", s.Verb(), err)
		}
		if s.Optional {
			a.Code.SkipFrom(start)
			// The step may have failed in another folder.
			a.Code.Do(unix.SYS_FCHDIR).From[0] = RegRoot
		}
	}
	return nil
}

func (a Assembler) step(s Step) error {
	c := a.Code
	switch s.Op {
	case OpRoot:
		c.Do(unix.SYS_MOUNT, c.Text("tmpfs"), c.Text(s.Source), c.Text("tmpfs"), legacyFlags(s.Flags), a.options(s))
		c.Do(unix.SYS_CHDIR, c.Text(s.Source))
		c.Do(unix.SYS_OPENAT, AtCwd(), c.Text("."), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC).Save = RegRoot
	case OpDirectory:
		c.Do(unix.SYS_MKDIRAT, AtCwd(), c.Text(rel(s.Target)), uintptr(s.Mode))
		a.chown(s)
	case OpFile:
		c.Do(unix.SYS_OPENAT, AtCwd(), c.Text(rel(s.Target)), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, uintptr(s.Mode)).Save = regA
		if n := uintptr(len(s.Content)); n > 0 {
			in := c.Do(unix.SYS_WRITE, 0, c.Bytes(s.Content), n)
			in.From[0], in.Exact, in.Want = regA, true, n
		}
		c.Do(unix.SYS_CLOSE).From[0] = regA
		a.chown(s)
	case OpLink:
		c.Do(unix.SYS_SYMLINKAT, c.Text(s.Source), AtCwd(), c.Text(rel(s.Target)))
		a.chown(s)
	case OpBind:
		a.bind(s)
	case OpMount:
		a.enter(s.Target)
		c.Do(unix.SYS_MOUNT, c.Text(s.FS), c.Text("."), c.Text(s.FS), legacyFlags(s.Flags), a.options(s))
		c.Do(unix.SYS_FCHDIR).From[0] = RegRoot
	case OpOverlay:
		a.overlay(s)
	case OpDetach:
		c.Do(unix.SYS_UMOUNT2, c.Text(rel(s.Target)), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		c.Do(unix.SYS_UNLINKAT, AtCwd(), c.Text(rel(s.Target)), unix.AT_REMOVEDIR)
	case OpReadOnly:
		attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		c.Do(unix.SYS_MOUNT_SETATTR, AtCwd(), c.Text(rel(s.Target)), unix.AT_SYMLINK_NOFOLLOW, Data(c, attr), unsafe.Sizeof(*attr))
	default:
		return fmt.Errorf("unknown operation %q", s.Op)
	}
	return nil
}

// rel is a path in the container as seen from the new root, which is the
// current folder while steps run.
func rel(target string) string {
	if target == "/" {
		return "."
	}
	return strings.TrimPrefix(target, "/")
}

// chown gives a new file to its owner. Where the outer stage's root is already
// the container's, there is nothing to do for root's files.
func (a Assembler) chown(s Step) {
	uid, gid := outside(a.IDs.UIDs, s.UID), outside(a.IDs.GIDs, s.GID)
	if s.MountPoint || uid == 0 && gid == 0 {
		return
	}
	c := a.Code
	c.Do(unix.SYS_FCHOWNAT, AtCwd(), c.Text(rel(s.Target)), uintptr(uid), uintptr(gid), unix.AT_SYMLINK_NOFOLLOW)
	if s.Op == OpDirectory && s.Mode&^0o777 != 0 {
		c.Do(unix.SYS_FCHMODAT, AtCwd(), c.Text(rel(s.Target)), uintptr(s.Mode))
	}
}

// outside is an id of the container as the outer stage sees it; ids that the
// container does not have fall to the map's first.
func outside(extents []spec.Extent, id int) int {
	for _, e := range extents {
		if id >= e.Inside && id < e.Inside+e.Count {
			return e.Outside + id - e.Inside
		}
	}
	if len(extents) > 0 {
		return extents[0].Outside
	}
	return id
}

// enter makes the folder at target the current one. No symbolic link is
// followed on the way, because the path may lead through a folder of the host
// that somebody else writes to.
func (a Assembler) enter(target string) {
	a.open(target)
	a.Code.Do(unix.SYS_FCHDIR).From[0] = regB
	a.Code.Do(unix.SYS_CLOSE).From[0] = regB
}

func (a Assembler) open(target string) {
	c := a.Code
	how := &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	}
	c.Do(unix.SYS_OPENAT2, AtCwd(), c.Text(rel(target)), Data(c, how), unsafe.Sizeof(*how)).Save = regB
}

func (a Assembler) bind(s Step) {
	c := a.Code
	const clone = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
	if s.FromRoot {
		// An item may hold a link to anywhere; it must not show the host there.
		a.open(s.Source)
		in := c.Do(unix.SYS_OPEN_TREE, 0, c.Text(""), clone|unix.AT_EMPTY_PATH)
		in.From[0], in.Save = regB, regA
		c.Do(unix.SYS_CLOSE).From[0] = regB
	} else {
		c.Do(unix.SYS_OPEN_TREE, AtCwd(), c.Text(s.Source), clone).Save = regA
	}
	attr := unix.MountAttr{Attr_set: uint64(attributes(s.Flags))}
	if s.Flags.IDMap {
		attr.Attr_set |= unix.MOUNT_ATTR_IDMAP
		attr.Userns_fd = uint64(a.MapFD)
	}
	if attr.Attr_set != 0 {
		// Recursive, so that a mount below the source is no way around.
		c.Do(unix.SYS_MOUNT_SETATTR, 0, c.Text(""), unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, c.attributes(attr), unsafe.Sizeof(attr)).From[0] = regA
	}
	if s.Foreign {
		a.open(s.Target)
		in := c.Do(unix.SYS_MOVE_MOUNT, 0, c.Text(""), 0, c.Text(""), unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
		in.From[0], in.From[2] = regA, regB
		c.Do(unix.SYS_CLOSE).From[0] = regB
	} else {
		c.Do(unix.SYS_MOVE_MOUNT, 0, c.Text(""), AtCwd(), c.Text(rel(s.Target)), unix.MOVE_MOUNT_F_EMPTY_PATH).From[0] = regA
	}
	c.Do(unix.SYS_CLOSE).From[0] = regA
}

// overlay merges trees of the store. Lowers are named relative to a folder of
// the new root where they stand with their ids mapped: an absolute host path
// would work too, and show every file as nobody's.
func (a Assembler) overlay(s Step) {
	c := a.Code
	for _, lower := range s.Lowers {
		// The kernel follows links in a lower's path, and items hold what their
		// builder put there: see that none is on the way.
		a.open(path.Join(s.Source, lower))
		c.Do(unix.SYS_CLOSE).From[0] = regB
	}
	c.Do(unix.SYS_CHDIR, c.Text(rel(s.Source)))
	lowers := strings.Join(s.Lowers, ":")
	up := strings.Repeat("../", strings.Count(s.Source, "/")) + rel(s.Target)
	if len(lowers) < optionPage {
		c.Do(unix.SYS_MOUNT, c.Text("osbuild"), c.Text(path.Clean(up)), c.Text("overlay"), legacyFlags(s.Flags), c.Text("lowerdir="+lowers))
	} else {
		// Linux 6.8 takes any length, one lower at a time.
		c.Do(unix.SYS_FSOPEN, c.Text("overlay"), unix.FSOPEN_CLOEXEC).Save = regA
		key := c.Text("lowerdir+")
		for _, lower := range s.Lowers {
			c.Do(unix.SYS_FSCONFIG, 0, unix.FSCONFIG_SET_STRING, key, c.Text(lower), 0).From[0] = regA
		}
		c.Do(unix.SYS_FSCONFIG, 0, unix.FSCONFIG_SET_STRING, c.Text("source"), c.Text("osbuild"), 0).From[0] = regA
		c.Do(unix.SYS_FSCONFIG, 0, unix.FSCONFIG_CMD_CREATE, 0, 0, 0).From[0] = regA
		in := c.Do(unix.SYS_FSMOUNT, 0, unix.FSMOUNT_CLOEXEC, attributes(s.Flags))
		in.From[0], in.Save = regA, regB
		in = c.Do(unix.SYS_MOVE_MOUNT, 0, c.Text(""), AtCwd(), c.Text(path.Clean(up)), unix.MOVE_MOUNT_F_EMPTY_PATH)
		in.From[0] = regB
		c.Do(unix.SYS_CLOSE).From[0] = regA
		c.Do(unix.SYS_CLOSE).From[0] = regB
	}
	c.Do(unix.SYS_FCHDIR).From[0] = RegRoot
}

// options is the address of mount(2)'s option string. A tmpfs of the outer
// stage is told whose it is.
func (a Assembler) options(s Step) uintptr {
	opts := s.Options
	if uid, gid := outside(a.IDs.UIDs, s.UID), outside(a.IDs.GIDs, s.GID); s.Stage == Outer && (uid != 0 || gid != 0) {
		opts = append([]string{fmt.Sprintf("uid=%d", uid), fmt.Sprintf("gid=%d", gid)}, opts...)
	}
	return a.Code.Text(strings.Join(opts, ","))
}

func attributes(f Flags) uintptr {
	var a uintptr
	if f.ReadOnly {
		a |= unix.MOUNT_ATTR_RDONLY
	}
	if f.NoSuid {
		a |= unix.MOUNT_ATTR_NOSUID
	}
	if f.NoDev {
		a |= unix.MOUNT_ATTR_NODEV
	}
	if f.NoExec {
		a |= unix.MOUNT_ATTR_NOEXEC
	}
	return a
}

func legacyFlags(f Flags) uintptr {
	var a uintptr
	if f.ReadOnly {
		a |= unix.MS_RDONLY
	}
	if f.NoSuid {
		a |= unix.MS_NOSUID
	}
	if f.NoDev {
		a |= unix.MS_NODEV
	}
	if f.NoExec {
		a |= unix.MS_NOEXEC
	}
	return a
}
