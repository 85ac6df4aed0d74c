// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/builder/service/servicetest"
	"osbuild/runner/spec"
)

func podmanEnv() *service.Env {
	env := newEnv()
	env.Packages = servicetest.AnyPackage{Graph: env.Graph}
	return env
}

// podman is the service with a changed configuration.
func podman(t *testing.T, change func(c *RootlessPodmanConfiguration)) *service.Service {
	t.Helper()
	c := newRootlessPodman()
	if change != nil {
		change(c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return given(t, RootlessPodman, c)
}

// textOf is the content of a text item.
func textOf(t *testing.T, env *service.Env, path string) string {
	t.Helper()
	ref, ok := env.Graph.Lookup(path)
	if !ok {
		t.Fatalf("%s is not in the graph", path)
	}
	if d, ok := env.Graph.Derivation(ref.Drv); ok {
		return d.Env["text"]
	}
	item, ok := env.Graph.TextItem(ref.Path)
	if !ok {
		t.Fatalf("%s is no text", path)
	}
	return item.Text
}

func etcFile(t *testing.T, files *EtcFiles, name string) string {
	t.Helper()
	i := slices.IndexFunc(files.Entries, func(e *EtcEntry) bool { return e.Name == name })
	if i < 0 {
		t.Fatalf("/etc has no %s", name)
	}
	return files.Entries[i].File
}

// The three files to the byte: none ends with a line break.
func TestPodmanFiles(t *testing.T) {
	env := podmanEnv()
	files := fold(t, env, Etc, podman(t, nil)).(*EtcFiles)
	for name, want := range map[string]string{
		"containers/registries.conf": "unqualified-search-registries = ['docker.io','registry.fedora.org','registry.opensuse.org']",
		"containers/storage.conf":    "[storage]\ndriver = \"overlay\"",
		"containers/policy.json":     "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}",
	} {
		file := etcFile(t, files, name)
		if got := textOf(t, env, file); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
		if _, base, _ := strings.Cut(name, "/"); !strings.HasSuffix(file, "-"+base) {
			t.Errorf("the item of %s is %s", name, file)
		}
	}

	// A text is the path of a file, never its content.
	changed := fold(t, env, Etc, podman(t, func(c *RootlessPodmanConfiguration) {
		c.ContainersRegistries, c.ContainersStorage, c.ContainersPolicy = ptr("/srv/registries"), ptr("/srv/storage"), ptr("/srv/policy")
	})).(*EtcFiles)
	for name, want := range map[string]string{
		"containers/registries.conf": "/srv/registries", "containers/storage.conf": "/srv/storage", "containers/policy.json": "/srv/policy",
	} {
		if got := etcFile(t, changed, name); got != want {
			t.Errorf("%s leads to %s, want %s", name, got, want)
		}
	}

	all, err := service.InstantiateMissing([]*service.Service{
		podman(t, nil), contribute(Etc, &EtcEntry{Name: "containers/policy.json", File: "/srv/policy"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Fold(env, all, Etc); !errors.Is(err, ErrDuplicateEtc) {
		t.Errorf("two files of one name: %v", err)
	}
	// Another service may have other files in the folder.
	fold(t, env, Etc, podman(t, nil), contribute(Etc, &EtcEntry{Name: "containers/certs.d/ca.crt", File: "/srv/ca"}))
}

func TestPodmanContributions(t *testing.T) {
	env := podmanEnv()
	s := podman(t, func(c *RootlessPodmanConfiguration) {
		c.GroupName = "nesters"
		c.Subuids = []*SubidRange{{Name: "alice", Count: 65536}}
		c.Subgids = []*SubidRange{{Name: "alice", Start: ptr(200000), Count: 10}}
	})
	alice := contribute(Account, &UserAccount{Name: "alice", Group: "users", SupplementaryGroups: []string{"nesters"}})

	accounts := fold(t, env, Account, s, alice).(*Accounts).lower()
	i := slices.IndexFunc(accounts.Groups, func(g spec.Group) bool { return g.Name == "nesters" })
	if i < 0 || !accounts.Groups[i].System || accounts.Groups[i].GID != nil {
		t.Errorf("the groups are %+v", accounts.Groups)
	}
	want := &spec.Subids{
		AddRoot: true, Min: minSubid, Max: maxSubid,
		UIDs: []spec.SubidRange{{Name: "alice", Count: 65536}}, GIDs: []spec.SubidRange{{Name: "alice", Start: ptr(200000), Count: 10}},
	}
	if diff := cmp.Diff(want, accounts.Subids); diff != "" {
		t.Errorf("subordinate ids (-want +got):\n%s", diff)
	}
	if none := fold(t, env, Account, podman(t, nil)).(*Accounts).lower().Subids; none == nil || !none.AddRoot || len(none.UIDs)+len(none.GIDs) > 0 {
		t.Errorf("without ranges root alone has some: %+v", none)
	}

	limits := fold(t, env, PAMLimits, s).([]*PAMLimitsEntry)
	if len(limits) != 1 || limits[0].line() != "*\t-\tnofile\t100000\n" {
		t.Errorf("limits: %+v", limits)
	}
	if got := fold(t, env, ContainerRequirements, s).([]string); !slices.Equal(got, []string{"nested"}) {
		t.Errorf("a container needs %q", got)
	}

	var names []string
	for _, item := range fold(t, env, Profile, s).([]string) {
		ref, _ := env.Graph.Lookup(item)
		d, _ := env.Graph.Derivation(ref.Drv)
		names = append(names, d.Env["package"])
	}
	if want := []string{"podman", "catatonit", "crun", "slirp4netns", "uidmap"}; !slices.Equal(names, want) {
		t.Errorf("packages %q, want %q", names, want)
	}

	uidmap, _ := env.Packages.Package("uidmap", derivation.Position{})
	programs := fold(t, env, PrivilegedPrograms, s).([]*PrivilegedProgram)
	wantPrograms := []*PrivilegedProgram{
		{Program: uidmap + "/usr/bin/newuidmap", Capabilities: []string{"cap_setuid"}},
		{Program: uidmap + "/usr/bin/newgidmap", Capabilities: []string{"cap_setgid"}},
	}
	if diff := cmp.Diff(wantPrograms, programs); diff != "" {
		t.Errorf("privileged programs (-want +got):\n%s", diff)
	}
}

// None installs nothing, so no source of packages is needed; the rest is there.
func TestPodmanOfOnesOwn(t *testing.T) {
	env := newEnv()
	none := podman(t, func(c *RootlessPodmanConfiguration) { c.Podman = nil })
	if items := fold(t, env, Profile, none).([]string); len(items) > 0 {
		t.Errorf("the profile has %q", items)
	}
	if programs := fold(t, env, PrivilegedPrograms, none).([]*PrivilegedProgram); len(programs) > 0 {
		t.Errorf("programs with privileges: %+v", programs)
	}
	if list := fold(t, env, ShepherdRoot, none).([]*ShepherdService); !slices.ContainsFunc(list, func(s *ShepherdService) bool { return s.name() == "cgroups2-fs-owner" }) {
		t.Error("the services are missing")
	}

	env = podmanEnv()
	own, err := env.Graph.Derive(derivation.Derivation{Name: "mypodman", Builder: "/go/bin/go"})
	if err != nil {
		t.Fatal(err)
	}
	items := fold(t, env, Profile, podman(t, func(c *RootlessPodmanConfiguration) { c.Podman = &own })).([]string)
	if len(items) != 1+len(podmanHelpers) || items[0] != own {
		t.Errorf("the profile has %q", items)
	}

	all, err := service.InstantiateMissing([]*service.Service{podman(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Fold(newEnv(), all, Profile); !errors.Is(err, ErrNoPackageSource) {
		t.Errorf("a package by name without a source: %v", err)
	}
}

// The three services, in their order, whose programs are items that hold
// everything and search for nothing.
func TestPodmanServices(t *testing.T) {
	env := podmanEnv()
	s := podman(t, func(c *RootlessPodmanConfiguration) { c.GroupName = "nesters" })
	list := fold(t, env, ShepherdRoot, s).([]*ShepherdService)
	common := []string{"dbus-system", "elogind", "file-system-/sys/fs/cgroup", "networking", "udev", "rootless-podman-shared-root-fs", "user-processes"}
	for _, tc := range []struct {
		name        string
		requirement []string
		task        spec.Task
	}{
		{"rootless-podman-shared-root-fs", []string{"user-processes"}, spec.Task{ShareMount: "/"}},
		{"cgroups2-limits", common, spec.Task{Controllers: &spec.Controllers{
			Root: "/sys/fs/cgroup", Enable: []string{"cpu", "cpuset", "memory", "pids"},
		}}},
		{"cgroups2-fs-owner", append(slices.Clone(common), "cgroups2-limits"), spec.Task{CgroupOwner: &spec.CgroupOwner{
			Root: "/sys/fs/cgroup", User: "root", Group: "nesters", DirMode: 0o775, FileMode: 0o664,
			Files: []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"},
		}}},
	} {
		i := slices.IndexFunc(list, func(s *ShepherdService) bool { return s.name() == tc.name })
		if i < 0 {
			t.Errorf("there is no service %s", tc.name)
			continue
		}
		got := list[i].lower()
		if diff := cmp.Diff(tc.requirement, got.Requirement); diff != "" {
			t.Errorf("%s requires (-want +got):\n%s", tc.name, diff)
		}
		if !got.OneShot || !got.AutoStart || got.Respawn || len(got.Provision) != 1 || len(got.Start.Run) != 1 || len(got.Start.Run[0].Argv) != 1 {
			t.Errorf("%s is not a one-shot with one program: %+v", tc.name, got)
			continue
		}
		first, rest, _ := strings.Cut(textOf(t, env, got.Start.Run[0].Argv[0]), "\n")
		if first != "#!/init/bin/osbuild-init task" {
			t.Errorf("%s begins with %q", tc.name, first)
		}
		var plan spec.TaskPlan
		if err := json.Unmarshal([]byte(rest), &plan); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(spec.TaskPlan{Version: spec.Version, Tasks: []spec.Task{tc.task}}, plan); diff != "" {
			t.Errorf("%s does (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestPodmanErrors(t *testing.T) {
	for _, tc := range []struct {
		summary string
		change  func(c *RootlessPodmanConfiguration)
		want    string
	}{
		{
			"a group name that a shell would execute", func(c *RootlessPodmanConfiguration) { c.GroupName = "x; rm -rf /" },
			`field group_name: "x; rm -rf /" is not a name: ';' is not allowed there (letters, digits, "_", "-" and "." are)`,
		},
		{
			"a group name with a space", func(c *RootlessPodmanConfiguration) { c.GroupName = "c group" },
			`field group_name: "c group" is not a name: ' ' is not allowed there (letters, digits, "_", "-" and "." are)`,
		},
		{"no group name", func(c *RootlessPodmanConfiguration) { c.GroupName = "" }, `field group_name: a name is needed`},
		{"a group id", func(c *RootlessPodmanConfiguration) { c.GroupName = "990" }, `field group_name: "990" is a number, which would be taken for an id`},
		{
			"a text in place of a file", func(c *RootlessPodmanConfiguration) { c.ContainersPolicy = ptr("{}") },
			`field containers_policy: the text "{}" is not a file; give a file, an absolute path, or plain_file(name, text)`,
		},
		{"an empty file name", func(c *RootlessPodmanConfiguration) { c.ContainersStorage = ptr("") }, `field containers_storage: a file is needed`},
		{"an empty package", func(c *RootlessPodmanConfiguration) { c.Podman = ptr("") }, `field podman: a package is needed, or None to install nothing`},
	} {
		c := newRootlessPodman()
		tc.change(c)
		if err := c.Validate(); err == nil || err.Error() != tc.want {
			t.Errorf("%s:\n got %v\nwant %s", tc.summary, err, tc.want)
		}
	}
	if _, err := service.WithValue(RootlessPodman, "podman", derivation.Position{}); err == nil {
		t.Error("a value that is no configuration is taken")
	}
}

// In a container podman is told how, unless the declaration does it.
func TestPodmanInContainer(t *testing.T) {
	const name = "containers/containers.conf"
	env := podmanEnv()
	inside := &service.Service{Type: PodmanInContainer}
	want := "[containers]\nnetns = \"host\"\n\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"crun\"\n"
	files := fold(t, env, Etc, podman(t, nil), inside).(*EtcFiles)
	if got := textOf(t, env, etcFile(t, files, name)); got != want {
		t.Errorf("%s is:\n%s", name, got)
	}
	own := contribute(Etc, &EtcEntry{Name: name, File: "/srv/own.conf"})
	for _, list := range [][]*service.Service{{inside, own}, {own, inside}} {
		files := fold(t, env, Etc, append(list, podman(t, nil))...).(*EtcFiles)
		if got := etcFile(t, files, name); got != "/srv/own.conf" {
			t.Errorf("%s leads to %s", name, got)
		}
	}
	outside := fold(t, env, Etc, podman(t, nil)).(*EtcFiles)
	if slices.ContainsFunc(outside.Entries, func(e *EtcEntry) bool { return e.Name == name }) {
		t.Errorf("%s is there without a container", name)
	}
}
