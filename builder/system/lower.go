// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/builder/services"
	"osbuild/runner/spec"
)

// System is a system that can be built.
type System struct {
	// Path is the path, or the placeholder, of the system item.
	Path string
	// Container, Plan and Activation are what the files of the item hold.
	Container  spec.Container
	Plan       spec.ServicePlan
	Activation spec.ActivationPlan
	// Services are all services with their extended values, in order: the
	// essential ones, those of the declaration, and those added for them.
	Services []*service.Service
	// Declared are the same services before anything extended them.
	Declared []*service.Service
}

// AllServices are the services of a system: the essential ones, those of the
// declaration, and default instances of what they extend.
func AllServices(env *service.Env, o *OperatingSystem) ([]*service.Service, error) {
	essential, err := essentialServices(env, o)
	if err != nil {
		return nil, err
	}
	for _, s := range o.Services {
		if len(service.Find(essential, s.Type)) > 0 {
			return nil, service.Errorf(service.ErrAmbiguousTarget, s.Pos,
				"cannot declare another service of type %q: every system has one; extend it, or change it in essential_services", s.Type.Name)
		}
	}
	return service.InstantiateMissing(slices.Concat(essential, o.Services))
}

// Lower computes everything that a system consists of and declares the system
// item in the graph of env. It is where contradictions between services show.
func Lower(env *service.Env, o *OperatingSystem) (System, error) {
	if err := o.Validate(); err != nil {
		return System{}, &service.Error{Kind: service.ErrBadValue, Pos: o.Pos, Msg: "cannot use the system", Cause: err}
	}
	all, err := AllServices(env, o)
	if err != nil {
		return System{}, err
	}
	folding, err := service.NewFolding(env, all)
	if err != nil {
		return System{}, err
	}
	folded, err := folding.Services()
	if err != nil {
		return System{}, err
	}
	sys := System{Services: folded, Declared: all}
	if err := sys.plans(folding); err != nil {
		return System{}, err
	}
	entries, err := valueOf[[]*services.SystemEntry](folding, services.System)
	if err != nil {
		return System{}, err
	}
	if sys.Container, err = container(folding, o, entries); err != nil {
		return System{}, err
	}
	sys.Path, err = item(env, o, sys.Container, entries)
	return sys, err
}

// valueOf is the extended value of the one service of a type.
func valueOf[T any](f *service.Folding, t *service.Type) (T, error) {
	var zero T
	s, err := f.Fold(t)
	if err != nil {
		return zero, err
	}
	v, ok := s.Value.(T)
	if !ok {
		return zero, fmt.Errorf("cannot use the value of service %q: it is %s", t.Name, service.Describe(s.Value))
	}
	return v, nil
}

func (s *System) plans(f *service.Folding) error {
	list, err := valueOf[[]*services.ShepherdService](f, services.ShepherdRoot)
	if err != nil {
		return err
	}
	s.Plan = services.ServicePlan(list)
	activation, err := f.Fold(services.Activation)
	if err != nil {
		return err
	}
	if s.Activation, err = services.ActivationPlan(activation.Value); err != nil {
		return err
	}
	// Without the account service there is nothing to hold owners against.
	accounts, err := valueOf[*services.Accounts](f, services.Account)
	if errors.Is(err, service.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return services.CheckOwners(accounts, list, activation.Value)
}

// container is the document container.json.
func container(f *service.Folding, o *OperatingSystem, entries []*services.SystemEntry) (spec.Container, error) {
	c := spec.Container{Version: spec.Version, HostName: o.HostName, Network: spec.NetworkNone}
	if o.contained != nil && o.contained.sharedNetwork {
		c.Network = spec.NetworkHost
	}
	// A declaration may have changed the service, or done without it.
	switch name, err := valueOf[string](f, services.HostName); {
	case err == nil:
		c.HostName = name
	case !errors.Is(err, service.ErrNotFound):
		return c, err
	}
	for _, e := range entries {
		if e.Name == "profile" {
			c.Root.Usr = []spec.Lower{{Item: e.File}}
		}
	}
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		c.Root.Links = append(c.Root.Links, spec.Link{Path: "/" + name, Target: "usr/" + name})
	}
	fileSystems, err := valueOf[[]*services.FileSystem](f, services.FileSystems)
	if err != nil {
		return c, err
	}
	for _, fs := range fileSystems {
		if !fs.Boot() || fs.MountPoint == "/" {
			continue
		}
		m, err := fs.Spec()
		if errors.Is(err, services.ErrNotMountable) && !o.Contained() {
			continue // a machine's, which no container mounts
		}
		if err != nil {
			return c, err
		}
		c.Mounts = append(c.Mounts, m)
	}
	requires, err := valueOf[[]string](f, services.ContainerRequirements)
	if err != nil {
		return c, err
	}
	slices.Sort(requires)
	c.Requires = slices.Compact(requires)
	return c, nil
}

// item declares the system item: a folder of links.
func item(env *service.Env, o *OperatingSystem, c spec.Container, entries []*services.SystemEntry) (string, error) {
	doc, err := services.Encode(c)
	if err != nil {
		return "", fmt.Errorf("cannot write container.json: %w", err)
	}
	files := map[string]string{}
	for _, e := range entries {
		files[e.Name] = e.File
	}
	for _, name := range []string{"container.json", "locale", spec.SystemPackages} {
		if _, taken := files[name]; taken {
			return "", fmt.Errorf("cannot put %q into the system: every system has an entry of that name", name)
		}
	}
	if files["locale"], err = env.Graph.Text("locale", o.Locale+"\n", false, o.Pos); err != nil {
		return "", err
	}
	packages := ""
	if env.Packages != nil {
		// Whatever is in the closure of the rest has its packages at /usr.
		if packages, err = env.Packages.Root(slices.Sorted(maps.Values(files)), false, o.Pos); err != nil {
			return "", err
		}
	}
	if packages == "" {
		files["container.json"], err = env.Graph.Text("container.json", doc, false, o.Pos)
	} else {
		files[spec.SystemPackages] = packages
		files["container.json"], err = env.Graph.Container("container.json", doc, packages, o.Pos)
	}
	if err != nil {
		return "", err
	}
	return env.Graph.FileUnion("system", files, false, o.Pos)
}

// ContainerScript declares the script that boots a system as a container. It
// finds the store that it lies in from its own path, so it works wherever the
// closure is, and takes the options of run-container.
func ContainerScript(env *service.Env, s System) (string, error) {
	closure, err := env.Graph.Requisites("closure", []string{s.Path}, derivation.Position{})
	if err != nil {
		return "", err
	}
	text := `#!/bin/sh
# Boots a system as a container. The items named here lie beside this file.
set -eu
self=$(readlink -f -- "$0")
store=${self%/*}
init=` + env.Init + `
system=` + s.Path + `
closure=` + closure + `
exec "$store/${init##*/}/bin/osbuild-init" run --store "$store" --system "$system" --closure "$closure" "$@"
`
	return env.Graph.Text("run-container", text, true, derivation.Position{})
}
