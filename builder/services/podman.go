// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// What /etc/containers holds unless a declaration says otherwise. None of the
// texts ends with a line break.
const (
	defaultRegistries = `unqualified-search-registries = ['docker.io','registry.fedora.org','registry.opensuse.org']`
	defaultStorage    = "[storage]\ndriver = \"overlay\""
	defaultPolicy     = `{"default": [{"type": "insecureAcceptAnything"}]}`
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// openFiles is how many files containers of users may have open.
	openFiles = 100000
)

// podmanHelpers are the packages without which podman cannot run containers of
// users, give them an init, or a network of their own. Debian's podman only
// recommends them.
var podmanHelpers = []string{"catatonit", "crun", "slirp4netns", uidmap}

// uidmap is the package of newuidmap and newgidmap.
const uidmap = "uidmap"

// RootlessPodmanConfiguration is the value of the rootless_podman service.
type RootlessPodmanConfiguration struct {
	Pos                  derivation.Position `star:"-"`
	Podman               *string             `star:"podman" doc:"The package, by name or as an item, or None to install nothing: neither podman nor the programs that it needs."`
	GroupName            string              `star:"group_name" doc:"The group whose members may limit what their containers use. The service declares it."`
	ContainersRegistries *string             `star:"containers_registries,file" doc:"The file to use as /etc/containers/registries.conf; by default one that names three public registries."`
	ContainersStorage    *string             `star:"containers_storage,file" doc:"The file to use as /etc/containers/storage.conf; by default one that chooses the driver overlay."`
	ContainersPolicy     *string             `star:"containers_policy,file" doc:"The file to use as /etc/containers/policy.json; by default one that accepts every image."`
	PAMLimits            []*PAMLimitsEntry   `star:"pam_limits" doc:"Limits of login sessions, which containers inherit: pam_limits_entry records or tuples (domain, type, item, value)."`
	Subgids              []*SubidRange       `star:"subgids" doc:"Ranges of group ids that users may give to their containers: subid_range records."`
	Subuids              []*SubidRange       `star:"subuids" doc:"Ranges of user ids that users may give to their containers: subid_range records."`
}

func newRootlessPodman() *RootlessPodmanConfiguration {
	podman := "podman"
	return &RootlessPodmanConfiguration{
		Podman:    &podman,
		GroupName: "cgroup",
		PAMLimits: []*PAMLimitsEntry{{Domain: "*", Type: "both", Item: "nofile", Value: openFiles}},
	}
}

// Validate checks the fields.
func (c *RootlessPodmanConfiguration) Validate() error {
	if err := accountName("group_name", c.GroupName); err != nil {
		return err
	}
	for _, f := range []struct {
		field string
		file  *string
	}{
		{"containers_registries", c.ContainersRegistries},
		{"containers_storage", c.ContainersStorage},
		{"containers_policy", c.ContainersPolicy},
	} {
		if f.file == nil {
			continue
		}
		if err := fileLike(f.field, *f.file); err != nil {
			return err
		}
	}
	if c.Podman != nil && *c.Podman == "" {
		return errors.New("field podman: a package is needed, or None to install nothing")
	}
	return nil
}

// RootlessPodman lets users run containers of their own.
var RootlessPodman = &service.Type{
	Name:        "rootless_podman",
	Description: "Containers of users, by podman and without further privileges.",
	Check:       checkRecord[*RootlessPodmanConfiguration],
	Default:     newRootlessPodman(),
	HasDefault:  true,
	ValueDoc:    "rootless_podman_configuration",
	ProducesDoc: "the one-shot services rootless-podman-shared-root-fs, cgroups2-limits and cgroups2-fs-owner; a system group; " +
		"files of /etc/containers; podman and what it needs; limits of login sessions; subordinate ids",
	Extensions: []service.Extension{
		{Target: Subids, Compute: typed(func(_ *service.Env, c *RootlessPodmanConfiguration) ([]any, error) {
			return one(&SubidsExtension{Pos: c.Pos, Subuids: c.Subuids, Subgids: c.Subgids})
		})},
		{Target: Account, Compute: typed(func(_ *service.Env, c *RootlessPodmanConfiguration) ([]any, error) {
			return one(&UserGroup{Pos: c.Pos, Name: c.GroupName, System: true})
		})},
		{Target: Profile, Compute: typed(func(env *service.Env, c *RootlessPodmanConfiguration) ([]any, error) {
			return c.packages(env)
		})},
		{Target: ShepherdRoot, Compute: typed(podmanServices)},
		{Target: PAMLimits, Compute: typed(func(_ *service.Env, c *RootlessPodmanConfiguration) ([]any, error) {
			return many(c.PAMLimits)
		})},
		{Target: Etc, Compute: typed(podmanFiles)},

		{Target: PrivilegedPrograms, Compute: typed(podmanPrivileged)},
		{Target: ContainerRequirements, Compute: func(*service.Env, any) ([]any, error) { return one("nested") }},
		// These make sure that what the services require is there.
		{Target: DBus, Compute: pullIn},
		{Target: Elogind, Compute: pullIn},
		{Target: Udev, Compute: pullIn},
		{Target: DummyNetworking, Compute: pullIn},
	},
}

// packages are those that the service adds to the system.
func (c *RootlessPodmanConfiguration) packages(env *service.Env) ([]any, error) {
	if c.Podman == nil {
		return nil, nil
	}
	var out []any
	for _, name := range append([]string{*c.Podman}, podmanHelpers...) {
		item, err := PackageItem(env, name, c.Pos)
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}

// podmanPrivileged are the programs by which users get their subordinate ids.
// Capabilities of the file do: a container that lacks CAP_SYS_ADMIN refuses
// what set-id programs would do, see user_namespaces(7).
func podmanPrivileged(env *service.Env, c *RootlessPodmanConfiguration) ([]any, error) {
	if c.Podman == nil {
		return nil, nil
	}
	item, err := PackageItem(env, uidmap, c.Pos)
	if err != nil {
		return nil, err
	}
	return many([]*PrivilegedProgram{
		{Pos: c.Pos, Program: item + "/usr/bin/newuidmap", Capabilities: []string{"cap_setuid"}},
		{Pos: c.Pos, Program: item + "/usr/bin/newgidmap", Capabilities: []string{"cap_setgid"}},
	})
}

func podmanFiles(env *service.Env, c *RootlessPodmanConfiguration) ([]any, error) {
	var out []any
	for _, f := range []struct {
		name, text string
		file       *string
	}{
		{"registries.conf", defaultRegistries, c.ContainersRegistries},
		{"storage.conf", defaultStorage, c.ContainersStorage},
		{"policy.json", defaultPolicy, c.ContainersPolicy},
	} {
		e := &EtcEntry{Pos: c.Pos, Name: "containers/" + f.name}
		if f.file != nil {
			e.File = *f.file
		} else {
			var err error
			if e.File, err = env.Graph.Text(f.name, f.text, false, derivation.Position{}); err != nil {
				return nil, err
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// podmanServices make the control groups the users' to divide, in three steps.
func podmanServices(env *service.Env, c *RootlessPodmanConfiguration) ([]any, error) {
	common := []string{"dbus-system", "elogind", "file-system-" + cgroupRoot, "networking", "udev", "rootless-podman-shared-root-fs", "user-processes"}
	var out []any
	for _, s := range []struct {
		name, documentation string
		requirement         []string
		task                spec.Task
	}{
		{
			"rootless-podman-shared-root-fs", "Share the root file system, so that mounts reach the containers of users.",
			[]string{"user-processes"},
			spec.Task{ShareMount: "/"},
		},
		{
			"cgroups2-limits", "Let control groups limit what the containers of users use.",
			common,
			spec.Task{Controllers: &spec.Controllers{Root: cgroupRoot, Enable: []string{"cpu", "cpuset", "memory", "pids"}}},
		},
		{
			"cgroups2-fs-owner", "Give the control groups to the group " + c.GroupName + ".",
			append(common[:len(common):len(common)], "cgroups2-limits"),
			spec.Task{CgroupOwner: &spec.CgroupOwner{
				Root: cgroupRoot, User: "root", Group: c.GroupName, DirMode: 0o775, FileMode: 0o664,
				Files: []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"},
			}},
		},
	} {
		program, err := planFile(env, s.name, "task", spec.TaskPlan{Version: spec.Version, Tasks: []spec.Task{s.task}})
		if err != nil {
			return nil, err
		}
		svc := point(s.documentation, s.name)
		svc.Pos, svc.Requirement = c.Pos, s.requirement
		svc.Start = &Start{Run: []spec.Process{{Argv: []string{program}, Env: environ(nil)}}}
		out = append(out, svc)
	}
	return out, nil
}

// pullIn contributes nothing: the target is wanted for its presence.
func pullIn(*service.Env, any) ([]any, error) { return nil, nil }

// PodmanInContainer makes podman work in a container. [RootlessPodman] has it
// beside it there, and nowhere else.
var PodmanInContainer = &service.Type{
	Name:        "podman_in_container",
	Description: "What podman needs to be told in a container.",
	Check:       noValue,
	HasDefault:  true,
	ValueDoc:    "none",
	ProducesDoc: "/etc/containers/containers.conf, unless it is declared",
	Extensions: []service.Extension{{Target: Etc, Compute: func(env *service.Env, _ any) ([]any, error) {
		e, err := etcText(env, "containers/containers.conf", containersConf)
		if err != nil {
			return nil, err
		}
		e.Fallback = true
		return one(e)
	}}},
}

// containersConf is the part of containers.conf(5) that a container needs. There
// is no systemd to ask for control groups or to keep a journal. A network of
// their own would take /dev/net/tun, which not every host lets its users open:
// without more being said, containers of users are in the network of the
// container that they run in.
const containersConf = `[containers]
netns = "host"

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
`

func containersModule() Module {
	return Module{
		Name:  "@osbuild//containers.star",
		Types: map[string]*service.Type{RootlessPodman.Name: RootlessPodman},
		Records: []Record{{
			Name: "rootless_podman_configuration", Proto: newRootlessPodman(),
			Doc: "Containers of users, by podman.",
		}},
		Source: `"""Containers that users of the system run themselves."""`,
	}
}
