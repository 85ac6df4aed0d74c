// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Find looks for the hierarchy. On a machine that has version 1 beside it, its
// place is not /sys/fs/cgroup, so the list of mounts says where it is.
func Find() (Hierarchy, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Hierarchy{}, fmt.Errorf("cannot look for control groups: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Hierarchy{}, fmt.Errorf("cannot look for control groups: %w", err)
	}
	h, ok := find(string(mounts), string(own))
	var st unix.Statfs_t
	if !ok || unix.Statfs(h.Root, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return Hierarchy{}, fmt.Errorf("cannot find control groups: no cgroup2 file system is mounted: %w", ErrNone)
	}
	return h, nil
}

// find reads the two files, see proc_pid_mountinfo(5) and cgroups(7).
func find(mounts, own string) (Hierarchy, bool) {
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(kind) == 0 || kind[0] != "cgroup2" {
			continue
		}
		h := Hierarchy{Root: unescape(fields[4]), mounted: unescape(fields[3])}
		if !path.IsAbs(h.Root) || !path.IsAbs(h.mounted) {
			continue
		}
		h.Own, _ = h.folder(own)
		return h, true
	}
	return Hierarchy{}, false
}

// Controllers are those that the groups at the top can have.
func (h Hierarchy) Controllers() []string { return words(h.Root, controllers) }

// Of is the folder of a process's group.
func (h Hierarchy) Of(pid int) (string, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", false
	}
	return h.folder(string(data))
}

// folder is the folder of the group that a /proc/PID/cgroup names. A group that
// lies above what we see has dots in its path, and no folder here.
func (h Hierarchy) folder(cgroup string) (string, bool) {
	for line := range strings.Lines(cgroup) {
		group, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !ok {
			continue
		}
		if path.Clean(group) != group || !path.IsAbs(group) || group == "/.." || strings.HasPrefix(group, "/../") {
			return "", false
		}
		rest, ok := strings.CutPrefix(group, strings.TrimSuffix(h.mounted, "/"))
		if !ok || rest != "" && rest[0] != '/' {
			return "", false
		}
		return filepath.Join(h.Root, rest), true
	}
	return "", false
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
