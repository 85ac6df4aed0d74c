// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package mount plans what stands where in a container, and turns the plan
// into system calls.
//
// It owns the layout of every root that the runner makes: [ForContainer] for a
// booted system, [ForBuild] for a build program and [ForProgram] for one
// program over its closure are pure functions from data to an ordered list of
// steps. [Code] is the other half: the same steps as system calls with their
// arguments laid out, which the runner executes in a freshly forked child that
// may not allocate memory. The package does no I/O and never looks at the host:
// whether a source exists and what it is, the caller says. Start with [Plan].
//
// A root is made in two stages. The outer stage runs in a mount namespace that
// the container does not own; all that must stay as it is, is mounted there.
// The kernel locks the flags of those mounts when the container's own
// namespaces are cloned from it, so not even container root can make a
// read-only mount writable or take it away. The inner stage mounts what belongs
// to the container's own namespaces: proc, sysfs, devpts, mqueue, cgroup2.
package mount

import (
	"fmt"
	"strings"

	"osbuild/runner/spec"
)

// Stage says in which mount namespace a step runs.
type Stage string

// The two stages.
const (
	Outer Stage = "outer"
	Inner Stage = "inner"
)

// Op is what a step does.
type Op string

// The operations. Each uses the fields of Step named beside it, and Target.
const (
	// OpRoot mounts the tmpfs that becomes "/" on the host folder Source, a
	// place that hides nothing the later steps need. It comes first.
	OpRoot Op = "root"
	// OpDirectory makes a folder: Mode, UID, GID.
	OpDirectory Op = "directory"
	// OpFile makes a file: Content, Mode, UID, GID. Empty ones are mount points.
	OpFile Op = "file"
	// OpLink makes a symbolic link that says Source.
	OpLink Op = "link"
	// OpBind shows the host's Source, or with FromRoot the container's: Flags.
	OpBind Op = "bind"
	// OpMount mounts a new file system: FS, Options, Flags.
	OpMount Op = "mount"
	// OpOverlay merges Lowers, topmost first, paths below the container's
	// Source: Flags.
	OpOverlay Op = "overlay"
	// OpDetach takes the mount at Target away again, and its mount point.
	OpDetach Op = "detach"
	// OpReadOnly makes the mount at Target read-only.
	OpReadOnly Op = "read-only"
)

// Flags are the attributes of a mount.
type Flags struct {
	ReadOnly bool `json:"readOnly,omitempty"`
	NoSuid   bool `json:"noSuid,omitempty"`
	NoDev    bool `json:"noDev,omitempty"`
	NoExec   bool `json:"noExec,omitempty"`
	// IDMap shows files of host root as files of container root.
	IDMap bool `json:"idMap,omitempty"`
}

func (f Flags) String() string {
	var s []string
	for _, x := range []struct {
		on   bool
		name string
	}{{f.ReadOnly, "ro"}, {f.NoSuid, "nosuid"}, {f.NoDev, "nodev"}, {f.NoExec, "noexec"}, {f.IDMap, "idmap"}} {
		if x.on {
			s = append(s, x.name)
		}
	}
	return strings.Join(s, ",")
}

// Step is one step of a plan.
type Step struct {
	Stage Stage `json:"stage"`
	Op    Op    `json:"op"`
	// Target is an absolute path in the container.
	Target string `json:"target"`
	Source string `json:"source,omitempty"`
	// FromRoot says that Source is a path in the container.
	FromRoot bool     `json:"fromRoot,omitempty"`
	FS       string   `json:"fs,omitempty"`
	Options  []string `json:"options,omitempty"`
	Lowers   []string `json:"lowers,omitempty"`
	Mode     uint32   `json:"mode,omitempty"`
	// UID and GID are the owner as the container sees it.
	UID int `json:"uid,omitempty"`
	GID int `json:"gid,omitempty"`
	// Content is never printed: it may be a secret.
	Content []byte `json:"-"`
	Flags   Flags  `json:"flags"`
	// MountPoint says that the folder or file is covered by the next step, so
	// nobody will see whose it is.
	MountPoint bool `json:"mountPoint,omitempty"`
	// Foreign says that Target lies in somebody's files, which may hold links.
	Foreign bool `json:"foreign,omitempty"`
	// Optional says that a refusal by the kernel skips the step.
	Optional bool `json:"optional,omitempty"`
}

// Verb is the step as an error message names it, after "cannot".
func (s Step) Verb() string {
	switch s.Op {
	case OpRoot:
		return "make the root file system on " + s.Source
	case OpDirectory:
		return "make the folder " + s.Target
	case OpFile:
		return "make the file " + s.Target
	case OpLink:
		return "make the link " + s.Target
	case OpBind:
		return fmt.Sprintf("show %s as %s", s.Source, s.Target)
	case OpOverlay:
		return fmt.Sprintf("merge %d trees at %s", len(s.Lowers), s.Target)
	case OpDetach:
		return "take away the mount at " + s.Target
	case OpReadOnly:
		return "make " + s.Target + " read-only"
	default:
		return fmt.Sprintf("mount %s on %s", s.FS, s.Target)
	}
}

func (s Step) String() string {
	what := string(s.Op)
	if s.Op == OpMount {
		what = s.FS
	}
	fields := []string{fmt.Sprintf("%-5s %-9s %s", s.Stage, what, s.Target)}
	switch s.Op {
	case OpRoot:
		fields = append(fields, "on "+s.Source)
	case OpBind:
		from := "from "
		if s.FromRoot {
			from = "from the container's "
		}
		fields = append(fields, from+s.Source)
	case OpLink:
		fields = append(fields, "-> "+s.Source)
	case OpOverlay:
		fields = append(fields, "of "+strings.Join(s.Lowers, ":")+" in "+s.Source)
	case OpDirectory, OpFile:
		fields = append(fields, fmt.Sprintf("%04o", s.Mode))
		if s.UID != 0 || s.GID != 0 {
			fields = append(fields, fmt.Sprintf("%d:%d", s.UID, s.GID))
		}
	}
	if len(s.Options) > 0 {
		fields = append(fields, strings.Join(s.Options, ","))
	}
	if f := s.Flags.String(); f != "" {
		fields = append(fields, "["+f+"]")
	}
	if s.Optional {
		fields = append(fields, "(optional)")
	}
	return strings.Join(fields, " ")
}

// Plan is everything that is done to make a root, in order, and what is then
// started in it.
type Plan struct {
	// What is not a step is what the runner adds to what this package plans: it
	// is shown, the steps do not depend on it.
	HostName   string     `json:"hostName,omitempty"`
	IDs        spec.IDMap `json:"ids"`
	Namespaces []string   `json:"namespaces,omitempty"`
	Program    []string   `json:"program,omitempty"`
	Env        []string   `json:"env,omitempty"`
	// Limits are settings of the control group, Publish the ports of the host.
	Limits  []string `json:"limits,omitempty"`
	Publish []string `json:"publish,omitempty"`
	Steps   []Step   `json:"steps"`
}

// String prints the plan, one line a step.
func (p Plan) String() string {
	var b strings.Builder
	for _, x := range []struct {
		what    string
		extents []spec.Extent
	}{{"users", p.IDs.UIDs}, {"groups", p.IDs.GIDs}} {
		for _, e := range x.extents {
			fmt.Fprintf(&b, "map   %-9s %d-%d to %d-%d of the host\n", x.what,
				e.Inside, e.Inside+e.Count-1, e.Outside, e.Outside+e.Count-1)
		}
	}
	if len(p.Namespaces) > 0 {
		fmt.Fprintf(&b, "own   %s\n", strings.Join(p.Namespaces, " "))
	}
	for _, s := range p.Steps {
		b.WriteString(s.String())
		b.WriteByte('\n')
	}
	for _, l := range p.Limits {
		fmt.Fprintf(&b, "limit %s\n", l)
	}
	for _, port := range p.Publish {
		fmt.Fprintf(&b, "open  %s\n", port)
	}
	if p.HostName != "" {
		fmt.Fprintf(&b, "host  name %s\n", p.HostName)
	}
	for _, e := range p.Env {
		fmt.Fprintf(&b, "env   %s\n", e)
	}
	if len(p.Program) > 0 {
		fmt.Fprintf(&b, "exec  %s\n", strings.Join(p.Program, " "))
	}
	return b.String()
}
