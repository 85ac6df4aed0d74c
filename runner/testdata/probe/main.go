// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Command probe tries to break out of a container, or to change what it must
// not, in every way that the runner's tests know. It prints one line for each
// attempt that succeeded: no line is the good result.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	for _, target := range os.Args[1:] {
		if target == "--session" {
			id, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
			fmt.Println(id, err)
			return
		}
		readOnly(target)
	}
	host()
	fmt.Println("probe: done")
}

func broke(format string, args ...any) { fmt.Printf("BROKE: "+format+"\n", args...) }

// readOnly tries to write to a read-only mount, after everything that could
// make it writable.
func readOnly(target string) {
	write(target, "as it is")

	_ = unix.Mount("none", target, "", unix.MS_REMOUNT|unix.MS_BIND, "")
	write(target, "after remount,bind,rw")
	_ = unix.Mount("none", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSUID|unix.MS_NODEV, "")
	write(target, "after remount,bind,rw,nosuid,nodev")
	_ = unix.Mount("none", target, "", unix.MS_REMOUNT, "")
	write(target, "after remount,rw")

	for _, flags := range []uint{0, unix.AT_RECURSIVE} {
		attr := &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
		_ = unix.MountSetattr(unix.AT_FDCWD, target, flags, attr)
		write(target, "after mount_setattr")
	}

	// A copy of the mount at another place must be no way around.
	copied := "/tmp/copy"
	_ = os.Mkdir(copied, 0o755)
	if unix.Mount(target, copied, "", unix.MS_BIND|unix.MS_REC, "") == nil {
		_ = unix.Mount("none", copied, "", unix.MS_REMOUNT|unix.MS_BIND, "")
		_ = unix.Mount("none", copied, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSUID|unix.MS_NODEV, "")
		write(copied, "through a bind of "+target)
		_ = unix.Unmount(copied, unix.MNT_DETACH)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, target, unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE)
	if err == nil {
		attr := &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
		_ = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, attr)
		if unix.MoveMount(fd, "", unix.AT_FDCWD, copied, unix.MOVE_MOUNT_F_EMPTY_PATH) == nil {
			write(copied, "through open_tree of "+target)
			_ = unix.Unmount(copied, unix.MNT_DETACH)
		}
		unix.Close(fd)
	}

	before := inode(target)
	if unix.Unmount(target, 0) == nil || unix.Unmount(target, unix.MNT_DETACH) == nil || inode(target) != before {
		broke("%s could be unmounted", target)
	}
}

func inode(path string) uint64 {
	var st unix.Stat_t
	_ = unix.Stat(path, &st)
	return st.Ino
}

// write tries to change target and everything directly in it.
func write(target, how string) {
	var st unix.Stat_t
	if unix.Stat(target, &st) != nil {
		return
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		p := filepath.Join(target, "probe-was-here")
		if f, err := os.Create(p); err == nil {
			f.Close()
			os.Remove(p)
			broke("%s takes new files %s", target, how)
		}
		entries, _ := os.ReadDir(target)
		for _, e := range entries {
			change(filepath.Join(target, e.Name()), how)
		}
	}
	change(target, how)
}

func change(path, how string) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return
	}
	if unix.Chmod(path, st.Mode&0o7777|0o200) == nil {
		broke("the mode of %s can be changed %s", path, how)
	}
	if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
		f.Close()
		broke("%s can be opened for writing %s", path, how)
	}
}

// host tries what reaches beyond the container.
func host() {
	for _, path := range []string{
		"/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/panic", "/proc/sys/fs/file-max",
		"/sys/power/state", "/sys/kernel/uevent_helper", "/proc/irq/default_smp_affinity",
	} {
		if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			f.Close()
			broke("%s can be opened for writing", path)
		}
	}
	for _, path := range []string{"/proc/kcore", "/proc/kmsg", "/proc/timer_list", "/dev/mem", "/dev/kmsg"} {
		if f, err := os.Open(path); err == nil {
			f.Close()
			broke("%s can be read", path)
		}
	}
	if err := unix.Mknod("/tmp/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))); err == nil {
		broke("a disk's node can be made")
	}
	if err := unix.Mknod("/tmp/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err == nil {
		broke("a device node can be made")
	}
	if inode("/") != inode("/..") {
		broke("/.. is not /")
	}
	if err := unix.Chroot("/proc/1/root/.."); err == nil && inode("/") != inode("/proc/1/root") {
		broke("chroot leads out")
	}
	if err := unix.Settimeofday(&unix.Timeval{Sec: 1}); err == nil {
		broke("the clock can be set")
	}
	if _, _, errno := syscall.Syscall(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, 0x7fffffff); errno == 0 {
		broke("reboot takes unknown commands")
	}
	if _, _, errno := syscall.Syscall(unix.SYS_INIT_MODULE, 0, 0, 0); errno != unix.EPERM && errno != unix.ENOSYS {
		broke("a module could be loaded: %v", errno)
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, e := range fds {
		link, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && len(e.Name()) > 0 && e.Name() > "2" && link != "anon_inode:[eventpoll]" && link != "anon_inode:[eventfd]" && len(link) > 5 && link[:5] != "/proc" {
			broke("descriptor %s leaks: %s", e.Name(), link)
		}
	}
}
