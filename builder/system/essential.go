// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"slices"

	"osbuild/builder/service"
	"osbuild/builder/services"
)

// essentialServices are the services of a system that its declaration need
// not name: the defaults, as the declaration's own function changes them.
func essentialServices(env *service.Env, o *OperatingSystem) ([]*service.Service, error) {
	list, err := defaultServices(env, o)
	if err != nil || o.EssentialServices == nil {
		return list, err
	}
	f, ok := o.EssentialServices.(service.Func)
	if !ok {
		return nil, fmt.Errorf("cannot use %s as essential_services: a function is needed", service.Describe(o.EssentialServices))
	}
	v, err := f.Call(list)
	if err != nil {
		return nil, service.At(o.Pos, fmt.Errorf("cannot compute essential_services: %w", err))
	}
	if list, err = service.List(v); err != nil {
		return nil, service.At(o.Pos, fmt.Errorf("cannot use what essential_services returned: %w", err))
	}
	return list, nil
}

// defaultServices are the essential services of a system. Where order counts,
// what they contribute comes first.
func defaultServices(env *service.Env, o *OperatingSystem) ([]*service.Service, error) {
	etc, err := baseEtc(env, o)
	if err != nil {
		return nil, err
	}
	packages, err := o.packages(env)
	if err != nil {
		return nil, err
	}
	shared := o.contained != nil && o.contained.sharedNetwork
	files := &services.EtcFiles{Entries: etc}
	if shared {
		files.Left = networkFiles
	}
	list := []*service.Service{
		with(services.System, []*services.SystemEntry(nil)),
		{Type: services.Boot},
		{Type: services.Cleanup},
		with(services.Activation, baseDirectories()),
		with(services.SpecialFiles, []*services.SpecialFile{
			{Path: "/var/run", Target: "/run"},
			{Path: "/var/lock", Target: "/run/lock"},
		}),
		with(services.ShepherdRoot, []*services.ShepherdService(nil)),
		with(services.PAM, o.PAMServices),
		with(services.PrivilegedPrograms, o.PrivilegedPrograms),
		with(services.Account, accounts(o)),
		with(services.Etc, files),
	}
	if !shared {
		list = append(list, with(services.Hosts, services.LocalHosts(o.HostName)))
	}
	list = append(
		list,
		with(services.SessionEnvironment, []*services.EnvironmentVariable{{Name: "LANG", Value: o.Locale}}),
		with(services.HostName, o.HostName),
		with(services.UserProcesses, []string(nil)),
		with(services.UserHomes, []*services.SkeletonFile(nil)),
		&service.Service{Type: services.RootFileSystem},
		with(services.FileSystems, o.allFileSystems()),
		with(services.Profile, packages),
		with(services.ContainerRequirements, []string(nil)),
	)
	return list, nil
}

// accounts are those of every system, unless the declaration has its own of
// the same name, and those of the declaration.
func accounts(o *OperatingSystem) *services.Accounts {
	all := &services.Accounts{Container: o.Contained()}
	for _, base := range services.BaseUsers() {
		if !slices.ContainsFunc(o.Users, func(u *services.UserAccount) bool { return u.Name == base.Name }) {
			all.Users = append(all.Users, base)
		}
	}
	for _, base := range services.BaseGroups() {
		if !slices.ContainsFunc(o.Groups, func(g *services.UserGroup) bool { return g.Name == base.Name }) {
			all.Groups = append(all.Groups, base)
		}
	}
	all.Users = append(all.Users, o.Users...)
	all.Groups = append(all.Groups, o.Groups...)
	return all
}

func with(t *service.Type, value any) *service.Service {
	return &service.Service{Type: t, Value: value, HasValue: true}
}

// allFileSystems are the mounts of the container, then those of the system.
func (o *OperatingSystem) allFileSystems() []*services.FileSystem {
	var all []*services.FileSystem
	if o.contained != nil {
		if o.contained.sharedNetwork {
			all = append(all, networkMounts()...)
		}
		all = append(all, o.contained.fileSystems...)
	}
	return append(all, o.FileSystems...)
}

// baseDirectories are the folders that programs expect in /var and /run.
func baseDirectories() []any {
	var dirs []any
	for _, d := range []struct {
		path string
		mode int
	}{
		{"/var/cache", 0o755},
		{"/var/lib", 0o755},
		{"/var/log", 0o755},
		{"/var/spool", 0o755},
		{"/var/tmp", 0o1777},
		{"/run/lock", 0o1777},
	} {
		dirs = append(dirs, &services.Directory{Path: d.path, Mode: d.mode})
	}
	return dirs
}
