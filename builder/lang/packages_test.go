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
	"osbuild/builder/service"
	"osbuild/builder/system"
)

// fakePackages makes a package of every name, and notes what it is asked.
type fakePackages struct {
	graph  *derivation.Graph
	named  map[string]string
	asked  []derivation.Position
	policy service.PackagePolicy
}

func (f *fakePackages) Package(name string, pos derivation.Position) (string, error) {
	f.asked = append(f.asked, pos)
	item, err := f.graph.Derive(derivation.Derivation{Name: name, Builder: "builtin:package", Env: map[string]string{"package": name}})
	f.named[item] = name
	return item, err
}

func (f *fakePackages) Is(path string) bool { return f.named[path] != "" }

func (f *fakePackages) Use(p service.PackagePolicy) ([]string, error) {
	f.policy = p
	item, err := f.Package("base-files", p.Pos)
	return []string{item}, err
}

func (f *fakePackages) Root(items []string, _ bool, _ derivation.Position) (string, error) {
	var names []string
	for _, item := range items {
		if name := f.named[item]; name != "" {
			names = append(names, name)
		}
	}
	if names == nil {
		return "", nil
	}
	slices.Sort(names)
	return f.graph.Text("root-of-"+strings.Join(names, "-"), "", false, derivation.Position{})
}

func loadWithPackages(t *testing.T, text string) (*Program, *fakePackages, *service.Env) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("system.star", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	g := derivation.NewGraph(treeHasher{})
	f := &fakePackages{graph: g, named: map[string]string{}}
	env := &service.Env{Graph: g, Init: "/osbuild/init", System: "x86_64-linux", Packages: f}
	p, err := Load(context.Background(), "system.star", Options{Graph: g, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return p, f, env
}

// A build program gets the root of the packages among its inputs, wherever
// they are mentioned; without packages it gets none.
func TestBuildProgramsSeeTheirPackages(t *testing.T) {
	p, f, env := loadWithPackages(t, `
python = package("python3-minimal")
tool = package("tool")
one = computed_file("one", python + "/usr/bin/python3", args = ["-c", "pass"])
two = computed_file("two", python + "/usr/bin/python3", env = {"TOOL": "a:%s/bin" % tool})
three = derivation("three", python + "/usr/bin/python3", inputs = [tool])
plain = computed_file("plain", plain_file("script", "x", executable = True))
`)
	for name, want := range map[string]string{
		"one": "root-of-python3-minimal", "two": "root-of-python3-minimal-tool", "three": "root-of-python3-minimal-tool", "plain": "",
	} {
		v, err := p.Value(name)
		if err != nil {
			t.Fatal(err)
		}
		ref, _ := env.Graph.Lookup(v.(string))
		d, ok := env.Graph.Derivation(ref.Drv)
		if !ok || !strings.HasSuffix(d.Root, want) || (d.Root == "") != (want == "") {
			t.Errorf("%s sees %q, want %q", name, d.Root, want)
		}
	}
	if want := (derivation.Position{File: "system.star", Line: 2, Col: 10}); f.asked[0] != want {
		t.Errorf("the first package is asked for at %v, want %v", f.asked[0], want)
	}
}

func TestSystemNamesPackages(t *testing.T) {
	p, f, env := loadWithPackages(t, `
tree = file_union("tree", {"bin/x": plain_file("x", "x", executable = True)})
system = operating_system(
    packages = ["curl", tree, package("nginx-light")],
    package_source = debian(suite = "bookworm", essential = "minimal", ignore = ["tzdata"]),
)
`)
	v, err := p.Value("system")
	if err != nil {
		t.Fatal(err)
	}
	sys, err := system.Lower(env, v.(*system.OperatingSystem))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.policy; got.Suite != "bookworm" || got.Essential != "minimal" || !slices.Equal(got.Ignore, []string{"tzdata"}) || got.Pos.Line != 5 {
		t.Errorf("the policy is %+v", got)
	}
	ref, _ := env.Graph.Lookup(sys.Path)
	d, _ := env.Graph.Derivation(ref.Drv)
	entries := map[string]string{}
	for i := 0; i < len(d.Args); i += 2 {
		entries[d.Args[i]] = d.Args[i+1]
	}
	ref, _ = env.Graph.Lookup(entries["package-items"])
	items, ok := env.Graph.Derivation(ref.Drv)
	if !ok {
		t.Fatalf("the system has the entries %v", entries)
	}
	var names []string
	for i := 0; i < len(items.Args); i += 2 {
		names = append(names, items.Args[i])
	}
	if got := strings.Join(names, " "); got != "base-files curl nginx-light" {
		t.Errorf("the packages of the system are %s", got)
	}
	ref, _ = env.Graph.Lookup(entries["profile"])
	if profile, ok := env.Graph.Derivation(ref.Drv); !ok || len(profile.Args) != 1 {
		t.Errorf("the profile is not the tree alone: %v", profile)
	}
}
