// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// magics are the file systems of which one at the target is as good as ours:
// the runner has mounted most of them before PID 1 began.
var magics = map[string]int64{
	spec.MountProc:    unix.PROC_SUPER_MAGIC,
	spec.MountSysfs:   unix.SYSFS_MAGIC,
	spec.MountDevpts:  unix.DEVPTS_SUPER_MAGIC,
	spec.MountMqueue:  0x19800202,
	spec.MountCgroup2: unix.CGROUP2_SUPER_MAGIC,
}

// mount makes the mount of a service. mounted says that there is something to
// unmount at its stop.
func mount(m spec.Mount) (mounted bool, err error) {
	if magic, ok := magics[m.Kind]; ok {
		var st unix.Statfs_t
		if unix.Statfs(m.Target, &st) == nil && int64(st.Type) == magic {
			return false, nil
		}
	}
	err = mountOnce(m)
	if err != nil && m.Optional {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot mount %s: %w", m.Target, err)
	}
	return true, nil
}

func mountOnce(m spec.Mount) error {
	var flags uintptr
	for flag, set := range map[uintptr]bool{
		unix.MS_NOSUID: m.NoSuid, unix.MS_NODEV: m.NoDev, unix.MS_NOEXEC: m.NoExec, unix.MS_RDONLY: m.ReadOnly,
	} {
		if set {
			flags |= flag
		}
	}
	switch m.Kind {
	case spec.MountBind:
		return bind(m, flags)
	case spec.MountTmpfs, spec.MountProc, spec.MountSysfs, spec.MountDevpts, spec.MountMqueue, spec.MountCgroup2:
		if err := os.MkdirAll(m.Target, 0o755); err != nil {
			return err
		}
		return unix.Mount(m.Kind, m.Target, m.Kind, flags, strings.Join(m.Options, ","))
	}
	return fmt.Errorf("there is no mount of kind %q", m.Kind)
}

// bind shows a tree in a second place. Flags need a second call, and cover the
// mounts below as well.
func bind(m spec.Mount, flags uintptr) error {
	st, err := os.Stat(m.Source)
	if err != nil {
		return err
	}
	if st.IsDir() {
		err = os.MkdirAll(m.Target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(m.Target), 0o755); err == nil {
		var f *os.File
		if f, err = os.OpenFile(m.Target, os.O_CREATE|os.O_RDONLY, 0o644); err == nil {
			f.Close()
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(m.Source, m.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if flags == 0 {
		return nil
	}
	var attr unix.MountAttr
	for flag, bit := range map[uintptr]uint64{
		unix.MS_NOSUID: unix.MOUNT_ATTR_NOSUID, unix.MS_NODEV: unix.MOUNT_ATTR_NODEV,
		unix.MS_NOEXEC: unix.MOUNT_ATTR_NOEXEC, unix.MS_RDONLY: unix.MOUNT_ATTR_RDONLY,
	} {
		if flags&flag != 0 {
			attr.Attr_set |= bit
		}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, m.Target, unix.AT_RECURSIVE, &attr); err != nil {
		// Rather no mount than one that can be written.
		return errors.Join(err, unmount(m.Target))
	}
	return nil
}

// unmount takes a mount away; what still uses it keeps it for that long.
func unmount(target string) error {
	if err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", target, err)
	}
	return nil
}
