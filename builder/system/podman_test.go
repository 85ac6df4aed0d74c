// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/service"
	"osbuild/builder/service/servicetest"
	"osbuild/builder/services"
	"osbuild/runner/spec"
)

// podman is a system whose user runs containers. It names none of the services
// that podman's require.
func podman(t *testing.T, env *service.Env) *OperatingSystem {
	t.Helper()
	env.Packages = servicetest.AnyPackage{Graph: env.Graph}
	c := *services.RootlessPodman.Default.(*services.RootlessPodmanConfiguration)
	c.Subuids = []*services.SubidRange{{Name: "alice", Count: 65536}}
	c.Subgids = []*services.SubidRange{{Name: "alice", Count: 65536}}
	s, err := service.WithValue(services.RootlessPodman, &c, at(7))
	if err != nil {
		t.Fatal(err)
	}
	o := New()
	o.HostName = "podman"
	o.Users = []*services.UserAccount{{Name: "alice", Group: "users", SupplementaryGroups: []string{"cgroup"}, CreateHome: true}}
	o.Services = []*service.Service{s}
	return o
}

// The combination holds together plain and as a container, with a shared
// network as without: whatever the three services require is there, the order
// can be kept, and a container starts with the switch alone.
func TestPodmanEverywhere(t *testing.T) {
	for _, tc := range []struct {
		summary string
		change  func(t *testing.T, o *OperatingSystem) *OperatingSystem
		conf    bool
	}{
		{"plain", func(_ *testing.T, o *OperatingSystem) *OperatingSystem { return o }, false},
		{"beside base_services", func(_ *testing.T, o *OperatingSystem) *OperatingSystem {
			o.Services = append(services.BaseServices(), o.Services...)
			return o
		}, false},
		{"container", func(t *testing.T, o *OperatingSystem) *OperatingSystem { return contain(t, o, ContainerOptions{}) }, true},
		{"container, made twice", func(t *testing.T, o *OperatingSystem) *OperatingSystem {
			return contain(t, contain(t, o, ContainerOptions{}), ContainerOptions{})
		}, true},
		{"container with the host's network", func(t *testing.T, o *OperatingSystem) *OperatingSystem {
			return contain(t, o, ContainerOptions{SharedNetwork: true})
		}, true},
		{"container with a network of its own declaration", func(t *testing.T, o *OperatingSystem) *OperatingSystem {
			o.Services = append(o.Services, simple(services.ShepherdRoot, 9, shepherd([]string{"networking"}, nil, nil)))
			return contain(t, o, ContainerOptions{})
		}, true},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			env := newEnv(t)
			sys, err := Lower(env, tc.change(t, podman(t, env)))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(sys.Container.Requires, []string{"nested"}) {
				t.Errorf("a container requires %q", sys.Container.Requires)
			}
			before := startOrder(sys.Plan)
			for _, pair := range [][2]string{
				{"file-system-/sys/fs/cgroup", "cgroups2-limits"},
				{"dbus-system", "cgroups2-limits"},
				{"elogind", "cgroups2-limits"},
				{"udev", "cgroups2-limits"},
				{"networking", "cgroups2-limits"},
				{"user-processes", "rootless-podman-shared-root-fs"},
				{"rootless-podman-shared-root-fs", "cgroups2-limits"},
				{"cgroups2-limits", "cgroups2-fs-owner"},
			} {
				if !before[pair[0]][pair[1]] {
					t.Errorf("%s does not start before %s", pair[0], pair[1])
				}
			}
			_, conf := union(t, env, union(t, env, sys.Path)["etc"])["containers/containers.conf"]
			if conf != tc.conf {
				t.Errorf("/etc/containers/containers.conf is there: %v, want %v", conf, tc.conf)
			}
		})
	}
}

// startOrder says which services must have started before which.
func startOrder(plan spec.ServicePlan) map[string]map[string]bool {
	services := map[string]spec.Service{}
	for _, s := range plan.Services {
		for _, p := range s.Provision {
			services[p] = s
		}
	}
	before := map[string]map[string]bool{}
	var note func(first, then string)
	note = func(first, then string) {
		if before[first] == nil {
			before[first] = map[string]bool{}
		}
		if before[first][then] {
			return
		}
		before[first][then] = true
		for _, r := range services[first].Requirement {
			note(r, then)
		}
	}
	for name, s := range services {
		for _, r := range s.Requirement {
			note(r, name)
		}
	}
	return before
}

// A service without a value is one with the default configuration.
func TestPodmanWithoutValue(t *testing.T) {
	paths := map[string]string{}
	for name, s := range map[string]*service.Service{
		"without": {Type: services.RootlessPodman},
		"default": {Type: services.RootlessPodman, Value: services.RootlessPodman.Default, HasValue: true},
	} {
		env := newEnv(t)
		env.Packages = servicetest.AnyPackage{Graph: env.Graph}
		o := New()
		o.Services = []*service.Service{s}
		sys, err := Lower(env, o)
		if err != nil {
			t.Fatal(err)
		}
		paths[name] = sys.Path
	}
	if diff := cmp.Diff(paths["default"], paths["without"]); diff != "" {
		t.Errorf("the systems differ:\n%s", diff)
	}
}

// The group is there for users by the service alone.
func TestPodmanGroup(t *testing.T) {
	env := newEnv(t)
	o := podman(t, env)
	o.Services = services.BaseServices()
	_, err := Lower(env, o)
	if err == nil || !strings.Contains(err.Error(), `cannot declare user "alice": its supplementary group "cgroup" is not declared`) {
		t.Errorf("without the service: %v", err)
	}
	o = podman(t, env)
	o.Groups = []*services.UserGroup{{Name: "cgroup"}}
	if _, err = Lower(env, o); err == nil || !strings.Contains(err.Error(), `cannot declare group "cgroup" twice`) {
		t.Errorf("with another group of the name: %v", err)
	}
	o = podman(t, env)
	o.Services = append(o.Services, &service.Service{Type: services.RootlessPodman})
	if _, err = Lower(env, o); err == nil {
		t.Error("the service twice is no error")
	}
}
