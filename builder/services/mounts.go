// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// FileSystems collects what is mounted. What is needed for boot is mounted by
// the runner before PID 1 runs; the rest are services.
var FileSystems = &service.Type{
	Name:            "file_systems",
	Description:     "File systems, and the point at which all are mounted.",
	Elements:        elements(&FileSystem{}),
	Check:           checkList[*FileSystem],
	Extend:          extendFileSystems,
	Default:         []*FileSystem(nil),
	HasDefault:      true,
	ValueDoc:        "list of file_system",
	ContributionDoc: "file_system",
	ProducesDoc:     "the services file-systems and file-system-MOUNTPOINT, /etc/fstab, and `mounts` in container.json",
	Extensions: []service.Extension{
		{Target: Etc, Compute: typed(func(env *service.Env, list []*FileSystem) ([]any, error) {
			e, err := etcText(env, "fstab", fstab(list))
			if err != nil {
				return nil, err
			}
			return one(e)
		})},
		{Target: ShepherdRoot, Compute: typed(fileSystemServices)},
		{Target: UserProcesses, Compute: func(*service.Env, any) ([]any, error) { return one("file-systems") }},
		// These make sure that what the services require is there.
		{Target: RootFileSystem, Compute: pullIn},
		{Target: Udev, Compute: pullIn},
	},
}

func extendFileSystems(env *service.Env, value, contributions any) (any, error) {
	v, err := extendList[*FileSystem](env, value, contributions)
	if err != nil {
		return nil, err
	}
	var out []*FileSystem
	seen := map[string]*FileSystem{}
	for _, f := range v.([]*FileSystem) {
		first, twice := seen[f.MountPoint]
		switch {
		case !twice:
			seen[f.MountPoint] = f
			out = append(out, f)
		case first != f:
			return nil, service.At(f.Pos, fmt.Errorf("cannot mount two file systems at %s%s", f.MountPoint, madeAt(first.Pos)))
		}
	}
	return out, nil
}

// kernelOwn are the types whose content the kernel makes up.
var kernelOwn = []string{
	"binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs", "fusectl",
	"hugetlbfs", "mqueue", "overlay", "proc", "pstore", "securityfs", "sysfs", "tracefs",
}

// fstab lists what a user may mount and unmount by hand: not bind mounts, nor
// the kernel's own file systems.
func fstab(list []*FileSystem) string {
	var b strings.Builder
	for _, f := range list {
		if f.bind() || slices.Contains(kernelOwn, f.Type) {
			continue
		}
		device, options := f.Device, strings.Join(f.options(), ",")
		if device == "" {
			device = "none"
		}
		if options == "" {
			options = "defaults"
		}
		b.WriteString(strings.Join([]string{device, f.MountPoint, f.Type, options}, "\t") + "\n")
	}
	return b.String()
}

// options are those of mount(8): flags, then the file system's own.
func (f *FileSystem) options() []string {
	names := map[string]string{"read-only": "ro", "no-suid": "nosuid", "no-dev": "nodev", "no-exec": "noexec"}
	var out []string
	for _, flag := range f.Flags {
		if name := names[flag]; name != "" {
			out = append(out, name)
		}
	}
	if !f.Mount {
		out = append(out, "noauto")
	}
	return append(out, f.Options...)
}

// serviceName is the name of the service that mounts f.
func (f *FileSystem) serviceName() string { return "file-system-" + f.MountPoint }

func fileSystemServices(_ *service.Env, list []*FileSystem) ([]any, error) {
	var out []any
	all := NewShepherdService()
	all.Provision = []string{"file-systems"}
	all.Requirement = []string{"root-file-system"}
	all.Documentation = "All file systems are mounted."
	var later []*FileSystem
	for _, f := range list {
		if f.MountPoint != "/" && !f.Boot() {
			later = append(later, f)
		}
	}
	for _, f := range later {
		s := NewShepherdService()
		s.Pos = f.Pos
		s.Provision = []string{f.serviceName()}
		s.Documentation = "Mount " + f.MountPoint + "."
		s.AutoStart = f.Mount
		s.Requirement = []string{"root-file-system"}
		if _, err := f.Spec(); err != nil {
			s.Requirement = append(s.Requirement, "udev") // it needs a device
		}
		for _, r := range f.ShepherdRequirement {
			if !slices.Contains(s.Requirement, r) {
				s.Requirement = append(s.Requirement, r)
			}
		}
		for _, other := range later {
			// A mount point may lie in another file system.
			if other != f && within(f.MountPoint, other.MountPoint) && !slices.Contains(s.Requirement, other.serviceName()) {
				s.Requirement = append(s.Requirement, other.serviceName())
			}
		}
		s.Start, s.Stop = f.start()
		out = append(out, s)
		if f.Mount {
			all.Requirement = append(all.Requirement, s.name())
		}
	}
	return append(out, all), nil
}

// start says how PID 1 mounts f: by itself, or by the system's mount program
// when it needs one.
func (f *FileSystem) start() (start *Start, stop any) {
	m, err := f.Spec()
	if err == nil {
		return &Start{Mount: &m}, &Stop{kind: spec.StopUnmount}
	}
	argv := []string{spec.CurrentSystem + "/profile/bin/mount", f.MountPoint}
	return &Start{Run: []spec.Process{{Argv: argv, Env: environ(nil)}}}, nil
}
