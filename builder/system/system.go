// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package system turns the declaration of an operating system into what can be
// built and run: the system item, with its plans, and the script that boots it
// as a container.
//
// It owns [OperatingSystem], the services that every system has, what becomes
// of a system in a container, and the shape of the system item. What a service
// contributes is builder/services's business; making items is
// builder/realise's; nothing here touches a disk. Start with [Lower].
package system

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/builder/services"
)

// OperatingSystem is the declaration of a system.
type OperatingSystem struct {
	Pos                derivation.Position           `star:"-"`
	HostName           string                        `star:"host_name" doc:"The name of the system."`
	Packages           []string                      `star:"packages" doc:"What every user gets: names of packages, and items (trees with bin, lib, share, ...), which stand at /usr."`
	PackageSource      *Debian                       `star:"package_source" doc:"How packages are chosen; debian() by default: those of the host's distribution."`
	Users              []*services.UserAccount       `star:"users" doc:"Users, besides root and nobody, or in their place."`
	Groups             []*services.UserGroup         `star:"groups" doc:"Groups, besides those that every system has (users, wheel, tty, ...), or in their place."`
	Services           []*service.Service            `star:"services" doc:"Services, besides the essential ones; base_services by default."`
	FileSystems        []*services.FileSystem        `star:"file_systems" doc:"File systems. Those that need a device are left out in a container."`
	PrivilegedPrograms []*services.PrivilegedProgram `star:"privileged_programs" doc:"Programs that run with more privileges than their caller."`
	PAMServices        []*services.PAMService        `star:"pam_services" doc:"How programs authenticate users."`
	Sudoers            string                        `star:"sudoers" doc:"The file to use as /etc/sudoers; visudo checks it when the system is built. By default root and the members of wheel and sudo may become anybody."`
	Locale             string                        `star:"locale" doc:"The locale of login sessions."`
	Timezone           string                        `star:"timezone" doc:"The time zone, such as \"Europe/Paris\"; with one, /etc/localtime leads to its file in /usr/share/zoneinfo, and a system of packages has the package tzdata."`
	EssentialServices  any                           `star:"essential_services" doc:"A function that gets the list of essential services and returns the list to use."`

	// contained says what the system is as a container; nil: it is none.
	contained *containment
}

// containment is what Containerize adds to a system.
type containment struct {
	sharedNetwork bool
	// fileSystems are mounted before those of the system.
	fileSystems []*services.FileSystem
}

// New is a system with the defaults of operating_system.
func New() *OperatingSystem {
	return &OperatingSystem{
		HostName: "localhost",
		Services: services.BaseServices(),
		Locale:   "C.UTF-8",
	}
}

// Validate checks the fields.
func (o *OperatingSystem) Validate() error {
	if err := services.ValidHostName("host_name", o.HostName); err != nil {
		return err
	}
	for _, p := range o.Packages {
		if p == "" {
			return errors.New("field packages: the name of a package is empty")
		}
	}
	if _, err := service.List(o.Services); err != nil {
		return fmt.Errorf("field services: %w", err)
	}
	if o.Sudoers != "" && !strings.HasPrefix(o.Sudoers, "/") {
		return fmt.Errorf("field sudoers: %s is not a file; write plain_file(\"sudoers\", text)", service.Describe(o.Sudoers))
	}
	if o.Locale == "" || strings.ContainsAny(o.Locale, " \t\n\"'$#/") {
		return fmt.Errorf("field locale: %q is not the name of a locale, such as C.UTF-8", o.Locale)
	}
	if tz := o.Timezone; tz != "" && (path.Clean(tz) != tz || path.IsAbs(tz) || strings.HasPrefix(tz, "..") || strings.ContainsAny(tz, " \t\n")) {
		return fmt.Errorf("field timezone: %q is not the name of a time zone, such as Europe/Paris", tz)
	}
	switch o.EssentialServices.(type) {
	case nil, service.Func:
		return nil
	}
	return fmt.Errorf("field essential_services: %s is not a function", service.Describe(o.EssentialServices))
}

// Contained says whether the system was made into a container's.
func (o *OperatingSystem) Contained() bool { return o.contained != nil }

// containerized are the arguments of the constructor of that name.
type containerized struct {
	System           *OperatingSystem              `star:"os,required" doc:"The system."`
	Mappings         []*services.FileSystemMapping `star:"mappings" doc:"Paths of the host that the container sees."`
	SharedNetwork    bool                          `star:"shared_network" doc:"Whether the container shares the host's network."`
	ExtraFileSystems []*services.FileSystem        `star:"extra_file_systems" doc:"Further file systems of the container."`
}

// Records are the constructors of this package, sorted by name.
func Records() []services.Record {
	return []services.Record{
		{
			Name: "containerized", Proto: &containerized{},
			Doc: "A system as it is in a container: without what needs a machine, and with the given paths of the host.",
			Convert: func(rec any) (any, error) {
				c, ok := rec.(*containerized)
				if !ok || c.System == nil {
					return nil, errors.New("field os: a system is needed")
				}
				return Containerize(c.System, ContainerOptions{
					Mappings: c.Mappings, SharedNetwork: c.SharedNetwork, ExtraFileSystems: c.ExtraFileSystems,
				})
			},
		},
		{
			Name: "debian", Proto: &Debian{Essential: "none"},
			Doc: "How packages are chosen from the archives that the host's apt knows. All systems of a file share one choice and one lock.",
		},
		{
			Name: "operating_system", Proto: New(),
			Doc: "A system: its name, packages, users and services.",
		},
	}
}
