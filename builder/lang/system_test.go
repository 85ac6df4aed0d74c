// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/builder/golang"
	"osbuild/builder/service"
	"osbuild/builder/system"
	"osbuild/runner/spec"
)

// lowered is a system that was declared in a file.
type lowered struct {
	*evaluation
	system system.System
}

// lower evaluates a file, with a toolchain that cannot build, and lowers what
// it calls system.
func lower(t *testing.T, file string) (*lowered, error) {
	t.Helper()
	e := &evaluation{graph: derivation.NewGraph(treeHasher{})}
	init, err := e.graph.Text("init", "", true, derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	env := &service.Env{Graph: e.graph, Init: init, System: derivation.HostSystem()}
	e.Program, err = Load(context.Background(), file, Options{
		Graph:     e.graph,
		Env:       env,
		Toolchain: func() (*golang.Toolchain, error) { return &golang.Toolchain{Version: "go1.26.0"}, nil },
	})
	if err != nil {
		return nil, err
	}
	os := get[*system.OperatingSystem](t, e, "system")
	if os, err = system.Containerize(os, system.ContainerOptions{}); err != nil {
		return nil, err
	}
	sys, err := system.Lower(env, os)
	return &lowered{e, sys}, err
}

func mustLower(t *testing.T, file string) *lowered {
	t.Helper()
	l, err := lower(t, file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return l
}

func (l *lowered) service(t *testing.T, name string) spec.Service {
	t.Helper()
	for _, s := range l.system.Plan.Services {
		if slices.Contains(s.Provision, name) {
			return s
		}
	}
	t.Fatalf("the system has no service %q", name)
	return spec.Service{}
}

func TestOwnServiceTypeInASystem(t *testing.T) {
	const file = "testdata/web/system.star"
	l := mustLower(t, file)
	web := l.service(t, "web")
	argv := web.Start.Exec.Argv
	if len(argv) != 5 || !strings.HasSuffix(argv[0], "-web/bin/web") || argv[2] != ":8080" || !strings.HasSuffix(argv[4], "-site") {
		t.Errorf("the command is %q", argv)
	}
	if web.Start.Exec.User != "web" || web.Start.Exec.Ready.Port != 8080 {
		t.Errorf("the process is %+v", web.Start.Exec)
	}
	if again := mustLower(t, file); again.system.Path != l.system.Path {
		t.Error("the second evaluation gives another system")
	}
	if !strings.HasPrefix(web.Documentation, "Serve the pages in /osbuild/store/") {
		t.Errorf("the documentation is %q", web.Documentation)
	}
	text, err := os.ReadFile("testdata/web/web.star")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 40 {
		t.Errorf("a service type takes %d lines", n)
	}
	doc, err := NewDoc("web")
	if err == nil {
		t.Errorf("the library knows the example: %v", doc)
	}
}

func TestFixtures(t *testing.T) {
	mustLower(t, "../../fixtures/hello/system.star")

	// The program of the probe is built by the tests that run it.
	text, err := os.ReadFile("../../fixtures/probe/system.star")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("tree/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"tree/bin/probe": nil, "system.star": text} {
		if err := os.WriteFile(name, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mustLower(t, "system.star")
}

// What is wrong with a system as a whole is found after the evaluation, and
// still names the place in the file.
func TestSystemErrors(t *testing.T) {
	const before = `load("@osbuild//base.star", "account", "base_services", "etc", "shepherd_root")
def shepherd(provision, requirement = []):
    return simple_service(provision, shepherd_root, [
        shepherd_service([provision], requirement, start = fork_exec(["/x"])),
    ])
`
	tests := []struct {
		summary, text string
		want          []string
	}{
		{
			"unknown requirement",
			"system = operating_system(services = base_services + [shepherd(\"a\", [\"user-proceses\"])])\n",
			[]string{"system.star:4:9", `"user-proceses"`, `"user-processes"`},
		},
		{
			"requirement cycle",
			"system = operating_system(services = base_services + [shepherd(\"a\", [\"b\"]), shepherd(\"b\", [\"a\"])])\n",
			[]string{"system.star:4:9", `"a" requires "b" requires "a"`},
		},
		{
			"service provided twice",
			"system = operating_system(services = base_services + [shepherd(\"a\"), shepherd(\"a\")])\n",
			[]string{"system.star:4:9", `"a"`},
		},
		{
			"undeclared group",
			"system = operating_system(\n    users = [user_account(\"alice\", group = \"staf\")])\n",
			[]string{"system.star:7:14", `"staf"`, "alice"},
		},
		{
			"two users with one uid",
			"system = operating_system(users = [\n    user_account(\"a\", \"users\", uid = 1000),\n    user_account(\"b\", \"users\", uid = 1000)])\n",
			[]string{"system.star:8:5", "1000", `"a"`, `"b"`},
		},
		{
			"file of /etc twice",
			"one = plain_file(\"x\", \"1\")\ntwo = plain_file(\"x\", \"2\")\nsystem = operating_system(services = base_services + [\n    simple_service(\"x\", etc, [(\"motd\", one)]),\n    simple_service(\"y\", etc, [(\"motd\", two)])])\n",
			[]string{"motd", "system.star:10:5"},
		},
		{
			"ambiguous target",
			"system = operating_system(services = base_services + [\n    service(account, []),\n    service(account, []),\n    simple_service(\"x\", account, [])])\n",
			[]string{"system.star", "account"},
		},
		{
			"missing target",
			"t = service_type(\"t\", extend = lambda v, c: v)\nu = service_type(\"u\", default = 1, extensions = [extension(t, lambda v: [])])\nsystem = operating_system(services = base_services + [service(u)])\n",
			[]string{"system.star:8:55", `"u"`, `"t"`},
		},
		{
			"error in a function of a service",
			"def compute(v):\n    return [user_account(v)]\nt = service_type(\"t\", default = 5, extensions = [extension(account, compute)])\nsystem = operating_system(services = base_services + [service(t)])\n",
			[]string{"system.star:8:50", "system.star:7:26", "user_account: field name: want string, got int"},
		},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("system.star", []byte(before+test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := lower(t, "system.star")
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %s:\n%v", want, err)
				}
			}
		})
	}
}
