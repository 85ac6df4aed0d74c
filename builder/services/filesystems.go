// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// FileSystem declares something to mount.
type FileSystem struct {
	Pos                 derivation.Position `star:"-"`
	Device              string              `star:"device" doc:"What is mounted: a device, a folder of a bind mount, or nothing for a virtual file system. UUID=… and LABEL=… name devices."`
	MountPoint          string              `star:"mount_point,required" doc:"Where it is mounted."`
	Type                string              `star:"type,required" doc:"The file system type, e.g. \"tmpfs\"; \"none\" with the flag bind-mount."`
	Flags               []string            `star:"flags" doc:"Of bind-mount, read-only, no-suid, no-dev, no-exec."`
	Options             []string            `star:"options" doc:"Options of the file system, e.g. \"mode=0755\"."`
	Mount               bool                `star:"mount" doc:"Whether it is mounted at boot."`
	NeededForBoot       bool                `star:"needed_for_boot" doc:"Whether it is mounted before anything else runs."`
	MountMayFail        bool                `star:"mount_may_fail" doc:"Whether the boot goes on in silence when it cannot be mounted."`
	CreateMountPoint    bool                `star:"create_mount_point" doc:"Whether the mount point is made when it is missing."`
	ShepherdRequirement []string            `star:"shepherd_requirements" doc:"Services that must have started before it is mounted."`
}

var fileSystemFlags = []string{"bind-mount", "no-dev", "no-exec", "no-suid", "read-only"}

// Validate checks the fields.
func (f *FileSystem) Validate() error {
	if err := cleanAbsolute("mount_point", f.MountPoint); err != nil {
		return err
	}
	if err := identifier("mount_point", f.MountPoint); err != nil {
		return err
	}
	if err := identifier("type", f.Type); err != nil {
		return err
	}
	for _, flag := range f.Flags {
		if !slices.Contains(fileSystemFlags, flag) {
			return fmt.Errorf("field flags: %q is no flag (%s are)%s", flag, strings.Join(fileSystemFlags, ", "), service.Meant(flag, fileSystemFlags))
		}
	}
	if f.bind() && !strings.HasPrefix(f.Device, "/") {
		return fmt.Errorf("field device: a bind mount needs the absolute path of a folder or file, not %q", f.Device)
	}
	for _, o := range f.Options {
		if o == "" || strings.ContainsAny(o, ", \t\n\x00") {
			return fmt.Errorf("field options: %q is not one option", o)
		}
	}
	return nil
}

func (f *FileSystem) bind() bool { return slices.Contains(f.Flags, "bind-mount") }

// Boot says whether f is mounted before PID 1 runs: when it was asked for, or
// when the store lies in it.
func (f *FileSystem) Boot() bool {
	return f.NeededForBoot || !f.bind() && within(spec.StoreDir, f.MountPoint)
}

// within says whether path is dir or lies below it.
func within(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// kernelTypes are the types that an init without a device can mount.
var kernelTypes = map[string]string{
	"tmpfs": spec.MountTmpfs, "proc": spec.MountProc, "sysfs": spec.MountSysfs,
	"devpts": spec.MountDevpts, "mqueue": spec.MountMqueue, "cgroup2": spec.MountCgroup2,
}

// ErrNotMountable is the error for file systems that need a device.
var ErrNotMountable = errors.New("the file system needs a device, which a container has not")

// Spec is the mount that f stands for.
func (f *FileSystem) Spec() (spec.Mount, error) {
	m := spec.Mount{
		Kind:     kernelTypes[f.Type],
		Target:   f.MountPoint,
		Options:  slices.Clone(f.Options),
		ReadOnly: slices.Contains(f.Flags, "read-only"),
		NoSuid:   slices.Contains(f.Flags, "no-suid"),
		NoDev:    slices.Contains(f.Flags, "no-dev"),
		NoExec:   slices.Contains(f.Flags, "no-exec"),
		Optional: f.MountMayFail,
	}
	switch {
	case f.bind():
		m.Kind, m.Source = spec.MountBind, f.Device
	case m.Kind == "":
		return spec.Mount{}, service.At(f.Pos, fmt.Errorf("cannot mount %s of type %q: %w", f.MountPoint, f.Type, ErrNotMountable))
	}
	return m, nil
}

// FileSystemMapping is a path of the host that a container sees.
type FileSystemMapping struct {
	Pos      derivation.Position `star:"-"`
	Source   string              `star:"source,required" doc:"The path on the host."`
	Target   string              `star:"target" doc:"The path in the container; the same by default."`
	Writable bool                `star:"writable" doc:"Whether the container may write to it."`
}

// Validate checks the fields.
func (m *FileSystemMapping) Validate() error {
	if err := cleanAbsolute("source", m.Source); err != nil {
		return err
	}
	target := m.Target
	if target == "" {
		target = m.Source
	}
	if err := cleanAbsolute("target", target); err != nil {
		return err
	}
	if within(spec.StoreDir, target) || within(target, spec.StoreDir) {
		return fmt.Errorf("field target: %q would cover the store", target)
	}
	return nil
}

// FileSystem is the bind mount that m stands for.
func (m *FileSystemMapping) FileSystem() *FileSystem {
	fs := &FileSystem{
		Pos: m.Pos, Device: m.Source, MountPoint: m.Target, Type: "none", Flags: []string{"bind-mount"},
		Mount: true, NeededForBoot: true, CreateMountPoint: true,
	}
	if fs.MountPoint == "" {
		fs.MountPoint = m.Source
	}
	if !m.Writable {
		fs.Flags = append(fs.Flags, "read-only")
	}
	return fs
}
