// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/cgroup"
	"osbuild/runner/idmap"
)

// Doctor examines what containers of the caller need on this machine.
func Doctor() []idmap.Finding {
	out := append([]idmap.Finding{kernel(), overlay(), proc()}, idmap.Doctor()...)
	// What follows is for limits and nested containers, and never amiss: systems
	// that want neither run without.
	return append(out, controlGroups(), device("/dev/net/tun", "a network of their own"), device("/dev/fuse", "file systems of users"))
}

// controlGroups says which limits containers can have.
func controlGroups() idmap.Finding {
	f := idmap.Finding{What: "control groups", OK: true}
	h, err := cgroup.Find()
	if err != nil {
		f.Detail = "none of version 2, so no limits; as root, run: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
		return f
	}
	has := h.Controllers()
	lacking := slices.DeleteFunc([]string{"cpu", "memory", "pids"}, func(c string) bool { return slices.Contains(has, c) })
	f.Detail = fmt.Sprintf("%s with %s", h.Root, cmp.Or(strings.Join(has, ", "), "no controllers"))
	if len(lacking) > 0 {
		f.Detail += fmt.Sprintf("; no limits of %s, unless the kernel is booted with cgroup_no_v1=%s", strings.Join(lacking, ", "), strings.Join(lacking, ","))
	}
	if _, err := h.Place("doctor", runsAsRoot()); err != nil {
		f.Detail += "; this user gets limits by `systemd-run --user --scope --property=Delegate=yes osbuild ...`"
	}
	return f
}

// device looks at a device for nested containers.
func device(name, use string) idmap.Finding {
	f := idmap.Finding{What: name, OK: true, Detail: "open to everybody"}
	if _, err := os.Stat(name); err != nil {
		f.Detail = "missing, so nested containers lack " + use
	} else if len(openDevices("/dev", strings.TrimPrefix(name, "/dev/"))) == 0 {
		f.Detail = "not open to everybody, so nested containers lack " + use + "; as root, run: chmod 0666 " + name
	}
	return f
}

// kernel tries the newest system calls that a start takes, with arguments that
// do nothing.
func kernel() idmap.Finding {
	f := idmap.Finding{What: "kernel", OK: true}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		f.Detail = unix.ByteSliceToString(name.Release[:])
	}
	_, _, clone3 := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0)
	for _, x := range []struct {
		call string
		err  error
	}{
		{"clone3", clone3},
		{"openat2", second(unix.Openat2(-1, "", &unix.OpenHow{}))},
		{"open_tree", second(unix.OpenTree(-1, "", 0))},
		{"mount_setattr", unix.MountSetattr(-1, "", 0, &unix.MountAttr{})},
	} {
		if errors.Is(x.err, unix.ENOSYS) {
			f.OK = false
			f.Detail += ": " + x.call + ": " + x.err.Error()
			f.Remedy = "run Linux 5.12 or later; inside another container, allow " + x.call + " in its system call filter"
			return f
		}
	}
	return f
}

func second(_ int, err error) error { return err }

// overlay looks for the file system that merges packages.
func overlay() idmap.Finding {
	f := idmap.Finding{What: "overlayfs", OK: true, Detail: "available"}
	data, err := os.ReadFile("/proc/filesystems")
	if err == nil && slices.Contains(strings.Fields(string(data)), "overlay") {
		return f
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		modules, _ := filepath.Glob("/lib/modules/" + unix.ByteSliceToString(name.Release[:]) + "/kernel/fs/overlayfs/*")
		if len(modules) > 0 {
			f.Detail = "a module that is loaded when needed"
			return f
		}
	}
	f.OK, f.Detail = false, "missing: /usr of several packages is a view of hard links instead, which takes a moment to make"
	f.Remedy = "as root, run: modprobe overlay"
	return f
}

// proc looks for mounts over parts of /proc, which keep the kernel from giving a
// container a /proc of its own.
func proc() idmap.Finding {
	f := idmap.Finding{What: "/proc", OK: true, Detail: "fully visible"}
	if os.Geteuid() == 0 && idmap.Initial() {
		return f
	}
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		f.OK, f.Detail, f.Remedy = false, "not mounted", "as root, run: mount -t proc proc /proc"
		return f
	}
	for line := range strings.Lines(string(data)) {
		// A folder that is always empty hides nothing.
		fields := strings.Fields(line)
		if len(fields) > 1 && strings.HasPrefix(fields[1], "/proc/") && fields[1] != "/proc/sys/fs/binfmt_misc" {
			f.OK, f.Detail = false, fields[1]+" is covered by another mount, so containers get no /proc"
			f.Remedy = "start the outer container with its /proc unmasked (podman: --security-opt unmask=ALL)"
			return f
		}
	}
	return f
}
