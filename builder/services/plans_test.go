// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
	"osbuild/store"
)

type noSources struct{}

func (noSources) HashTree(context.Context, string, store.Filter) (store.Hash, int64, error) {
	return store.Hash{}, 0, errors.New("no local files here")
}

func newEnv() *service.Env {
	return &service.Env{Graph: derivation.NewGraph(noSources{}), Init: "/init", System: "x86_64-linux"}
}

// fold gives the extended value of target in a list that is completed first.
func fold(t *testing.T, env *service.Env, target *service.Type, list ...*service.Service) any {
	t.Helper()
	all, err := service.InstantiateMissing(list)
	if err != nil {
		t.Fatal(err)
	}
	s, err := service.Fold(env, all, target)
	if err != nil {
		t.Fatal(err)
	}
	return s.Value
}

func contribute(target *service.Type, v ...any) *service.Service {
	return service.Simple("test", target, v, derivation.Position{})
}

func given(t *testing.T, typ *service.Type, v any) *service.Service {
	t.Helper()
	s, err := service.WithValue(typ, v, derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// made is what a constructor makes of a record.
func made(t *testing.T, name string, rec validator) any {
	t.Helper()
	if err := rec.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, r := range Records() {
		if r.Name == name {
			v, err := r.Convert(rec)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("there is no record %q", name)
	return nil
}

func TestServiceForms(t *testing.T) {
	path := "PATH=" + DefaultPath
	limit := spec.RespawnLimit{Times: 5, Seconds: 30}
	term := spec.Stop{Kind: spec.StopSignal, Signal: "SIGTERM", GraceMS: 5000}
	exec := func() *Start { return made(t, "fork_exec", &ForkExec{Argv: []string{"/x", "-d"}}).(*Start) }
	for _, tc := range []struct {
		summary string
		change  func(s *ShepherdService)
		want    spec.Service
	}{
		{
			"a name for its requirements",
			func(s *ShepherdService) { s.Requirement = []string{"b"} },
			spec.Service{Requirement: []string{"b"}, Stop: spec.Stop{Kind: spec.StopNone}},
		},
		{
			"a program that keeps running respawns",
			func(s *ShepherdService) { s.Start = exec() },
			spec.Service{
				Respawn: true, Stop: term,
				Start: spec.Start{Exec: &spec.Process{Argv: []string{"/x", "-d"}, Env: []string{path}}},
			},
		},
		{
			"unless it says otherwise",
			func(s *ShepherdService) {
				s.Start, s.Respawn, s.RespawnDelay, s.RespawnLimit = exec(), ptr(false), 7, &RespawnLimit{Times: 1, Seconds: 2}
			},
			spec.Service{
				RespawnLimit: spec.RespawnLimit{Times: 1, Seconds: 2}, RespawnDelayMS: 7, Stop: term,
				Start: spec.Start{Exec: &spec.Process{Argv: []string{"/x", "-d"}, Env: []string{path}}},
			},
		},
		{
			"a program that runs to completion is one-shot",
			func(s *ShepherdService) {
				s.Start = made(t, "run", &Run{Argv: []string{"/x"}, Env: map[string]string{"PATH": "/p", "A": "b"}, User: "u"}).(*Start)
			},
			spec.Service{
				OneShot: true, Stop: term,
				Start: spec.Start{Run: []spec.Process{{Argv: []string{"/x"}, Env: []string{"A=b", "PATH=/p"}, User: "u"}}},
			},
		},
		{
			"a one-shot runs to completion, however its program was given",
			func(s *ShepherdService) { s.Start, s.OneShot = exec(), ptr(true) },
			spec.Service{
				OneShot: true, Stop: term,
				Start: spec.Start{Run: []spec.Process{{Argv: []string{"/x", "-d"}, Env: []string{path}}}},
			},
		},
		{
			"a set-up that stays, and what undoes it",
			func(s *ShepherdService) {
				s.Start, s.OneShot = made(t, "run", &Run{Argv: []string{"/up"}}).(*Start), ptr(false)
				s.Stop = made(t, "run", &Run{Argv: []string{"/down"}})
			},
			spec.Service{
				Start: spec.Start{Run: []spec.Process{{Argv: []string{"/up"}, Env: []string{path}}}},
				Stop: spec.Stop{
					Kind: spec.StopRun, Signal: "SIGTERM", GraceMS: 5000,
					Process: &spec.Process{Argv: []string{"/down"}, Env: []string{path}},
				},
			},
		},
		{
			"everything about a process",
			func(s *ShepherdService) {
				s.Start = made(t, "fork_exec", &ForkExec{
					Argv: []string{"/x"}, User: "u", Group: "g", SupplementaryGroups: []string{"h"}, Directory: "/d",
					Umask: ptr(0), LogFile: "/l", Limits: []*ResourceLimit{{Name: "core", Soft: 0, Hard: -1}},
					Ready: made(t, "tcp", &TCPReady{Port: 80, Timeout: 30}).(*Ready),
				}).(*Start)
				s.Stop = &Stop{Signal: "SIGQUIT", Grace: 1}
				s.AutoStart = false
			},
			spec.Service{
				Respawn: true, Stop: spec.Stop{Kind: spec.StopSignal, Signal: "SIGQUIT", GraceMS: 1000},
				Start: spec.Start{Exec: &spec.Process{
					Argv: []string{"/x"}, User: "u", Group: "g", SupplementaryGroups: []string{"h"}, Directory: "/d",
					Env: []string{path}, Umask: ptr(uint32(0)), LogFile: "/l",
					Limits: map[string]spec.Limit{"core": {Soft: 0, Hard: -1}},
					Ready:  &spec.Ready{Kind: spec.ReadyTCP, Port: 80, TimeoutMS: 30000},
				}},
			},
		},
	} {
		s := NewShepherdService()
		s.Provision = []string{"a"}
		tc.change(s)
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", tc.summary, err)
			continue
		}
		tc.want.Provision, tc.want.AutoStart = []string{"a"}, s.AutoStart
		if tc.want.RespawnLimit == (spec.RespawnLimit{}) {
			tc.want.RespawnLimit, tc.want.RespawnDelayMS = limit, 100
		}
		if diff := cmp.Diff(tc.want, s.lower()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.summary, diff)
		}
	}
	s := &ShepherdService{Provision: []string{"a"}, OneShot: ptr(true), Start: &Start{Exec: &spec.Process{Ready: &spec.Ready{}}}}
	if err := s.Validate(); err == nil {
		t.Error("a one-shot with readiness was accepted")
	}
}

func TestReadiness(t *testing.T) {
	for _, tc := range []struct {
		name string
		rec  validator
		want spec.Ready
	}{
		{"tcp", &TCPReady{Port: 8080, Timeout: 30}, spec.Ready{Kind: "tcp", Port: 8080, TimeoutMS: 30000}},
		{"unix", &UnixReady{Path: "/run/s", Timeout: 1}, spec.Ready{Kind: "unix", Path: "/run/s", TimeoutMS: 1000}},
		{"path", &PathReady{Path: "/run/f", Timeout: 2}, spec.Ready{Kind: "path", Path: "/run/f", TimeoutMS: 2000}},
		{"notify", &NotifyReady{Timeout: 3}, spec.Ready{Kind: "notify", TimeoutMS: 3000}},
	} {
		if got := made(t, tc.name, tc.rec).(*Ready).spec; got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestFallback(t *testing.T) {
	names := func(list []*service.Service) []string {
		var out []string
		for _, s := range fold(t, newEnv(), ShepherdRoot, list...).([]*ShepherdService) {
			out = append(out, strings.Join(s.Provision, "+"))
		}
		return out
	}
	real := NewShepherdService()
	real.Provision = []string{"net", "networking"}
	bus := NewShepherdService()
	bus.Provision = []string{"dbus-system"}
	for _, tc := range []struct {
		summary string
		in      []*service.Service
		want    []string
	}{
		{"alone", []*service.Service{{Type: DummyNetworking}}, []string{"networking+loopback"}},
		{"beside loopback", []*service.Service{{Type: Loopback}, {Type: DummyNetworking}}, []string{"loopback", "networking"}},
		{"twice", []*service.Service{{Type: DummyNetworking}, {Type: DummyNetworking}}, []string{"networking+loopback"}},
		{"the bus for real", []*service.Service{{Type: DBus}, {Type: Udev}, contribute(ShepherdRoot, bus)}, []string{"udev", "dbus-system"}},
		{"beside a service that provides networking", []*service.Service{{Type: DummyNetworking}, contribute(ShepherdRoot, real)}, []string{"loopback", "net+networking"}},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, names(tc.in)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.summary, diff)
			}
		})
	}
}

func TestActivationOrder(t *testing.T) {
	step := func(phase, name string) *ActivationStep {
		return &ActivationStep{Step: &spec.Step{Phase: phase, Name: name}}
	}
	value := fold(t, newEnv(), Activation, contribute(Activation,
		&ActivationStep{Name: "mine", Argv: []string{"/x"}, BootOnly: true},
		step(spec.PhasePrivileged, "p"),
		&Directory{Path: "/b", Mode: 0o700},
		step(spec.PhaseEtc, "e2"),
		&Directory{Path: "/a", Mode: 0o755, User: "u", Group: "g"},
		step(spec.PhaseAccounts, "a"),
		step(spec.PhaseEtc, "e1"),
		&ActivationStep{Name: "yours", Argv: []string{"/y"}},
	))
	plan, err := ActivationPlan(value)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range plan.Steps {
		got = append(got, s.Name)
	}
	want := []string{"a", "e2", "e1", "directories", "p", "mine", "yours"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("phases in order, steps of a phase as declared (-want +got):\n%s", diff)
	}
	dirs := []spec.Dir{{Path: "/b", Mode: 0o700}, {Path: "/a", Mode: 0o755, User: "u", Group: "g"}}
	if diff := cmp.Diff(dirs, plan.Steps[3].Directories); diff != "" {
		t.Error(diff)
	}
	mine := plan.Steps[5]
	if !mine.BootOnly || mine.Run == nil || mine.Run.Env[0] != "PATH="+DefaultPath {
		t.Errorf("the user's step is %+v", mine)
	}
}

// transform is a service.Func that renames nothing and counts its calls.
type transform func(s *PAMService) any

func (f transform) Call(args ...any) (any, error) { return f(args[0].(*PAMService)), nil }

func TestPAM(t *testing.T) {
	env := newEnv()
	entry := func(module string, args ...string) *PAMEntry {
		return &PAMEntry{Control: "required", Module: module, Arguments: args}
	}
	login := &PAMService{
		Name: "login", Auth: []*PAMEntry{entry("pam_unix.so", "nullok")}, Session: []*PAMEntry{entry("pam_unix.so")},
		Account: []*PAMEntry{entry("pam_unix.so")}, Password: []*PAMEntry{entry("pam_unix.so", "sha512")},
	}
	other := &PAMService{Name: "other", Session: []*PAMEntry{entry("pam_deny.so")}}
	motd := &PAMExtension{Transform: transform(func(s *PAMService) any {
		c := *s
		c.Session = append(append([]*PAMEntry(nil), s.Session...), entry("pam_motd.so"))
		return &c
	})}
	value := fold(t, env, PAM, given(t, PAM, []any{login}),
		contribute(PAM, motd, other),
		contribute(PAMLimits, &PAMLimitsEntry{Domain: "*", Type: "both", Item: "nofile", Value: 100000}))
	list := value.([]*PAMService)
	if len(list) != 2 {
		t.Fatalf("there are %d services", len(list))
	}
	want := "account required pam_unix.so\nauth required pam_unix.so nullok\npassword required pam_unix.so sha512\n" +
		"session required pam_limits.so conf=/etc/security/limits.conf\nsession required pam_unix.so\nsession required pam_motd.so\n"
	if diff := cmp.Diff(want, list[0].text()); diff != "" {
		t.Errorf("login (-want +got):\n%s", diff)
	}
	if want := "session required pam_deny.so\nsession required pam_motd.so\n"; list[1].text() != want {
		t.Errorf("other: %q, want %q: only login programs get limits", list[1].text(), want)
	}
	if len(login.Session) != 1 {
		t.Error("the declared service was changed")
	}

	bad := &PAMExtension{Pos: derivation.Position{File: "s.star", Line: 3, Col: 1}, Transform: transform(func(*PAMService) any { return "x" })}
	all, err := service.InstantiateMissing([]*service.Service{contribute(PAM, login, bad)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = service.Fold(env, all, PAM)
	if err == nil || err.Error() != `s.star:3:1: cannot use the text "x" that transform made of PAM service "login": a pam_service is needed` {
		t.Errorf("a transform that gives no service: %v", err)
	}
}

func TestAccountsAreOne(t *testing.T) {
	group := &UserGroup{Name: "www", System: true}
	value := fold(t, newEnv(), Account, contribute(Account, group), contribute(Account, group)).(*Accounts)
	if value.Users[0].Name != "root" || value.lower().Users[0].Password != "" {
		t.Errorf("the first user is %+v, want root with a locked password", value.Users[0])
	}
	count := 0
	for _, g := range value.Groups {
		if g == group {
			count++
		}
	}
	if count != 1 {
		t.Errorf("one record of two services is there %d times", count)
	}

	zero := 0
	toor := &UserAccount{Name: "toor", UID: &zero, Group: "root"}
	for _, u := range fold(t, newEnv(), Account, contribute(Account, toor)).(*Accounts).Users {
		if u.Name == "root" {
			t.Error("root was added beside another user with the id 0")
		}
	}

	// The subids service gives root a range unless it is told not to.
	s := fold(t, newEnv(), Account, &service.Service{Type: Subids}).(*Accounts).lower().Subids
	if diff := cmp.Diff(&spec.Subids{AddRoot: true, Min: 100000, Max: 600100000}, s); diff != "" {
		t.Error(diff)
	}
	if s := fold(t, newEnv(), Account, contribute(Account)).(*Accounts).lower().Subids; s != nil {
		t.Errorf("without the subids service there are %+v", s)
	}
}

func TestBootFileSystems(t *testing.T) {
	for _, tc := range []struct {
		summary string
		fs      FileSystem
		want    bool
	}{
		{"the root", FileSystem{MountPoint: "/", Type: "ext4"}, true},
		{"above the store", FileSystem{MountPoint: "/osbuild", Type: "ext4"}, true},
		{"the store", FileSystem{MountPoint: "/osbuild/store", Type: "ext4"}, true},
		{"a name that only begins alike", FileSystem{MountPoint: "/os", Type: "ext4"}, false},
		{"inside of the store", FileSystem{MountPoint: "/osbuild/store/x", Type: "ext4"}, false},
		{"a bind mount of the store", FileSystem{MountPoint: "/osbuild/store", Type: "none", Flags: []string{"bind-mount"}}, false},
		{"asked for", FileSystem{MountPoint: "/x", Type: "tmpfs", NeededForBoot: true}, true},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			if got := tc.fs.Boot(); got != tc.want {
				t.Errorf("needed for boot is %v", got)
			}
		})
	}
}

func TestProvenance(t *testing.T) {
	env := newEnv()
	file, err := env.Graph.Text("system.star", "system = 1\n", false, derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	entries := fold(t, env, System, given(t, Provenance, file)).([]*SystemEntry)
	if len(entries) != 2 || entries[0].Name != "configuration" || entries[0].File != file || entries[1].Name != "provenance" {
		t.Errorf("entries are %+v", entries)
	}
	if _, err := service.WithValue(Provenance, 3, derivation.Position{}); err == nil {
		t.Error("a number was accepted as a file")
	}
}

func TestValuesOfServices(t *testing.T) {
	for _, tc := range []struct {
		summary string
		typ     *service.Type
		value   any
		want    string
	}{
		{"a list of hosts", Hosts, []any{&Host{Address: "::1", CanonicalName: "x"}}, ""},
		{"no list", Hosts, "x", `cannot declare service "hosts": the value is the text "x", not a list`},
		{"a list of something else", Hosts, []any{"x"}, `cannot declare service "hosts": element 1 is the text "x", not a host`},
		{"accounts", Account, []any{&UserGroup{Name: "x"}}, ""},
		{"accounts of something else", Account, []any{"x"}, `cannot declare service "account": the text "x" is not a user_account or user_group`},
		{"a record", Subids, &SubidsConfiguration{}, ""},
		{"a wrong record", Subids, &SubidsExtension{}, `cannot declare service "subids": the value is a subids_extension, not a subids_configuration`},
		{"a value for a type without one", Udev, 1, `cannot declare service "udev": a service of this type takes no value, not the number 1`},
		{"a host name", HostName, "web", ""},
		{"a wrong host name", HostName, "we b", `cannot declare service "host_name": field host_name: "we b" is not a host name: ' ' is not allowed there (letters, digits, "-" and "." are)`},
		{"activation", Activation, []any{&Directory{Path: "/x"}}, ""},
		{"activation of something else", Activation, []any{1}, `cannot declare service "activation": element 1 is the number 1, not an activation_step or directory`},
		{"etc", Etc, []any{&EtcEntry{Name: "x", File: "/x"}}, ""},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			_, err := service.WithValue(tc.typ, tc.value, derivation.Position{})
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
			}
		})
	}
}
