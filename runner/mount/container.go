// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"path"
	"slices"
	"strconv"

	"osbuild/runner/spec"
)

// Container is what the root of a booted system is planned from.
type Container struct {
	Spec  spec.Container
	Items []Item
	Views Views
	// Anchor is a host folder that holds none of the sources.
	Anchor string
	// Declared are the binds of Spec.Mounts, State those of --state, User the
	// shares and exposes. A later group replaces an earlier one's targets, and
	// all replace the plan's own.
	Declared, State, User []Bind
	// Secrets are files in /run/secrets by name.
	Secrets map[string][]byte
	// OwnNetwork says that the container has a network namespace of its own,
	// without which the kernel refuses a sysfs.
	OwnNetwork bool
	// IDMap says that the store's items can be shown as container root's.
	IDMap bool
	// Nested adds what containers in the container need; Devices are those of
	// "fuse" and "net/tun" that everybody may open on the host.
	Nested  bool
	Devices []string
}

// entry is one mount, folder or link of a container's root, before it is known
// which ones win.
type entry struct {
	target string
	step   Step
	dir    bool
}

// ForContainer plans the root of a booted system.
func ForContainer(c Container) (Plan, error) {
	l := newLayout(len(c.Items))
	l.add(Step{
		Stage: Outer, Op: OpRoot, Target: "/", Source: c.Anchor,
		Options: []string{"mode=0755"}, Flags: Flags{NoSuid: true, NoDev: true},
	})
	if err := l.store(shown(c.Items, c.Spec.Root), c.IDMap); err != nil {
		return Plan{}, err
	}
	if err := l.hierarchy(c.Spec.Root, c.Items, c.Views, c.IDMap); err != nil {
		return Plan{}, err
	}
	if err := l.dev(nil); err != nil {
		return Plan{}, err
	}
	if err := l.leaf(Step{Op: OpLink, Target: "/dev/ptmx", Source: "pts/ptmx"}); err != nil {
		return Plan{}, err
	}
	entries, err := c.entries()
	if err != nil {
		return Plan{}, err
	}
	var inner []entry
	kernel := map[string]bool{} // where the kernel makes the files
	for _, e := range entries {
		switch e.step.Op {
		case OpDirectory:
			if err := l.directory(e.step); err != nil {
				return Plan{}, err
			}
			continue
		case OpLink:
			if err := l.leaf(e.step); err != nil {
				return Plan{}, err
			}
			continue
		}
		if e.step.Stage == Inner {
			// The mount point is made now, the mount follows at the end.
			if err := l.directory(Step{Target: e.target, Mode: 0o755}); err != nil {
				return Plan{}, err
			}
			if at, w := l.ancestor(e.target); at != e.target && w == foreign && !kernel[at] {
				return Plan{}, fmt.Errorf("cannot mount %s on %s: %s is a folder of the host", e.step.FS, e.target, at)
			}
			l.made[e.target], kernel[e.target] = foreign, true
			inner = append(inner, e)
			continue
		}
		if err := l.mount(e.step, e.dir); err != nil {
			return Plan{}, err
		}
		kernel[e.target] = e.step.Op == OpBind && e.step.Source == "/sys"
	}
	if err := l.secrets(c.Secrets); err != nil {
		return Plan{}, err
	}
	for _, e := range inner {
		l.add(e.step)
	}
	return Plan{Steps: l.steps}, nil
}

// entries merges all that stands on the root: one entry a target, parents first.
func (c Container) entries() ([]entry, error) {
	byTarget := map[string]entry{}
	for _, d := range c.Spec.Root.Dirs {
		uid, gid, err := owner(d)
		if err != nil {
			return nil, err
		}
		target := path.Clean(d.Path)
		byTarget[target] = entry{target: target, step: Step{Op: OpDirectory, Target: target, Mode: d.Mode, UID: uid, GID: gid}}
	}
	for _, k := range c.Spec.Root.Links {
		target := path.Clean(k.Path)
		byTarget[target] = entry{target: target, step: Step{Op: OpLink, Target: target, Source: k.Target}}
	}
	for _, e := range c.standard() {
		if d := byTarget[e.target].step; d.Op == OpDirectory && e.step.FS == spec.MountTmpfs {
			// The folder is the file system's own root then.
			e.step.Options = []string{fmt.Sprintf("mode=%04o", d.Mode)}
			e.step.UID, e.step.GID = d.UID, d.GID
		}
		byTarget[e.target] = e
	}
	for _, m := range c.Spec.Mounts {
		if m.Kind == spec.MountBind {
			continue // the caller has looked at its source: see Declared
		}
		e, err := declared(m)
		if err != nil {
			return nil, err
		}
		if m.Kind == spec.MountSysfs && !c.OwnNetwork {
			continue
		}
		byTarget[e.target] = e
	}
	for _, group := range [][]Bind{c.Declared, c.State, c.User} {
		taken := map[string]string{}
		for _, b := range group {
			if err := checkTarget(b.Target); err != nil {
				return nil, err
			}
			if other, ok := taken[b.Target]; ok && other != b.Source {
				return nil, fmt.Errorf("cannot mount both %s and %s on %s: give them different targets", other, b.Source, b.Target)
			}
			taken[b.Target] = b.Source
			byTarget[b.Target] = entry{target: b.Target, dir: b.Dir, step: Step{
				Stage: Outer, Op: OpBind, Target: b.Target, Source: b.Source, Flags: b.Flags, Optional: b.Optional,
			}}
		}
	}
	out := make([]entry, 0, len(byTarget))
	for _, e := range byTarget {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b entry) int { return depth(a.target, b.target) })
	return out, nil
}

// standard are the mounts of every container. The folders that hold data are
// file systems of their own, and none is an overlay, so that an overlay inside
// the container can lie on them.
func (c Container) standard() []entry {
	var out []entry
	tmpfs := func(target, mode string) {
		out = append(out, entry{target: target, dir: true, step: Step{
			Stage: Outer, Op: OpMount, Target: target, FS: spec.MountTmpfs,
			Options: []string{"mode=" + mode}, Flags: Flags{NoSuid: true, NoDev: true},
		}})
	}
	for _, target := range []string{"/etc", "/home", "/run", "/srv", "/var"} {
		tmpfs(target, "0755")
	}
	tmpfs("/root", "0700")
	tmpfs("/tmp", "1777")
	tmpfs("/dev/shm", "1777")
	inner := func(fs, target string, optional bool, f Flags, options ...string) {
		out = append(out, entry{target: target, dir: true, step: Step{
			Stage: Inner, Op: OpMount, Target: target, FS: fs, Options: options, Flags: f, Optional: optional,
		}})
	}
	all := Flags{NoSuid: true, NoDev: true, NoExec: true}
	inner(spec.MountProc, "/proc", false, all)
	inner(spec.MountDevpts, "/dev/pts", false, Flags{NoSuid: true, NoExec: true}, "newinstance", "ptmxmode=0666", "mode=0620")
	inner(spec.MountMqueue, "/dev/mqueue", true, all)
	ro := all
	ro.ReadOnly = true
	switch {
	case c.OwnNetwork && c.Nested:
		// Writable: the kernel lets nobody in here mount a sysfs that has less
		// restrictions than this one, and runtimes of containers make theirs
		// read-only only afterwards. Its files belong to the host's root; the
		// permissions of none let others write.
		inner(spec.MountSysfs, "/sys", false, all)
	case c.OwnNetwork:
		inner(spec.MountSysfs, "/sys", true, ro)
	case c.Nested:
		// The kernel gives a sysfs only to who owns the network that it shows.
		out = append(out, entry{target: "/sys", dir: true, step: Step{
			Stage: Outer, Op: OpBind, Target: "/sys", Source: "/sys", Flags: ro,
		}})
	}
	if c.Nested {
		inner(spec.MountCgroup2, "/sys/fs/cgroup", false, all)
		for _, d := range c.Devices {
			out = append(out, entry{target: "/dev/" + d, step: Step{
				Stage: Outer, Op: OpBind, Target: "/dev/" + d, Source: "/dev/" + d, Flags: Flags{NoSuid: true, NoExec: true},
			}})
		}
	}
	return out
}

// declared is a file system of container.json.
func declared(m spec.Mount) (entry, error) {
	stage := Inner
	switch m.Kind {
	case spec.MountTmpfs:
		stage = Outer
	case spec.MountProc, spec.MountSysfs, spec.MountDevpts, spec.MountMqueue, spec.MountCgroup2:
	default:
		return entry{}, fmt.Errorf("cannot mount %s: unknown kind %q in container.json", m.Target, m.Kind)
	}
	if !path.IsAbs(m.Target) || path.Clean(m.Target) != m.Target || m.Target == "/" {
		return entry{}, fmt.Errorf("cannot mount %s on %q: write an absolute path without dot segments", m.Kind, m.Target)
	}
	return entry{target: m.Target, dir: true, step: Step{
		Stage: stage, Op: OpMount, Target: m.Target, FS: m.Kind, Options: m.Options, Optional: m.Optional,
		Flags: Flags{ReadOnly: m.ReadOnly, NoSuid: m.NoSuid, NoDev: m.NoDev, NoExec: m.NoExec},
	}}, nil
}

// secrets puts the secrets into a file system of their own, in memory.
func (l *layout) secrets(secrets map[string][]byte) error {
	if len(secrets) == 0 {
		return nil
	}
	err := l.mount(Step{
		Stage: Outer, Op: OpMount, Target: spec.SecretsDir, FS: spec.MountTmpfs,
		Options: []string{"mode=0711"}, Flags: Flags{NoSuid: true, NoDev: true, NoExec: true},
	}, true)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(secrets))
	for name := range secrets {
		if name == "" || name == "." || name == ".." || path.Base(name) != name {
			return fmt.Errorf("cannot give secret %q: the name must be one file name", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		err := l.leaf(Step{Op: OpFile, Target: path.Join(spec.SecretsDir, name), Content: secrets[name], Mode: 0o400})
		if err != nil {
			return err
		}
	}
	return nil
}

// owner gives the ids of a folder of the root, on which no account file says
// yet what a name means.
func owner(d spec.Dir) (uid, gid int, err error) {
	id := func(s string) int {
		if s == "" || s == "root" {
			return 0
		}
		n, aerr := strconv.Atoi(s)
		if aerr != nil || n < 0 {
			err = fmt.Errorf("cannot make %s: its owner %q must be a number; names have a meaning only after activation", d.Path, s)
		}
		return n
	}
	uid = id(d.User)
	gid = id(d.Group)
	return uid, gid, err
}
