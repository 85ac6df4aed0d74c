// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/service"
	"osbuild/builder/services"
	"osbuild/runner/spec"
)

func lower(t *testing.T, env *service.Env, o *OperatingSystem) System {
	t.Helper()
	sys, err := Lower(env, o)
	if err != nil {
		t.Fatal(err)
	}
	return sys
}

func provisions(plan spec.ServicePlan) map[string]bool {
	names := map[string]bool{}
	for _, s := range plan.Services {
		for _, p := range s.Provision {
			names[p] = true
		}
	}
	return names
}

// TestContainerHasNoKernel holds what is in the system item of a container,
// and so in its closure: the locale, and nothing of a kernel.
func TestContainerHasNoKernel(t *testing.T) {
	env := newEnv(t)
	sys := lower(t, env, contain(t, machine(t, env), ContainerOptions{}))
	entries := union(t, env, sys.Path)
	var names []string
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"activate", "boot", "container.json", "etc", "locale", "profile", "services"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("entries of the system (-want +got):\n%s", diff)
	}
	if got := content(t, env, entries["locale"]); got != "C.UTF-8\n" {
		t.Errorf("the locale is %q", got)
	}
}

// TestContainerFileSystems is which declared file systems a container has.
func TestContainerFileSystems(t *testing.T) {
	for _, tt := range []struct {
		summary string
		fs      services.FileSystem
		kept    bool
	}{
		{"the root", services.FileSystem{Device: "x", MountPoint: "/", Type: "tmpfs"}, false},
		{"the store", services.FileSystem{MountPoint: spec.StoreDir, Type: "tmpfs"}, false},
		{"a device", services.FileSystem{Device: "/dev/sda1", MountPoint: "/data", Type: "ext4"}, false},
		{"a device by its id", services.FileSystem{Device: "UUID=12", MountPoint: "/data", Type: "ext4"}, false},
		{"a device by its label", services.FileSystem{Device: "LABEL=x", MountPoint: "/data", Type: "ext4"}, false},
		{"below /dev", services.FileSystem{MountPoint: "/dev/hugepages", Type: "tmpfs"}, false},
		{"below /sys", services.FileSystem{MountPoint: "/sys/kernel/debug", Type: "tmpfs"}, false},
		{"a name that begins like /dev", services.FileSystem{MountPoint: "/device", Type: "tmpfs"}, true},
		{"a name that begins like /sys", services.FileSystem{MountPoint: "/system", Type: "tmpfs"}, true},
		{"a device that only begins alike", services.FileSystem{Device: "/devices", MountPoint: "/data", Type: "none", Flags: []string{"bind-mount"}}, true},
		{"no device", services.FileSystem{MountPoint: "/data", Type: "tmpfs"}, true},
		{"a larger /tmp", services.FileSystem{MountPoint: "/tmp", Type: "tmpfs", Options: []string{"size=1g"}}, true},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			env := newEnv(t)
			o := New()
			tt.fs.Mount = true
			o.FileSystems = []*services.FileSystem{&tt.fs}
			sys := lower(t, env, contain(t, o, ContainerOptions{}))
			kept := provisions(sys.Plan)["file-system-"+tt.fs.MountPoint]
			for _, m := range sys.Container.Mounts {
				kept = kept || m.Target == tt.fs.MountPoint
			}
			if kept != tt.kept {
				t.Errorf("kept: %v, want %v", kept, tt.kept)
			}
			if len(o.FileSystems) != 1 {
				t.Error("the declaration was changed")
			}
		})
	}
}

// TestContainerMounts is the order of what the runner mounts, and how.
func TestContainerMounts(t *testing.T) {
	env := newEnv(t)
	o := New()
	o.FileSystems = []*services.FileSystem{
		{Device: "none", MountPoint: "/mine", Type: "tmpfs", Mount: true, NeededForBoot: true},
		{Device: "none", MountPoint: "/later", Type: "tmpfs", Mount: true},
	}
	sys := lower(t, env, contain(t, o, ContainerOptions{
		SharedNetwork: true,
		Mappings:      []*services.FileSystemMapping{{Source: "/b"}, {Source: "/a", Target: "/c", Writable: true}},
	}))
	var got []string
	for _, m := range sys.Container.Mounts {
		line := m.Kind + " " + m.Source + " " + m.Target
		if m.ReadOnly {
			line += " read-only"
		}
		if m.Optional {
			line += " optional"
		}
		got = append(got, line)
	}
	want := []string{
		"bind /etc/hosts /etc/hosts read-only optional",
		"bind /etc/nsswitch.conf /etc/nsswitch.conf read-only optional",
		"bind /etc/resolv.conf /etc/resolv.conf read-only optional",
		"bind /etc/services /etc/services read-only optional",
		"bind /b /b read-only",
		"bind /a /c",
		"tmpfs  /mine",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !provisions(sys.Plan)["file-system-/later"] {
		t.Error("what is not needed for boot is no service")
	}
}

// TestContainerServices is which services a container has.
func TestContainerServices(t *testing.T) {
	for _, tt := range []struct {
		summary string
		shared  bool
		gone    []string
		there   []string
	}{
		{
			"a network of its own", false,
			[]string{"term-tty1", "term-ttyS0", "console-font-tty1"},
			[]string{"loopback", "networking", "nscd", "udev", "user-processes", "root-file-system"},
		},
		{
			"the host's network", true,
			[]string{"term-tty1", "term-ttyS0", "console-font-tty1", "nscd"},
			[]string{"loopback", "networking", "udev"},
		},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			env := newEnv(t)
			o := machine(t, env)
			sys := lower(t, env, contain(t, o, ContainerOptions{SharedNetwork: tt.shared}))
			names := provisions(sys.Plan)
			for _, p := range tt.gone {
				if names[p] {
					t.Errorf("%q is there", p)
				}
			}
			for _, p := range tt.there {
				if !names[p] {
					t.Errorf("%q is not there", p)
				}
			}
			for _, s := range sys.Plan.Services {
				if slices.Contains(s.Provision, "networking") && (s.Start.Run != nil || s.Start.Exec != nil) {
					t.Errorf("networking does something: %+v", s.Start)
				}
			}
			// A system that has none of them is as good.
			lower(t, env, contain(t, New(), ContainerOptions{SharedNetwork: tt.shared}))
		})
	}
}

// TestContainerCaches holds that no container takes much memory for names.
func TestContainerCaches(t *testing.T) {
	for size, want := range map[int]string{32 << 20: "262144", 8192: "8192"} {
		env := newEnv(t)
		o := New()
		s, err := service.WithValue(services.Nscd, &services.NscdConfiguration{Program: text(t, env, "nscd", ""), CacheSize: size}, at(5))
		if err != nil {
			t.Fatal(err)
		}
		o.Services = append(o.Services, s)
		conf := func(o *OperatingSystem) string {
			sys := lower(t, env, o)
			return content(t, env, union(t, env, union(t, env, sys.Path)["etc"])["nscd.conf"])
		}
		if got := conf(contain(t, o, ContainerOptions{})); strings.Count(got, " "+want+"\n") != 4 {
			t.Errorf("%d bytes declared, in a container:\n%s", size, got)
		}
		if got := conf(o); strings.Contains(got, "262144") {
			t.Errorf("%d bytes declared, on a machine:\n%s", size, got)
		}
	}
}

// TestContainerEssentialServices has a declaration replace essential services
// of a container.
func TestContainerEssentialServices(t *testing.T) {
	env := newEnv(t)
	o := New()
	var seen []string
	o.EssentialServices = function(func(args ...any) (any, error) {
		var out []*service.Service
		for _, s := range args[0].([]*service.Service) {
			seen = append(seen, s.Type.Name)
			switch s.Type {
			case services.HostName:
				s = with(services.HostName, "replaced")
			case services.Hosts:
				s = with(services.Hosts, []*services.Host{{Address: "192.0.2.1", CanonicalName: "only"}})
			}
			out = append(out, s)
		}
		return out, nil
	})
	sys := lower(t, env, contain(t, o, ContainerOptions{}))
	etc := union(t, env, union(t, env, sys.Path)["etc"])
	if got := content(t, env, etc["hosts"]); got != "192.0.2.1\tonly\n" || sys.Container.HostName != "replaced" {
		t.Errorf("/etc/hosts is %q, the container is called %q", got, sys.Container.HostName)
	}
	seen = nil
	sys = lower(t, env, contain(t, o, ContainerOptions{SharedNetwork: true}))
	if slices.Contains(seen, "hosts") {
		t.Error("with the host's network there is an essential service hosts")
	}
	if _, ok := union(t, env, union(t, env, sys.Path)["etc"])["hosts"]; ok {
		t.Error("with the host's network there is an /etc/hosts")
	}
}
