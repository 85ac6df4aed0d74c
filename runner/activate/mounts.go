// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// KernelMounts makes real mounts, in the system that runs.
type KernelMounts struct{}

// PermitSetID mounts an own file system on dir where set-id programs would have
// no effect, as on a /run that is mounted nosuid.
func (KernelMounts) PermitSetID(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("cannot look at the mount of %s: %w", dir, err)
	}
	if st.Flags&(unix.ST_NOSUID|unix.ST_NOEXEC) == 0 {
		return nil
	}
	if err := unix.Mount("privileged", dir, "tmpfs", unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("cannot mount a file system that permits set-id programs on %s: %w", dir, err)
	}
	return nil
}

// Bind mounts the file source on the file target, read-only as what is around
// it.
func (KernelMounts) Bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot put %s in the place of %s: %w", source, target, err)
	}
	// A bind ignores MS_RDONLY, see mount(2).
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("cannot make %s read-only: %w", target, err)
	}
	return nil
}

// Unmount detaches what is mounted on target.
func (KernelMounts) Unmount(target string) error {
	if err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", target, err)
	}
	return nil
}
