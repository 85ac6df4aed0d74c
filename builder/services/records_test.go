// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/service"
)

// Everything that `osbuild doc` prints is there.
func TestDocumentation(t *testing.T) {
	var names []string
	all := Records()
	if !slices.IsSortedFunc(all, func(a, b Record) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("records are not sorted")
	}
	for _, m := range Modules() {
		all = append(all, m.Records...)
	}
	for _, r := range all {
		names = append(names, r.Name)
		if r.Doc == "" || !strings.HasSuffix(r.Doc, ".") {
			t.Errorf("%s: the documentation is %q", r.Name, r.Doc)
		}
		typ := reflect.TypeOf(r.Proto)
		if typ.Kind() != reflect.Pointer || typ.Elem().Kind() != reflect.Struct {
			t.Errorf("%s: the prototype is a %s", r.Name, typ)
			continue
		}
		if _, ok := typ.Elem().FieldByName("Pos"); !ok {
			t.Errorf("%s has no place", r.Name)
		}
		for f := range reflect.TypeOf(r.Proto).Elem().Fields() {
			if !f.IsExported() {
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("star"), ",")
			if name == "" {
				t.Errorf("%s: the field %s has no name", r.Name, f.Name)
			}
			if doc := f.Tag.Get("doc"); name != "-" && !strings.HasSuffix(doc, ".") {
				t.Errorf("%s: the documentation of %s is %q", r.Name, name, doc)
			}
		}
	}
	slices.Sort(names)
	if len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("a record is there twice: %v", names)
	}
	for _, m := range Modules() {
		for name, typ := range m.Types {
			if slices.Contains(names, name) {
				t.Errorf("%q is a type and a record", name)
			}
			if typ.Description == "" || typ.ValueDoc == "" || typ.ProducesDoc == "" {
				t.Errorf("type %s is not documented", name)
			}
			if (typ.Extend != nil) != (typ.ContributionDoc != "") {
				t.Errorf("type %s: can be extended: %v, contributions: %q", name, typ.Extend != nil, typ.ContributionDoc)
			}
			if (typ.Extend != nil) != (typ.Elements != nil) {
				t.Errorf("type %s does not say what contributions are", name)
			}
		}
		for name, list := range m.Lists {
			for _, s := range list {
				if m.Types[s.Type.Name] != s.Type {
					t.Errorf("%s holds a service of type %q, which cannot be loaded", name, s.Type.Name)
				}
			}
		}
	}
}

// The graph of all types is whole: targets exist, and there is no cycle.
func TestTypesFitTogether(t *testing.T) {
	var all []*service.Service
	for _, m := range Modules() {
		for _, typ := range m.Types {
			if typ.HasDefault {
				all = append(all, &service.Service{Type: typ})
			}
		}
	}
	all, err := service.InstantiateMissing(all)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.BackEdges(all); err != nil {
		t.Fatal(err)
	}
}

type validator interface{ Validate() error }

func ptr[T any](v T) *T { return &v }

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		summary string
		record  validator
		want    string
	}{
		{"user", &UserAccount{Name: "alice", Group: "users"}, ""},
		{"user with a number as group", &UserAccount{Name: "alice", Group: "100"}, ""},
		{"user of a tool", &UserAccount{Name: "_apt-1.x$", Group: "nogroup"}, ""},
		{"user without a name", &UserAccount{Group: "users"}, "field name: a name is needed"},
		{"user with a blank", &UserAccount{Name: "a b", Group: "users"}, `field name: "a b" is not a name: ' ' is not allowed there (letters, digits, "_", "-" and "." are)`},
		{"user with a semicolon", &UserAccount{Name: "a;b", Group: "users"}, `field name: "a;b" is not a name: ';' is not allowed there (letters, digits, "_", "-" and "." are)`},
		{"user with a colon", &UserAccount{Name: "a:b", Group: "users"}, `field name: "a:b" is not a name: ':' is not allowed there (letters, digits, "_", "-" and "." are)`},
		{"user that looks like an option", &UserAccount{Name: "-a", Group: "users"}, `field name: "-a" is not a name: '-' is not allowed there (letters, digits, "_", "-" and "." are)`},
		{"user that looks like an id", &UserAccount{Name: "1000", Group: "users"}, `field name: "1000" is a number, which would be taken for an id`},
		{"user with a long name", &UserAccount{Name: strings.Repeat("a", 33), Group: "users"}, `field name: "` + strings.Repeat("a", 33) + `" is longer than 32 bytes`},
		{"user without a group", &UserAccount{Name: "alice"}, `field group: a primary group is needed, e.g. "users"`},
		{"user in a group with a newline", &UserAccount{Name: "alice", Group: "users", SupplementaryGroups: []string{"a\n"}}, `field supplementary_groups: "a\n" is not a name: '\n' is not allowed there (letters, digits, "_", "-" and "." are)`},
		{"user with an id out of range", &UserAccount{Name: "alice", Group: "users", UID: ptr(65536)}, "field uid: 65536 is not between 0 and 65535, the ids of a container"},
		{"user with a relative home", &UserAccount{Name: "alice", Group: "users", Home: "home"}, `field home: "home" is not an absolute path`},
		{"user with an unclean home", &UserAccount{Name: "alice", Group: "users", Home: "/home/../x"}, `field home: "/home/../x" is not a clean path; write "/x"`},
		{"user with a colon in the comment", &UserAccount{Name: "alice", Group: "users", Comment: "a:b"}, `field comment: "a:b" holds ':', which separates fields of the account files`},
		{"user with a shell by name", &UserAccount{Name: "alice", Group: "users", Shell: "bash"}, `field shell: "bash" is not an absolute path`},
		{"group", &UserGroup{Name: "www", ID: ptr(0)}, ""},
		{"group with a quote", &UserGroup{Name: "w'w"}, `field name: "w'w" is not a name: '\'' is not allowed there (letters, digits, "_", "-" and "." are)`},
		{"a password in place of its hash", &UserAccount{Name: "alice", Group: "users", Password: "secret"}, "field password: want a crypt(3) hash, such as `openssl passwd -6` prints, got a text that is none"},
		{"a hash", &UserAccount{Name: "alice", Group: "users", Password: "$6$salt$hash"}, ""},
		{"a locked password", &UserAccount{Name: "alice", Group: "users", Password: "!"}, ""},
		{"a hash of two lines", &UserAccount{Name: "alice", Group: "users", Password: "$6$\nroot::"}, `field password: "$6$\nroot::" holds '\n', which separates fields of the account files`},
		{"password of a group", &UserGroup{Name: "www", Password: "secret"}, "field password: want a crypt(3) hash, such as `openssl passwd -6` prints, got a text that is none"},
		{"group with a negative id", &UserGroup{Name: "www", ID: ptr(-1)}, "field id: -1 is not between 0 and 65535, the ids of a container"},
		{"subordinate ids", &SubidRange{Name: "alice", Count: 1}, ""},
		{"no subordinate ids", &SubidRange{Name: "alice"}, "field count: 0 is not between 1 and 600000000"},
		{"subordinate ids from 0", &SubidRange{Name: "alice", Count: 1, Start: ptr(0)}, "field start: 0 to 0 is not between 1 and 600099999"},
		{"limits", &PAMLimitsEntry{Domain: "@audio", Type: "both", Item: "rtprio", Value: 99}, ""},
		{"limits without a bound", &PAMLimitsEntry{Domain: "*", Type: "soft", Item: "core", Value: "unlimited"}, ""},
		{"a negative priority", &PAMLimitsEntry{Domain: "*", Type: "soft", Item: "priority", Value: -5}, ""},
		{"a nice value that is too high", &PAMLimitsEntry{Domain: "*", Type: "soft", Item: "nice", Value: 20}, `field value: invalid limit value 20 for "nice"`},
		{"an unlimited nice value", &PAMLimitsEntry{Domain: "*", Type: "soft", Item: "nice", Value: "unlimited"}, `field value: invalid limit value "unlimited" for "nice"`},
		{"a limit below -1", &PAMLimitsEntry{Domain: "*", Type: "hard", Item: "nofile", Value: -2}, `field value: invalid limit value -2 for "nofile"`},
		{"a limit of a wrong type", &PAMLimitsEntry{Domain: "*", Type: "firm", Item: "nofile", Value: 1}, `field type: invalid limit type "firm" (hard, soft and both are valid)`},
		{"a limit of a wrong item", &PAMLimitsEntry{Domain: "*", Type: "hard", Item: "nofiles", Value: 1}, `field item: invalid limit item "nofiles"; did you mean "nofile"?`},
		{"pam entry", &PAMEntry{Control: "[success=1 default=ignore]", Module: "pam_unix.so"}, ""},
		{"pam entry of a wrong control", &PAMEntry{Control: "requird", Module: "pam_unix.so"}, `field control: "requird" is no control (include, optional, required, requisite, substack, sufficient are); did you mean "required"?`},
		{"pam service in a folder", &PAMService{Name: "a/b"}, `field name: "a/b": a PAM service is a file of /etc/pam.d`},
		{"file system", &FileSystem{MountPoint: "/x", Type: "tmpfs", Flags: []string{"no-suid"}}, ""},
		{"file system with a wrong flag", &FileSystem{MountPoint: "/x", Type: "tmpfs", Flags: []string{"nosuid"}}, `field flags: "nosuid" is no flag (bind-mount, no-dev, no-exec, no-suid, read-only are); did you mean "no-suid"?`},
		{"bind mount of nothing", &FileSystem{MountPoint: "/x", Type: "none", Flags: []string{"bind-mount"}}, `field device: a bind mount needs the absolute path of a folder or file, not ""`},
		{"mount point with a blank", &FileSystem{MountPoint: "/a b", Type: "tmpfs"}, `field mount_point: "/a b" is not a name: ' ' is not allowed in it`},
		{"two options in one", &FileSystem{MountPoint: "/x", Type: "tmpfs", Options: []string{"a,b"}}, `field options: "a,b" is not one option`},
		{"mapping", &FileSystemMapping{Source: "/srv/x"}, ""},
		{"mapping over the store", &FileSystemMapping{Source: "/srv/x", Target: "/osbuild/store/x"}, `field target: "/osbuild/store/x" would cover the store`},
		{"etc entry", &EtcEntry{Name: "a/b", File: "/x"}, ""},
		{"etc entry with an absolute name", &EtcEntry{Name: "/etc/a", File: "/x"}, `field name: "/etc/a" is absolute; write "etc/a"`},
		{"etc entry that climbs", &EtcEntry{Name: "../a", File: "/x"}, `field name: "../a" is not a clean relative path`},
		{"etc entry with content", &EtcEntry{Name: "a", File: "hello"}, `field file: the text "hello" is not a file; give a file, an absolute path, or plain_file(name, text)`},
		{"etc entry with set-id", &EtcEntry{Name: "a", File: "/x", Mode: ptr(0o4755)}, "field mode: 04755 is not between 0 and 0777"},
		{"system entry in a folder", &SystemEntry{Name: "a/b", File: "/x"}, `field name: "a/b": entries of a system stand at its top`},
		{"special file", &SpecialFile{Path: "/srv/x", Target: "/y"}, ""},
		{"special file in /usr", &SpecialFile{Path: "/usr/bin/env", Target: "/y"}, `field path: "/usr/bin/env" lies in a read-only tree`},
		{"special file in place of the root", &SpecialFile{Path: "/", Target: "/y"}, `field path: "/" is always a folder`},
		{"directory", &Directory{Path: "/srv", Mode: 0o2775}, ""},
		{"directory with a wrong mode", &Directory{Path: "/srv", Mode: 0o10000}, "field mode: 010000 is not between 0 and 07777"},
		{"privileged program", &PrivilegedProgram{Program: "/x", Capabilities: []string{"cap_net_raw"}}, ""},
		{"privileged program without privilege", &PrivilegedProgram{Program: "/x"}, "field setuid: no privilege is asked for: set setuid, setgid or capabilities"},
		{"a capability that is none", &PrivilegedProgram{Program: "/x", Capabilities: []string{"cap_netraw"}}, `field capabilities: "cap_netraw" is no capability; did you mean "cap_net_raw"?`},
		{"host", &Host{Address: "::1", CanonicalName: "a.example.org", Aliases: []string{"a"}}, ""},
		{"host without an address", &Host{Address: "a", CanonicalName: "b"}, `field address: "a" is not an IP address`},
		{"host with a blank", &Host{Address: "192.0.2.1", CanonicalName: "a b"}, `field canonical_name: "a b" is not a host name: ' ' is not allowed in it`},
		{"variable", &EnvironmentVariable{Name: "A", Value: "b c"}, ""},
		{"variable of two lines", &EnvironmentVariable{Name: "A", Value: "b\nc"}, `field name: A="b\nc" is not one plain line`},
		{"program by name", &ForkExec{Argv: []string{"nginx"}}, `field argv: the program "nginx" is not an absolute path; no PATH is searched`},
		{"no program", &ForkExec{}, "field argv: a program is needed"},
		{"limit twice", &ForkExec{Argv: []string{"/x"}, Limits: []*ResourceLimit{{Name: "core"}, {Name: "core"}}}, `field limits: "core" stands there twice`},
		{"pid file and ready", &ForkExec{Argv: []string{"/x"}, PIDFile: "/run/x", Ready: &Ready{}}, "field ready: pid_file already says when the program is ready; give one of the two"},
		{"a variable with =", &ForkExec{Argv: []string{"/x"}, Env: map[string]string{"A=": ""}}, `field env: "A=" is not the name of a variable`},
		{"a mask out of range", &Run{Argv: []string{"/x"}, Umask: ptr(0o1000)}, "field umask: 01000 is not between 0 and 0o777"},
		{"a relative folder", &Run{Argv: []string{"/x"}, Directory: "x"}, `field directory: "x" is not an absolute path`},
		{"a soft limit above the hard one", &ResourceLimit{Name: "nofile", Soft: 2, Hard: 1}, "field soft: the soft limit 2 is above the hard limit 1"},
		{"a limit that is none", &ResourceLimit{Name: "nofiles"}, `field name: "nofiles" is no resource limit (as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack are)`},
		{"a port", &TCPReady{Port: 0, Timeout: 1}, "field port: 0 is not between 1 and 65535"},
		{"no time", &NotifyReady{}, "field timeout: 0 is not between 1 second and a day"},
		{"a relative socket", &UnixReady{Path: "x", Timeout: 1}, `field path: "x" is not an absolute path`},
		{"a signal", &Stop{Signal: "TERM"}, `field signal: "TERM" is no signal to stop a service with (SIGABRT, SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGPWR, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH are)`},
		{"service", &ShepherdService{Provision: []string{"a", "file-system-/x"}}, ""},
		{"service without a name", &ShepherdService{}, "field provision: at least one name is needed"},
		{"service with a blank", &ShepherdService{Provision: []string{"a b"}}, `field provision: "a b" is not a name: ' ' is not allowed in it`},
		{"service named as PID 1", &ShepherdService{Provision: []string{"root"}}, `field provision: "root" is reserved for PID 1 itself`},
		{"service that requires itself", &ShepherdService{Provision: []string{"a", "b"}, Requirement: []string{"b"}}, `field requirement: the service requires "b", which it provides itself`},
		{"service with a wrong stop", &ShepherdService{Provision: []string{"a"}, Stop: "x"}, `field stop: the text "x" is not kill(...) or run(...)`},
		{"static networking", &StaticNetworkingConfiguration{IP: "/ip", Provision: []string{"networking"}}, ""},
		{"an address without prefix", &NetworkAddress{Device: "eth0", Value: "192.0.2.1"}, `field value: "192.0.2.1" is not an address with a prefix length, such as 192.0.2.10/24`},
		{"a route to nowhere", &NetworkRoute{Destination: "default", Gateway: "x"}, `field gateway: "x" is not an IP address`},
		{"a terminal with its folder", &MingettyConfiguration{Program: "/x", TTY: "dev/tty1"}, `field tty: "dev/tty1" is not the name of a terminal; write it without /dev/`},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			got := ""
			if err := tc.record.Validate(); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
			}
		})
	}
}
