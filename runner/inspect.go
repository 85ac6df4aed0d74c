// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// inspectItems looks at what each item is.
func inspectItems(items []spec.Item) ([]mount.Item, error) {
	out := make([]mount.Item, 0, len(items))
	for _, it := range items {
		st, err := os.Lstat(it.Physical)
		if err != nil {
			return nil, fmt.Errorf("cannot show item %s: %w", it.Logical, err)
		}
		m := mount.Item{Item: it, Dir: st.IsDir()}
		if st.Mode()&os.ModeSymlink != 0 {
			if m.Link, err = os.Readlink(it.Physical); err != nil {
				return nil, fmt.Errorf("cannot show item %s: %w", it.Logical, err)
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// inspectMapping looks at the source of a share or an expose.
func inspectMapping(m spec.Mapping) (mount.Bind, error) {
	source, err := filepath.Abs(m.Source)
	if err == nil {
		source, err = filepath.EvalSymlinks(source)
	}
	var st os.FileInfo
	if err == nil {
		st, err = os.Stat(source)
	}
	if err != nil {
		return mount.Bind{}, fmt.Errorf("cannot share %s: %w", m.Source, cause(err))
	}
	target := m.Target
	if target == "" {
		target = m.Source
	}
	if !filepath.IsAbs(target) {
		return mount.Bind{}, fmt.Errorf("cannot share %s as %q: the target must be an absolute path", m.Source, target)
	}
	return mount.Bind{
		Source: source, Target: filepath.Clean(target), Dir: st.IsDir(),
		Flags: mount.Flags{ReadOnly: !m.Writable, NoSuid: true, NoDev: true},
	}, nil
}

// cause is the error behind one that names a path a second time.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// inspectMappings looks at all mappings; two of one target are an error.
func inspectMappings(mappings []spec.Mapping) ([]mount.Bind, error) {
	var out []mount.Bind
	for _, m := range mappings {
		b, err := inspectMapping(m)
		if err != nil {
			return nil, err
		}
		for _, other := range out {
			if other.Target == b.Target && (other.Source != b.Source || other.Flags != b.Flags) {
				return nil, fmt.Errorf("cannot share both %s and %s as %s: give one of them another target", other.Source, b.Source, b.Target)
			}
		}
		out = append(out, b)
	}
	return out, nil
}

// anchor is a folder on which the new root can be mounted while it is made,
// because none of the sources lies in it. Only the container's own mount
// namespace ever sees that mount.
func anchor(sources []string) (string, error) {
	entries, err := os.ReadDir("/")
	if err != nil {
		return "", fmt.Errorf("cannot find a place for the root file system: %w", err)
	}
	names := []string{"mnt", "srv", "opt", "media"}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(names, e.Name()) {
			names = append(names, e.Name())
		}
	}
	for _, name := range names {
		dir := "/" + name
		// proc and sys must stay visible for the container's own to be allowed,
		// dev gives the device nodes.
		if name == "proc" || name == "sys" || name == "dev" {
			continue
		}
		st, err := os.Lstat(dir)
		if err != nil || !st.IsDir() {
			continue
		}
		hides := func(s string) bool { return s == dir || strings.HasPrefix(s, dir+"/") }
		if !slices.ContainsFunc(sources, hides) {
			return dir, nil
		}
	}
	return "", errors.New("cannot find a place for the root file system: every folder of / holds something that is shared")
}

// sourcesOf are the host paths that a plan's inputs name.
func sourcesOf(items []mount.Item, groups ...[]mount.Bind) []string {
	var out []string
	for _, it := range items {
		out = append(out, it.Physical)
	}
	for _, g := range groups {
		for _, b := range g {
			out = append(out, b.Source)
		}
	}
	return out
}

// canIDMap says whether the kernel can show path with mapped ids. Trying is the
// only way to know: it depends on the file system and the kernel.
func canIDMap(path string, userNS *os.File) bool {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userNS.Fd())}
	return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, attr) == nil
}
