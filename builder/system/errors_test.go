// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"errors"
	"strings"
	"testing"

	"osbuild/builder/service"
	"osbuild/builder/services"
)

// named is a service of PID 1 declared at a line.
func named(line int, provision []string, requirement ...string) *services.ShepherdService {
	s := shepherd(provision, requirement, nil)
	s.Pos = at(line)
	return s
}

func TestContradictions(t *testing.T) {
	user := func(line int, u services.UserAccount) *services.UserAccount {
		u.Pos = at(line)
		if u.Group == "" {
			u.Group = "users"
		}
		return &u
	}
	for _, tc := range []struct {
		summary  string
		services []*service.Service
		kind     error
		want     string // "" means that nothing is wrong
	}{
		{
			"undeclared primary group",
			[]*service.Service{simple(services.Account, 1, user(7, services.UserAccount{Name: "alice", Group: "user"}))},
			service.ErrContribution,
			`system.star:7:3: cannot declare user "alice": its primary group "user" is not declared; did you mean "users"?`,
		},
		{
			"undeclared supplementary group",
			[]*service.Service{simple(services.Account, 1, user(7, services.UserAccount{Name: "alice", SupplementaryGroups: []string{"wheel", "cgroup"}}))},
			service.ErrContribution,
			`system.star:7:3: cannot declare user "alice": its supplementary group "cgroup" is not declared`,
		},
		{
			"a group of a service, in any order",
			[]*service.Service{
				simple(services.Account, 1, user(7, services.UserAccount{Name: "alice", SupplementaryGroups: []string{"cgroup"}})),
				simple(services.Account, 2, &services.UserGroup{Name: "cgroup", System: true}),
			},
			nil, "",
		},
		{
			"a numeric primary group",
			[]*service.Service{simple(services.Account, 1, user(7, services.UserAccount{Name: "alice", Group: "4242"}))},
			nil, "",
		},
		{
			"two users of one name",
			[]*service.Service{simple(services.Account, 1, user(7, services.UserAccount{Name: "alice"}), user(8, services.UserAccount{Name: "alice"}))},
			service.ErrContribution,
			`system.star:8:3: cannot declare user "alice" twice (system.star:7:3)`,
		},
		{
			"two users with one id",
			[]*service.Service{simple(services.Account, 1,
				user(7, services.UserAccount{Name: "alice", UID: ptr(1234)}), user(8, services.UserAccount{Name: "bob", UID: ptr(1234)}))},
			service.ErrContribution,
			`system.star:8:3: cannot give user "bob" the id 1234: user "alice" has it (system.star:7:3)`,
		},
		{
			"two groups of one name",
			[]*service.Service{simple(services.Account, 1, &services.UserGroup{Pos: at(3), Name: "wheel"})},
			service.ErrContribution,
			`system.star:3:3: cannot declare group "wheel" twice`,
		},
		{
			"two groups with one id",
			[]*service.Service{simple(services.Account, 1, &services.UserGroup{Pos: at(3), Name: "www", ID: ptr(5)})},
			service.ErrContribution,
			`system.star:3:3: cannot give group "www" the id 5: group "tty" has it`,
		},
		{
			"root declared by another name",
			[]*service.Service{simple(services.Account, 1, user(7, services.UserAccount{Name: "toor", UID: ptr(0)}))},
			nil, "",
		},
		{
			"subordinate ids of nobody",
			[]*service.Service{
				simple(services.Subids, 1, &services.SubidsExtension{Subuids: []*services.SubidRange{{Pos: at(4), Name: "alcie", Count: 1}}}),
				simple(services.Account, 1, user(7, services.UserAccount{Name: "alice"})),
			},
			service.ErrContribution,
			`system.star:4:3: cannot give subordinate ids to "alcie": there is no such user; did you mean "alice"?`,
		},
		{
			"two files for one place in /etc",
			[]*service.Service{
				simple(services.Etc, 1, &services.EtcEntry{Pos: at(4), Name: "app/a.conf", File: "/a"}),
				simple(services.Etc, 2, &services.EtcEntry{Pos: at(5), Name: "app/a.conf", File: "/b"}),
			},
			services.ErrDuplicateEtc,
			`system.star:5:3: cannot put "app/a.conf" into /etc: another entry has that name (system.star:4:3)`,
		},
		{
			"accounts as a file of /etc",
			[]*service.Service{
				simple(services.Etc, 1, &services.EtcEntry{Pos: at(4), Name: "passwd", File: "/a"}),
			},
			services.ErrDuplicateEtc,
			`system.star:4:3: cannot put "passwd" into /etc: it is made of the accounts that are declared; use user_account, user_group or subid_range`,
		},
		{
			"two services share a folder of /etc",
			[]*service.Service{
				simple(services.Etc, 1, &services.EtcEntry{Name: "app/a.conf", File: "/a"}),
				simple(services.Etc, 2, &services.EtcEntry{Name: "app/b.conf", File: "/b"}),
			},
			nil, "",
		},
		{
			"a file of /etc beside files below it",
			[]*service.Service{
				simple(services.Etc, 1, &services.EtcEntry{Pos: at(4), Name: "app/deep/a.conf", File: "/a"}),
				simple(services.Etc, 2, &services.EtcEntry{Pos: at(5), Name: "app", File: "/b"}),
			},
			services.ErrDuplicateEtc,
			`system.star:4:3: cannot put "app/deep/a.conf" into /etc: "app" is an entry too (system.star:5:3), so nothing can lie in it`,
		},
		{
			"a name provided twice",
			[]*service.Service{simple(services.ShepherdRoot, 1, named(4, []string{"web", "one"}), named(5, []string{"two", "web"}))},
			services.ErrProvidedTwice,
			`system.star:5:3: cannot provide service "web": another service provides it (system.star:4:3); keep one of the two`,
		},
		{
			"a requirement that nobody provides",
			[]*service.Service{simple(services.ShepherdRoot, 1, named(4, []string{"page"}, "lopback"))},
			services.ErrNotProvided,
			`system.star:4:3: cannot start service "page": it requires "lopback", which no service provides; did you mean "loopback"?`,
		},
		{
			"a requirement cycle",
			[]*service.Service{simple(services.ShepherdRoot, 1,
				named(4, []string{"a"}, "b"), named(5, []string{"b", "bee"}, "c"), named(6, []string{"c"}, "a"))},
			services.ErrRequirementCycle,
			`system.star:4:3: cannot order services: they wait for each other: "a" requires "b" requires "c" requires "a"`,
		},
		{
			"another service for networking",
			[]*service.Service{simple(services.ShepherdRoot, 1, named(4, []string{"networking"}))},
			nil, "",
		},
		{
			"a second essential service",
			[]*service.Service{{Type: services.Account, Pos: at(9)}, simple(services.Account, 1)},
			service.ErrAmbiguousTarget,
			`system.star:9:3: cannot declare another service of type "account": every system has one; extend it, or change it in essential_services`,
		},
		{
			"one folder in two ways",
			[]*service.Service{simple(services.Activation, 1,
				&services.Directory{Pos: at(4), Path: "/srv/x", Mode: 0o755}, &services.Directory{Pos: at(5), Path: "/srv/x", Mode: 0o700, User: "nobody"})},
			service.ErrContribution,
			`system.star:5:3: cannot make /srv/x in two ways: mode 0700 of nobody:root, and mode 0755 of root:root (system.star:4:3)`,
		},
		{
			"one folder twice alike",
			[]*service.Service{simple(services.Activation, 1, &services.Directory{Path: "/srv/x", Mode: 0o755}, &services.Directory{Path: "/srv/x", Mode: 0o755})},
			nil, "",
		},
		{
			"two file systems at one place",
			[]*service.Service{simple(services.FileSystems, 1,
				&services.FileSystem{Pos: at(4), MountPoint: "/x", Type: "tmpfs"}, &services.FileSystem{Pos: at(5), MountPoint: "/x", Type: "tmpfs"})},
			service.ErrContribution,
			`system.star:5:3: cannot mount two file systems at /x (system.star:4:3)`,
		},
		{
			"a package by name",
			[]*service.Service{simple(services.Profile, 4, "curl")},
			services.ErrNoPackageSource,
			`cannot extend "profile": cannot use package "curl": packages by name need a package source, and there is none here; give an item, such as go_program(...) or local_file(...)`,
		},
		{
			"two privileged programs of one name",
			[]*service.Service{simple(services.PrivilegedPrograms, 1,
				&services.PrivilegedProgram{Pos: at(4), Program: "/a/su", Setuid: true}, &services.PrivilegedProgram{Pos: at(5), Program: "/b/su", Setuid: true})},
			service.ErrContribution,
			`system.star:5:3: cannot make two privileged programs called "su": /a/su and /b/su (system.star:4:3)`,
		},
		{
			"two entries of the system",
			[]*service.Service{simple(services.System, 1, &services.SystemEntry{Pos: at(4), Name: "etc", File: "/a"})},
			service.ErrContribution,
			`system.star:4:3: cannot put "etc" into the system twice`,
		},
		{
			"an entry that every system has",
			[]*service.Service{simple(services.System, 1, &services.SystemEntry{Pos: at(4), Name: "container.json", File: "/a"})},
			nil, `cannot put "container.json" into the system: every system has an entry of that name`,
		},
		{
			"a service of a user that is not declared",
			[]*service.Service{simple(services.ShepherdRoot, 1, func() *services.ShepherdService {
				s := named(4, []string{"web"})
				s.Start = process(t, "fork_exec", &services.ForkExec{Argv: []string{"/x"}, User: "nobdy"})
				return s
			}())},
			services.ErrUndeclaredOwner,
			`system.star:4:3: cannot start service "web": the user "nobdy" is not declared; did you mean "nobody"?`,
		},
		{
			"a folder of a group that is not declared",
			[]*service.Service{simple(services.Activation, 1, &services.Directory{Pos: at(4), Path: "/srv/x", Mode: 0o755, User: "0", Group: "www"})},
			services.ErrUndeclaredOwner,
			`system.star:4:3: cannot make /srv/x: the group "www" is not declared; extend account by user_group("www", ...), also where a package would make it`,
		},
		{
			"a step of a user that is not declared",
			[]*service.Service{simple(services.Activation, 1, &services.ActivationStep{Pos: at(4), Name: "x", Argv: []string{"/x"}, User: "www"})},
			services.ErrUndeclaredOwner,
			`system.star:4:3: cannot run activation step "x": the user "www" is not declared; extend account by user_account("www", ...), also where a package would make it`,
		},
		{
			"a contribution of a wrong kind",
			[]*service.Service{simple(services.Etc, 4, &services.UserGroup{Pos: at(6), Name: "x"})},
			service.ErrContribution,
			`system.star:4:3: cannot use element 1 of what service "test" contributes to "etc": it is a user_group (made at system.star:6:3), and "etc" takes an etc_entry`,
		},
		{
			"a contribution to what takes none",
			[]*service.Service{simple(services.Udev, 4, "x")},
			service.ErrContribution,
			`system.star:4:3: cannot use element 1 of what service "test" contributes to "udev": it is the text "x", and "udev" takes nothing`,
		},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			env := newEnv(t)
			o := New()
			o.Services = append(tc.services, o.Services...)
			_, err := Lower(env, o)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want == "":
			case err == nil:
				t.Errorf("no error, want %s", tc.want)
			case err.Error() != tc.want:
				t.Errorf("%v\nwant %s", err, tc.want)
			case tc.kind != nil && !errors.Is(err, tc.kind):
				t.Errorf("%v is not of the kind %v", err, tc.kind)
			}
		})
	}
}

// What every system has can be declared in another way.
func TestBaseAccountsGiveWay(t *testing.T) {
	env := newEnv(t)
	o := New()
	o.Groups = []*services.UserGroup{{Name: "wheel", ID: ptr(110)}, {Name: "app"}}
	o.Users = []*services.UserAccount{{Name: "nobody", Group: "nogroup", UID: ptr(99)}, {Name: "alice", Group: "users"}}
	sys, err := Lower(env, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sys.Activation.Steps {
		if s.Accounts == nil {
			continue
		}
		count := map[string]int{}
		for _, u := range s.Accounts.Users {
			count[u.Name]++
			if u.Name == "nobody" && *u.UID != 99 {
				t.Errorf("nobody has the id %d", *u.UID)
			}
		}
		for _, g := range s.Accounts.Groups {
			count[g.Name]++
		}
		for _, name := range []string{"root", "nobody", "alice", "wheel", "app", "tty", "users"} {
			want := 1
			if name == "root" {
				want = 2 // the user and the group
			}
			if count[name] != want {
				t.Errorf("%s is there %d times, want %d", name, count[name], want)
			}
		}
	}
}

func TestSubidsInAContainer(t *testing.T) {
	for _, tc := range []struct {
		summary   string
		start     int
		count     int
		contained bool
		want      string
	}{
		{"fits into a container", 10000, 50000, true, ""},
		{"reaches the end", 10000, 55534, true, ""},
		{"does not fit", 100000, 65536, true, `system.star:4:3: cannot give "alice" the subordinate ids 100000 to 165535: they do not fit into the system, which has 10000 to 65533`},
		{"begins too low", 9999, 2, true, `system.star:4:3: cannot give "alice" the subordinate ids 9999 to 10000: they do not fit into the system, which has 10000 to 65533`},
		{"fits into a machine", 100000, 65536, false, ""},
		{"the same declaration on a machine", 10000, 50000, false, ""},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			env := newEnv(t)
			o := New()
			o.Users = []*services.UserAccount{{Name: "alice", Group: "users"}}
			o.Services = append(o.Services, simple(services.Subids, 3, &services.SubidsExtension{
				Subuids: []*services.SubidRange{{Pos: at(4), Name: "alice", Start: &tc.start, Count: tc.count}},
			}))
			if tc.contained {
				o = contain(t, o, ContainerOptions{})
			}
			_, err := Lower(env, o)
			if got := message(err); got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDeclarationErrors(t *testing.T) {
	for _, tc := range []struct {
		summary string
		change  func(o *OperatingSystem)
		want    string
	}{
		{"the defaults", func(*OperatingSystem) {}, ""},
		{"no host name", func(o *OperatingSystem) { o.HostName = "" }, `field host_name: a host name has 1 to 64 characters, "" has 0`},
		{"a host name with a line break", func(o *OperatingSystem) { o.HostName = "a\nb" }, `field host_name: "a\nb" is not a host name: '\n' is not allowed there (letters, digits, "-" and "." are)`},
		{"a package without a name", func(o *OperatingSystem) { o.Packages = []string{""} }, `field packages: the name of a package is empty`},
		{"sudoers as a text", func(o *OperatingSystem) { o.Sudoers = "root ALL" }, `field sudoers: the text "root ALL" is not a file; write plain_file("sudoers", text)`},
		{"a locale with a blank", func(o *OperatingSystem) { o.Locale = "C UTF" }, `field locale: "C UTF" is not the name of a locale, such as C.UTF-8`},
		{"a time zone that climbs", func(o *OperatingSystem) { o.Timezone = "../x" }, `field timezone: "../x" is not the name of a time zone, such as Europe/Paris`},
		{"essential services that are no function", func(o *OperatingSystem) { o.EssentialServices = []any{} }, `field essential_services: a list is not a function`},
		{"a service that is none", func(o *OperatingSystem) { o.Services = []*service.Service{nil} }, `field services: cannot use element 1 of services: it is None, not a service`},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			o := New()
			tc.change(o)
			if got := message(o.Validate()); got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
			}
			env := newEnv(t)
			if _, err := Lower(env, o); (err != nil) != (tc.want != "") {
				t.Errorf("Lower: %v", err)
			}
		})
	}
}

// function is a service.Func made of a Go function.
type function func(args ...any) (any, error)

func (f function) Call(args ...any) (any, error) { return f(args...) }

func TestEssentialServices(t *testing.T) {
	without := func(types ...*service.Type) function {
		return func(args ...any) (any, error) {
			return service.Remove(args[0].([]*service.Service), types...), nil
		}
	}
	for _, tc := range []struct {
		summary string
		f       function
		want    string
	}{
		{"the same list", without(), ""},
		{"without hosts", without(services.Hosts, services.Cleanup), ""},
		{"without a plan", without(services.Activation), ""},
		{"without a host name", without(services.HostName), ""},
		{"without accounts", without(services.Account, services.UserHomes, services.PrivilegedPrograms), ""},
		{"a failing function", func(...any) (any, error) { return nil, errors.New("no") }, "cannot compute essential_services: no"},
		{"no list", func(...any) (any, error) { return 1, nil }, "cannot use what essential_services returned: cannot use the number 1 as services: a list of services is needed"},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			env := newEnv(t)
			o := New()
			o.EssentialServices = tc.f
			sys, err := Lower(env, o)
			if got := message(err); got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
				return
			}
			if err == nil && tc.summary == "without hosts" {
				if _, ok := union(t, env, union(t, env, sys.Path)["etc"])["hosts"]; ok {
					t.Errorf("%s: /etc/hosts is there", tc.summary)
				}
			}
		})
	}
}

func TestHostNameIsThatOfTheService(t *testing.T) {
	o := New()
	o.EssentialServices = function(func(args ...any) (any, error) {
		return service.Modify(args[0].([]*service.Service), []service.Clause{{
			Type: services.HostName, Change: func(v any) (any, error) { return v.(string) + "-2", nil },
		}})
	})
	env := newEnv(t)
	sys, err := Lower(env, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := sys.Container.HostName; got != "localhost-2" {
		t.Errorf("the container is called %q", got)
	}
}

func TestContainerize(t *testing.T) {
	env := newEnv(t)
	declared := machine(t, env)
	before := len(declared.Services)
	once := contain(t, declared, ContainerOptions{Mappings: []*services.FileSystemMapping{{Source: "/srv/a"}}})
	twice := contain(t, once, ContainerOptions{Mappings: []*services.FileSystemMapping{{Source: "/srv/a"}}})
	first, err := Lower(env, once)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Lower(env, twice)
	if err != nil {
		t.Fatal(err)
	}
	if first.Path != second.Path {
		t.Errorf("containerizing twice changed the system: %s and %s", first.Path, second.Path)
	}
	if len(declared.Services) != before || declared.Contained() {
		t.Error("containerizing changed the declaration")
	}
	names := map[string]int{}
	for _, s := range first.Plan.Services {
		for _, p := range s.Provision {
			names[p]++
		}
	}
	for _, p := range []string{"loopback", "networking", "udev", "nscd"} {
		if names[p] != 1 {
			t.Errorf("%q is provided %d times, want once", p, names[p])
		}
	}
	for p := range names {
		if strings.HasPrefix(p, "term-") || strings.HasPrefix(p, "console-font-") {
			t.Errorf("%q is still there", p)
		}
	}

	// A shared network stays shared, whatever a later transform asks for.
	shared := contain(t, contain(t, declared, ContainerOptions{SharedNetwork: true}), ContainerOptions{})
	sys, err := Lower(env, shared)
	if err != nil {
		t.Fatal(err)
	}
	if sys.Container.Network != "host" {
		t.Errorf("the network is %q", sys.Container.Network)
	}
	etc := union(t, env, union(t, env, sys.Path)["etc"])
	for _, name := range networkFiles {
		if _, ok := etc[name]; ok {
			t.Errorf("/etc/%s is there, though the host's is to be seen", name)
		}
	}
}

func TestContainerizeErrors(t *testing.T) {
	for _, tc := range []struct {
		summary string
		options ContainerOptions
		want    string
	}{
		{"over the store", ContainerOptions{Mappings: []*services.FileSystemMapping{{Source: "/x", Target: "/osbuild"}}}, `cannot map /x into the container: field target: "/osbuild" would cover the store`},
		{"over the root", ContainerOptions{Mappings: []*services.FileSystemMapping{{Source: "/x", Target: "/"}}}, `cannot map /x into the container: field target: "/" would cover the store`},
		{"the store of the host", ContainerOptions{Mappings: []*services.FileSystemMapping{{Source: "/osbuild"}}}, `cannot map /osbuild into the container: field target: "/osbuild" would cover the store`},
		{"relative", ContainerOptions{Mappings: []*services.FileSystemMapping{{Source: "x"}}}, `cannot map x into the container: field source: "x" is not an absolute path`},
		{"two at one place", ContainerOptions{Mappings: []*services.FileSystemMapping{{Source: "/x", Target: "/m"}, {Source: "/y", Target: "/m"}}}, `cannot mount both /x and /y at /m in the container`},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			_, err := Containerize(New(), tc.options)
			if got := message(err); got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
			}
		})
	}
	// What a container cannot mount is an error once it is one.
	env := newEnv(t)
	o := contain(t, New(), ContainerOptions{ExtraFileSystems: []*services.FileSystem{{Pos: at(4), Device: "tank", MountPoint: "/tank", Type: "zfs", Mount: true}}})
	const want = `system.star:4:3: cannot mount /tank of type "zfs": the file system needs a device, which a container has not`
	if _, err := Lower(env, o); message(err) != want {
		t.Errorf("a file system on a device: %v\nwant %s", err, want)
	}
}
