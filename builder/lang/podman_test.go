// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"fmt"
	"strings"
	"testing"

	"osbuild/builder/service"
	"osbuild/builder/services"
	"osbuild/builder/system"
)

const podmanPrelude = `load("@osbuild//containers.star", "rootless_podman", "rootless_podman_configuration")
`

// A whole configuration arrives in Go as it was written.
func TestPodmanConfiguration(t *testing.T) {
	p, f, env := loadWithPackages(t, podmanPrelude+`
policy = plain_file("my-policy.json", "{}")
conf = rootless_podman_configuration(
    podman = package("podman"),
    group_name = "nesters",
    containers_policy = policy,
    pam_limits = [("@nesters", "hard", "nproc", 4096)],
    subuids = [subid_range("alice")],
    subgids = [("alice", 200000, 10)],
)
default = [rootless_podman_configuration(), service(rootless_podman).value, conf.group_name]
system = operating_system(
    users = [user_account("alice", group = "users", supplementary_groups = ["nesters"])],
    services = [service(rootless_podman, conf)])
none = operating_system(services = [service(rootless_podman, rootless_podman_configuration(podman = None))])
`)
	v, err := p.Value("conf")
	if err != nil {
		t.Fatal(err)
	}
	c := v.(*services.RootlessPodmanConfiguration)
	if c.Podman == nil || f.named[*c.Podman] != "podman" || c.GroupName != "nesters" || c.ContainersRegistries != nil ||
		c.ContainersPolicy == nil || !strings.HasSuffix(*c.ContainersPolicy, "-my-policy.json") || c.Pos.Line != 4 {
		t.Errorf("the configuration is %+v", c)
	}
	if len(c.PAMLimits) != 1 || c.PAMLimits[0].Domain != "@nesters" || len(c.Subuids) != 1 || c.Subuids[0].Name != "alice" ||
		len(c.Subgids) != 1 || *c.Subgids[0].Start != 200000 {
		t.Errorf("the lists are %+v", c)
	}
	for name, helpers := range map[string]bool{"system": true, "none": false} {
		o, err := p.Value(name)
		if err != nil {
			t.Fatal(err)
		}
		f.named = map[string]string{}
		if _, err := system.Lower(env, o.(*system.OperatingSystem)); err != nil {
			t.Fatal(err)
		}
		has := false
		for _, n := range f.named {
			has = has || n == "uidmap"
		}
		if has != helpers {
			t.Errorf("%s asks for uidmap: %v, want %v", name, has, helpers)
		}
	}
}

// A declared service can be changed as any other, and its default read.
func TestPodmanModified(t *testing.T) {
	e := mustEvaluate(t, podmanPrelude+`
changed = modify_services([service(rootless_podman)], (rootless_podman, lambda c: c.replace(
    group_name = c.group_name + "s", podman = None, containers_policy = plain_file("policy", "{}"))))
seen = [rootless_podman.default.podman, rootless_podman.default.containers_storage, rootless_podman.default.pam_limits[0].value]
`)
	c := get[[]any](t, e, "changed")[0].(*service.Service).Value.(*services.RootlessPodmanConfiguration)
	if c.GroupName != "cgroups" || c.Podman != nil || c.ContainersPolicy == nil || len(c.PAMLimits) != 1 {
		t.Errorf("the configuration is %+v", c)
	}
	if d := services.RootlessPodman.Default.(*services.RootlessPodmanConfiguration); d.GroupName != "cgroup" || d.Podman == nil {
		t.Errorf("the default is %+v", d)
	}
	if got := fmt.Sprint(get[[]any](t, e, "seen")); got != "[podman <nil> 100000]" {
		t.Errorf("the default is seen as %s", got)
	}
}

// Each wrong field is an error that names it, at the place of the value.
func TestPodmanConfigurationErrors(t *testing.T) {
	for _, tc := range []struct{ summary, argument, want string }{
		{"podman", `podman = 1`, `system.star:2:46: rootless_podman_configuration: field podman: want string or None, got int`},
		{"podman", `podman = ["podman"]`, `system.star:2:46: rootless_podman_configuration: field podman: want string or None, got list`},
		{"group_name", `group_name = None`, `system.star:2:50: rootless_podman_configuration: field group_name: want string, got None`},
		{
			"group_name", `group_name = "a b"`,
			`system.star:2:50: rootless_podman_configuration: field group_name: "a b" is not a name: ' ' is not allowed there`,
		},
		{
			"containers_registries", `containers_registries = "unqualified-search-registries = []"`,
			`system.star:2:61: rootless_podman_configuration: field containers_registries: want a file, got the text "unqualified-search-registries = []", which is neither`,
		},
		{"containers_storage", `containers_storage = True`, `system.star:2:58: rootless_podman_configuration: field containers_storage: want file or None, got bool`},
		{"containers_policy", `containers_policy = {}`, `system.star:2:57: rootless_podman_configuration: field containers_policy: want file or None, got dict`},
		{"pam_limits", `pam_limits = "x"`, `system.star:2:50: rootless_podman_configuration: field pam_limits: want list of pam_limits_entry, got string`},
		{"pam_limits", `pam_limits = [("*", "both", "files", 1)]`, `field item: invalid limit item "files"`},
		{"subgids", `subgids = ["alice"]`, `system.star:2:47: rootless_podman_configuration: field subgids: element 1: want subid_range, got string`},
		{"subuids", `subuids = subid_range("alice")`, `system.star:2:47: rootless_podman_configuration: field subuids: want list of subid_range, got subid_range`},
		{"an unknown field", `groupname = "x"`, `system.star:2:37: rootless_podman_configuration: field groupname: there is no such field; did you mean group_name?`},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			_, err := loadText(t, podmanPrelude+"c = rootless_podman_configuration(  "+tc.argument+")\n")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
	for _, tc := range []struct{ summary, text, want string }{
		{"not loaded", "c = rootless_podman_configuration()\n", `load("@osbuild//containers.star", "rootless_podman_configuration")`},
		{"a value that is no configuration", podmanPrelude + "s = service(rootless_podman, \"podman\")\n", `cannot declare service "rootless_podman"`},
	} {
		_, err := loadText(t, tc.text)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v\nwant %s", tc.summary, err, tc.want)
		}
	}
}
