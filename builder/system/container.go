// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/service"
	"osbuild/builder/services"
	"osbuild/runner/spec"
)

// ContainerOptions say what a system is given as a container. What is given
// when a container starts (shares, ports, names) is not among them: it changes
// no item.
type ContainerOptions struct {
	Mappings []*services.FileSystemMapping
	// SharedNetwork gives it the network of the host, and the host's files
	// that belong to it.
	SharedNetwork    bool
	ExtraFileSystems []*services.FileSystem
}

// networkFiles are the files of /etc that describe a network: a container
// that shares the host's network sees the host's.
var networkFiles = []string{"hosts", "nsswitch.conf", "resolv.conf", "services"}

// Containerize gives a system as it is in a container: without what needs a
// machine, and with loopback and networking provided. Doing it again changes
// nothing but what the options add.
func Containerize(o *OperatingSystem, options ContainerOptions) (*OperatingSystem, error) {
	c := *o
	c.contained = &containment{sharedNetwork: options.SharedNetwork}
	if o.contained != nil {
		c.contained.sharedNetwork = options.SharedNetwork || o.contained.sharedNetwork
		c.contained.fileSystems = slices.Clone(o.contained.fileSystems)
	}
	for _, m := range options.Mappings {
		if err := m.Validate(); err != nil {
			return nil, fmt.Errorf("cannot map %s into the container: %w", m.Source, err)
		}
		if err := c.contained.add(m.FileSystem()); err != nil {
			return nil, err
		}
	}
	for _, f := range options.ExtraFileSystems {
		extra := *f
		extra.NeededForBoot = true
		if err := c.contained.add(&extra); err != nil {
			return nil, err
		}
	}
	c.FileSystems = slices.DeleteFunc(slices.Clone(o.FileSystems), needsMachine)

	// A console belongs to a machine. The addresses of a container's devices
	// are given from outside, by the runner or an engine, so a service that
	// asks for them or sets them would only fail.
	c.Services = service.Remove(o.Services, services.ConsoleFont, services.Mingetty, services.Agetty,
		services.StaticNetworking, services.DHCPClient)
	if c.contained.sharedNetwork {
		// The names of hosts are the host's business.
		c.Services = service.Remove(c.Services, services.Nscd)
	}
	c.Services = boundCaches(c.Services)
	if len(service.Find(c.Services, services.DummyNetworking)) == 0 {
		c.Services = append(c.Services, &service.Service{Type: services.DummyNetworking})
	}
	if len(service.Find(c.Services, services.RootlessPodman)) > 0 && len(service.Find(c.Services, services.PodmanInContainer)) == 0 {
		c.Services = append(c.Services, &service.Service{Type: services.PodmanInContainer})
	}
	return &c, nil
}

// boundCaches keeps the caches of name services small: many containers share
// the memory of one machine.
func boundCaches(list []*service.Service) []*service.Service {
	list = slices.Clone(list)
	for i, s := range list {
		if conf, ok := s.Value.(*services.NscdConfiguration); ok && s.Type == services.Nscd {
			small := *s
			small.Value = conf.Bounded()
			list[i] = &small
		}
	}
	return list
}

// add appends a file system unless just the same is there.
func (c *containment) add(f *services.FileSystem) error {
	for _, other := range c.fileSystems {
		if other.MountPoint != f.MountPoint {
			continue
		}
		if other.Device == f.Device && other.Type == f.Type && slices.Equal(other.Flags, f.Flags) && slices.Equal(other.Options, f.Options) {
			return nil
		}
		return fmt.Errorf("cannot mount both %s and %s at %s in the container", other.Device, f.Device, f.MountPoint)
	}
	c.fileSystems = append(c.fileSystems, f)
	return nil
}

// needsMachine says whether a declared file system is one of the machine: on
// a device, the root, or where the runner mounts the kernel's or the store.
func needsMachine(f *services.FileSystem) bool {
	for _, device := range []string{"/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="} {
		if strings.HasPrefix(f.Device, device) {
			return true
		}
	}
	target := f.MountPoint
	switch target {
	case "/", "/dev", "/proc", "/sys", "/run", "/usr", "/etc":
		return true
	}
	return strings.HasPrefix(target, "/dev/") || strings.HasPrefix(target, "/sys/") ||
		target == spec.StoreDir || strings.HasPrefix(spec.StoreDir, target+"/") || strings.HasPrefix(target, spec.StoreDir+"/")
}

// networkMounts bind the host's files of its network, where it has them.
func networkMounts() []*services.FileSystem {
	var out []*services.FileSystem
	for _, name := range networkFiles {
		out = append(out, &services.FileSystem{
			Device: "/etc/" + name, MountPoint: "/etc/" + name, Type: "none", Flags: []string{"bind-mount", "read-only"},
			Mount: true, NeededForBoot: true, MountMayFail: true, CreateMountPoint: true,
		})
	}
	return out
}
