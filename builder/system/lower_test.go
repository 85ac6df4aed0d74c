// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/builder/services"
	"osbuild/runner/spec"
	"osbuild/store"
)

var update = flag.Bool("update", false, "write the golden files")

// noSources is a hasher for declarations without local files.
type noSources struct{}

func (noSources) HashTree(context.Context, string, store.Filter) (store.Hash, int64, error) {
	return store.Hash{}, 0, fmt.Errorf("no local files here")
}

const initItem = "/osbuild/store/1qg3w7fzn8jzqh3kmlfgcnd1fh7kdlbv-osbuild-init"

func newEnv(t *testing.T) *service.Env {
	t.Helper()
	g := derivation.NewGraph(noSources{})
	p, err := store.ParsePath(initItem)
	if err != nil {
		t.Fatal(err)
	}
	g.AddItem(p)
	return &service.Env{Graph: g, Init: initItem, System: "x86_64-linux"}
}

func text(t *testing.T, env *service.Env, name, content string) string {
	t.Helper()
	p, err := env.Graph.Text(name, content, false, derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func at(line int) derivation.Position {
	return derivation.Position{File: "system.star", Line: line, Col: 3}
}

// simple contributes to a target.
func simple(target *service.Type, line int, v ...any) *service.Service {
	return service.Simple("test", target, v, at(line))
}

func ptr[T any](v T) *T { return &v }

// process is what fork_exec and run make of their arguments.
func process(t *testing.T, constructor string, rec any) *services.Start {
	t.Helper()
	for _, r := range services.Records() {
		if r.Name != constructor {
			continue
		}
		if v, ok := rec.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				t.Fatal(err)
			}
		}
		made, err := r.Convert(rec)
		if err != nil {
			t.Fatal(err)
		}
		return made.(*services.Start)
	}
	t.Fatalf("there is no constructor %s", constructor)
	return nil
}

func shepherd(provision []string, requirement []string, start *services.Start) *services.ShepherdService {
	s := services.NewShepherdService()
	s.Provision, s.Requirement, s.Start = provision, requirement, start
	return s
}

// hello is a system with a user, a one-shot and a daemon.
func hello(t *testing.T, env *service.Env) *OperatingSystem {
	t.Helper()
	conf := text(t, env, "hello.json", "{}\n")
	program, err := env.Graph.Derive(derivation.Derivation{Name: "hello", Builder: "/go/bin/go", System: env.System})
	if err != nil {
		t.Fatal(err)
	}
	o := New()
	o.HostName = "hello"
	o.Timezone = "Europe/Paris"
	o.Packages = []string{program, program}
	o.Users = []*services.UserAccount{{Name: "alice", Group: "users", SupplementaryGroups: []string{"wheel"}, Comment: "Alice", CreateHome: true}}
	o.Services = append(
		[]*service.Service{
			simple(services.Account, 10,
				&services.UserGroup{Name: "hello", System: true},
				&services.UserAccount{Name: "hello", Group: "hello", System: true, CreateHome: true}),
			simple(services.ShepherdRoot, 20,
				shepherd([]string{"hello-data"}, []string{"user-processes"},
					process(t, "run", &services.Run{Argv: []string{program + "/bin/hello", "prepare", conf}, User: "hello"})),
				shepherd([]string{"hello", "web"}, []string{"hello-data", "networking"},
					process(t, "fork_exec", &services.ForkExec{
						Argv: []string{program + "/bin/hello", "serve", conf}, User: "hello", Env: map[string]string{"LANG": "C"},
						Umask: ptr(0o027), Limits: []*services.ResourceLimit{{Name: "nofile", Soft: 1024, Hard: 4096}},
					}))),
			simple(services.Activation, 30,
				&services.Directory{Path: "/var/lib/hello", Mode: 0o750, User: "hello", Group: "hello"},
				&services.ActivationStep{Name: "greet", Argv: []string{program + "/bin/hello", "greet"}}),
			simple(services.Etc, 40, &services.EtcEntry{Name: "hello/hello.json", File: conf}),
			simple(services.UserHomes, 50, &services.SkeletonFile{Name: ".config/hello", File: conf}),
			service.Simple("ids", services.Subids, []any{&services.SubidsExtension{
				Subuids: []*services.SubidRange{{Name: "alice", Count: 65536}},
				Subgids: []*services.SubidRange{{Name: "alice", Count: 65536}},
			}}, at(60)),
			simple(services.PAM, 70, &services.PAMService{Name: "login", Session: []*services.PAMEntry{{Control: "required", Module: "pam_unix.so"}}}),
			simple(services.PAMLimits, 71, &services.PAMLimitsEntry{Domain: "*", Type: "both", Item: "nofile", Value: 100000}),
			simple(services.PrivilegedPrograms, 80, &services.PrivilegedProgram{Program: program + "/bin/hello", Setuid: true}),
			simple(services.SpecialFiles, 81, &services.SpecialFile{Path: "/srv/hello", Target: conf}),
			simple(services.GCRoots, 82, conf),
			simple(services.SessionEnvironment, 83, &services.EnvironmentVariable{Name: "EDITOR", Value: "ed"}),
			simple(services.Cleanup, 84, &services.Directory{Path: "/var/cache/hello", Mode: 0o755}),
			simple(services.ContainerRequirements, 85, "nested"),
			{Type: services.DBus},
			{Type: services.Elogind},
		},
		services.BaseServices()...)
	return o
}

// machine is a system that has what a container drops.
func machine(t *testing.T, env *service.Env) *OperatingSystem {
	t.Helper()
	program := text(t, env, "program", "")
	o := New()
	o.HostName = "machine"
	bind := []string{"bind-mount"}
	o.FileSystems = []*services.FileSystem{
		{Device: "/dev/sda1", MountPoint: "/", Type: "ext4", Mount: true},
		{Device: "UUID=1234", MountPoint: "/boot", Type: "vfat", Mount: true, NeededForBoot: true},
		{Device: "LABEL=home", MountPoint: "/home", Type: "ext4", Mount: true},
		{Device: "/srv/store", MountPoint: spec.StoreDir, Type: "none", Flags: bind, Mount: true, NeededForBoot: true},
		{Device: "none", MountPoint: "/osbuild", Type: "tmpfs", Mount: true},
		{Device: "none", MountPoint: "/dev/hugepages", Type: "tmpfs", Mount: true},
		{Device: "none", MountPoint: "/sys/kernel/debug", Type: "tmpfs", Mount: true},
		{Device: "none", MountPoint: "/device", Type: "tmpfs", Mount: true, Options: []string{"size=1m"}},
		{Device: "none", MountPoint: "/system", Type: "tmpfs", Mount: true, NeededForBoot: true, Flags: []string{"no-exec"}},
		{Device: "/srv/data", MountPoint: "/device/data", Type: "none", Flags: bind, Mount: true},
		{Device: "none", MountPoint: "/scratch", Type: "tmpfs"},
	}
	given := func(typ *service.Type, value any) *service.Service {
		s, err := service.WithValue(typ, value, at(5))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	o.Services = []*service.Service{
		{Type: services.Udev},
		{Type: services.DBus},
		{Type: services.Loopback},
		given(services.ConsoleFont, &services.ConsoleFontConfiguration{Program: program, TTY: "tty1", Font: "big"}),
		given(services.Mingetty, &services.MingettyConfiguration{Program: program, TTY: "tty1"}),
		given(services.Mingetty, &services.MingettyConfiguration{Program: program, TTY: "tty2"}),
		given(services.Agetty, &services.AgettyConfiguration{Program: program, TTY: "ttyS0", Baud: 9600}),
		given(services.StaticNetworking, &services.StaticNetworkingConfiguration{
			IP: program, Provision: []string{"networking"}, Requirement: []string{"udev"},
			Addresses:   []*services.NetworkAddress{{Device: "eth0", Value: "192.0.2.10/24"}},
			Routes:      []*services.NetworkRoute{{Destination: "default", Gateway: "192.0.2.1"}},
			NameServers: []string{"192.0.2.53"},
		}),
		given(services.Nscd, &services.NscdConfiguration{Program: program, CacheSize: 262144}),
	}
	return o
}

var goldenCases = []struct {
	name    string
	summary string
	make    func(t *testing.T, env *service.Env) *OperatingSystem
}{
	{"empty", "a system of which nothing is declared", func(*testing.T, *service.Env) *OperatingSystem {
		o := New()
		o.Services = nil
		return o
	}},
	{"hello", "a system with a user, a one-shot and a daemon", hello},
	{"hello_container", "the same as a container", func(t *testing.T, env *service.Env) *OperatingSystem {
		return contain(t, hello(t, env), ContainerOptions{Mappings: []*services.FileSystemMapping{
			{Source: "/srv/pages"}, {Source: "/srv/in", Target: "/mnt/in", Writable: true},
		}})
	}},
	{"hello_shared", "the same as a container that shares the host's network", func(t *testing.T, env *service.Env) *OperatingSystem {
		return contain(t, hello(t, env), ContainerOptions{SharedNetwork: true, ExtraFileSystems: []*services.FileSystem{
			{Device: "none", MountPoint: "/scratch", Type: "tmpfs", Mount: true, Options: []string{"size=1m"}},
		}})
	}},
	{"podman", "a system whose user runs containers", podman},
	{"podman_container", "the same as a container", func(t *testing.T, env *service.Env) *OperatingSystem {
		return contain(t, podman(t, env), ContainerOptions{})
	}},
	{"machine", "a system of a machine", machine},
	{"machine_container", "what is left of it in a container", func(t *testing.T, env *service.Env) *OperatingSystem {
		return contain(t, machine(t, env), ContainerOptions{})
	}},
}

func contain(t *testing.T, o *OperatingSystem, options ContainerOptions) *OperatingSystem {
	t.Helper()
	c, err := Containerize(o, options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGolden(t *testing.T) {
	for _, tc := range goldenCases {
		t.Run(tc.name, func(t *testing.T) {
			env := newEnv(t)
			sys, err := Lower(env, tc.make(t, env))
			if err != nil {
				t.Fatal(err)
			}
			got := render(t, env, tc.summary, sys)
			file := filepath.Join("testdata", tc.name+".txtar")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("go test -update writes the golden files anew (-want +got):\n%s", diff)
			}
		})
	}
}

var digest = regexp.MustCompile(`/osbuild/store/[0-9a-z]{32}-`)

// render prints a system with the hashes taken out of its paths.
func render(t *testing.T, env *service.Env, summary string, sys System) []byte {
	t.Helper()
	archive := &txtar.Archive{Comment: []byte(summary + "\n")}
	add := func(name, text string) {
		text = digest.ReplaceAllString(text, "/osbuild/store/HASH-")
		archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(text)})
	}
	addJSON := func(name string, v any) {
		b, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		add(name, string(b)+"\n")
	}
	entries := union(t, env, sys.Path)
	add("system", listing(entries))
	add("etc", listing(union(t, env, entries["etc"])))
	for _, name := range []string{"fstab", "hosts", "resolv.conf", "shells", "environment", "pam.d/login"} {
		if file := union(t, env, entries["etc"])[name]; file != "" {
			add("etc/"+name, content(t, env, file))
		}
	}
	addJSON("container.json", sys.Container)
	addJSON("activate", sys.Activation)
	addJSON("services", sys.Plan)
	return txtar.Format(archive)
}

// union gives the entries of a file union.
func union(t *testing.T, env *service.Env, path string) map[string]string {
	t.Helper()
	ref, ok := env.Graph.Lookup(path)
	if !ok {
		t.Fatalf("%s is not in the graph", path)
	}
	d, ok := env.Graph.Derivation(ref.Drv)
	if !ok {
		t.Fatalf("%s is no derivation", path)
	}
	files := map[string]string{}
	for i := 0; i+1 < len(d.Args); i += 2 {
		files[d.Args[i]] = d.Args[i+1]
	}
	return files
}

// content gives the text of a file, known or still to be filled in.
func content(t *testing.T, env *service.Env, path string) string {
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

func listing(files map[string]string) string {
	var lines []string
	for name, file := range files {
		lines = append(lines, name+" -> "+file+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// What is lowered twice is the same to the letter, whatever the schedule.
func TestDeterminism(t *testing.T) {
	lower := func() string {
		env := newEnv(t)
		sys, err := Lower(env, contain(t, hello(t, env), ContainerOptions{SharedNetwork: true}))
		if err != nil {
			t.Fatal(err)
		}
		script, err := ContainerScript(env, sys)
		if err != nil {
			t.Fatal(err)
		}
		return script
	}
	want := lower()
	for _, procs := range []int{1, 4} {
		old := runtime.GOMAXPROCS(procs)
		for range 10 {
			if got := lower(); got != want {
				t.Errorf("GOMAXPROCS=%d: %s, before %s", procs, got, want)
			}
		}
		runtime.GOMAXPROCS(old)
	}
}

func TestPlansAreFiles(t *testing.T) {
	env := newEnv(t)
	sys, err := Lower(env, hello(t, env))
	if err != nil {
		t.Fatal(err)
	}
	entries := union(t, env, sys.Path)
	for name, verb := range map[string]string{"activate": "activate", "boot": "init"} {
		first, rest, _ := strings.Cut(content(t, env, entries[name]), "\n")
		if want := "#!" + initItem + "/bin/osbuild-init " + verb; first != want {
			t.Errorf("%s begins with %q, want %q", name, first, want)
		}
		var v any
		if err := json.Unmarshal([]byte(rest), &v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var boot spec.BootPlan
	_, rest, _ := strings.Cut(content(t, env, entries["boot"]), "\n")
	if err := json.Unmarshal([]byte(rest), &boot); err != nil {
		t.Fatal(err)
	}
	if want := (spec.BootPlan{Version: spec.Version, Activate: entries["activate"], Services: entries["services"]}); boot != want {
		t.Errorf("boot is %+v, want %+v", boot, want)
	}
	var plan spec.ServicePlan
	if err := json.Unmarshal([]byte(content(t, env, entries["services"])), &plan); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sys.Plan, plan); diff != "" {
		t.Errorf("the services file does not hold the plan:\n%s", diff)
	}
	script, err := ContainerScript(env, sys)
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, env, script); !strings.HasPrefix(got, "#!/bin/sh\n") || !strings.Contains(got, sys.Path) {
		t.Errorf("the script does not name the system:\n%s", got)
	}
}

// docs/services.md marks the types that every system has.
func TestEssentialTypesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/services.md")
	if err != nil {
		t.Fatal(err)
	}
	env := newEnv(t)
	list, err := defaultServices(env, New())
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, s := range list {
		want = append(want, s.Type.Name)
	}
	slices.Sort(want)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\*").FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[1])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("essential types (-are +documented):\n%s", diff)
	}
}
