// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	_ "embed"

	"osbuild/builder/service"
)

//go:embed base.star
var baseSource string

// BaseServices are the services that a system has besides the essential ones
// when its declaration names no others.
func BaseServices() []*service.Service {
	return []*service.Service{{Type: Loopback}, {Type: DummyNetworking}, {Type: Udev}}
}

func baseModule() Module {
	types := map[string]*service.Type{}
	for _, t := range []*service.Type{
		Account, Activation, Agetty, Boot, Cleanup, ConsoleFont, ContainerRequirements, DBus, DHCPClient, DummyNetworking,
		Elogind, Etc, FileSystems, GCRoots, HostName, Hosts, Loopback, Mingetty, Nscd, PAM, PAMLimits, PrivilegedPrograms,
		Profile, Provenance, RootFileSystem, SessionEnvironment, ShepherdRoot, SpecialFiles, StaticNetworking, Subids,
		System, Udev, UserHomes, UserProcesses,
	} {
		types[t.Name] = t
	}
	return Module{
		Name:   "@osbuild//base.star",
		Types:  types,
		Lists:  map[string][]*service.Service{"base_services": BaseServices()},
		Source: baseSource,
	}
}
