// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

var update = flag.Bool("update", false, "write what an activation makes into testdata")

func id(n int) *int { return &n }

// base is the tree before the first boot: a store and nothing else.
const base = `
/osbuild/store/e1-etc/hosts 0444 127.0.0.1 localhost\n
/osbuild/store/e1-etc/profile 0444 one\n
/osbuild/store/e1-etc/old 0444 old\n
/osbuild/store/e1-etc/containers/policy.json 0444 {}
/osbuild/store/e1-etc/containers/storage.conf 0444 [storage]
/osbuild/store/e1-etc/ssl -> /osbuild/store/c-certs/ssl
/osbuild/store/e1-etc/becomes-folder 0444 file
/osbuild/store/e1-etc/becomes-file/a 0444 a
/osbuild/store/e1-etc/issue 0444 Welcome\n
/osbuild/store/e2-etc/hosts 0444 127.0.0.1 localhost web\n
/osbuild/store/e2-etc/profile 0444 two\n
/osbuild/store/e2-etc/becomes-folder/b 0444 b
/osbuild/store/e2-etc/becomes-file 0444 file
/osbuild/store/s-shell/bin/sh 0555 #!
/osbuild/store/s-shell/bin/ping 0555 ping
`

// plan is a system's activation: everything that there is, with the etc item.
func plan(etc string, users ...spec.User) spec.ActivationPlan {
	groups := []spec.Group{
		{Name: "root", GID: id(0), System: true},
		{Name: "wheel", System: true},
		{Name: "shadow", System: true},
		{Name: "users"},
	}
	copies := map[string]uint32{"hosts": 0o644}
	if etc == "e1-etc" {
		copies["issue"] = 0o640
	}
	return spec.ActivationPlan{Version: spec.Version, Steps: []spec.Step{
		// Out of order: phases count.
		{Phase: spec.PhaseDirectories, Name: "directories", Directories: []spec.Dir{
			{Path: "/var/lib/web", Mode: 0o750, User: "web", Group: "users"},
			{Path: "/var/empty", Mode: 0o555},
		}},
		{Phase: spec.PhaseEtc, Name: "etc", Etc: &spec.Etc{Tree: "/osbuild/store/" + etc, Copies: copies}},
		{Phase: spec.PhaseCleanup, Name: "cleanup", BootOnly: true, Cleanup: &spec.Cleanup{
			Remove: []string{"/etc/passwd.lock"},
			Empty:  []spec.Dir{{Path: "/tmp", Mode: 0o1777}, {Path: "/run", Mode: 0o755}, {Path: "/var/run", Mode: 0o755}},
		}},
		{Phase: spec.PhaseAccounts, Name: "accounts", Accounts: &spec.Accounts{
			Groups: groups, Users: append([]spec.User{
				{Name: "root", UID: id(0), Group: "root", Home: "/root", Shell: "/bin/sh", System: true, CreateHome: true},
				{Name: "web", Group: "users", Home: "/var/lib/www", Shell: "/bin/false", System: true, CreateHome: true},
				{Name: "a", Group: "users", Home: "/var/none", Shell: "/bin/false", System: true, CreateHome: true},
				{Name: "b", Group: "users", Home: "/var/none", Shell: "/bin/false", System: true, CreateHome: true},
			}, users...),
			Subids: &spec.Subids{AddRoot: true, Min: 10000, Max: 65534, UIDs: []spec.SubidRange{{Name: "alice"}}, GIDs: []spec.SubidRange{{Name: "alice", Count: 10}}},
		}},
		{Phase: spec.PhaseSpecial, Name: "sh", Links: []spec.Link{{Path: "/bin/sh", Target: "/osbuild/store/s-shell/bin/sh"}}},
		{Phase: spec.PhasePrivileged, Name: "privileged", Privileged: []spec.Privileged{
			{Program: "/osbuild/store/s-shell/bin/ping", Setuid: true, Setgid: true, Group: "wheel"},
		}},
		{Phase: spec.PhaseUser, Name: "user", Run: &spec.Process{Argv: []string{"/bin/true"}}},
	}}
}

func user(name string, more ...string) spec.User {
	return spec.User{Name: name, Group: "users", SupplementaryGroups: more, Home: "/home/" + name, Shell: "/bin/sh", CreateHome: true}
}

// golden compares a dump with a file. A machine's id is random.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = regexp.MustCompile(`"[0-9a-f]{32}\\n"`).ReplaceAllString(got, `"MACHINE-ID"`)
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestBoots follows one machine through three activations.
func TestBoots(t *testing.T) {
	s := newSandbox(t, base+`
		/tmp/left/over 0644 x
		/tmp/link -> /etc
		/etc/passwd.lock 0600 1
		/var/run -> /run
		/run/stale.pid 0644 7
	`)
	var ran []string
	boot := func(p spec.ActivationPlan, system string, boot bool) {
		t.Helper()
		statuses := Run(s.Root, p, Options{
			System: system, Boot: boot, Today: 20000, Ids: 65536,
			Exec: func(name string, p spec.Process) error { ran = append(ran, name); return nil },
		})
		if len(statuses) > 0 {
			t.Errorf("statuses:\n%s", report(statuses))
		}
	}
	all := []string{"/bin", "/etc", "/home", "/root", "/run", "/tmp", "/var"}

	boot(plan("e1-etc", user("alice", "wheel"), user("bob")), "/osbuild/store/one-system", true)
	first := s.dump(all...)
	golden(t, "first-boot.txt", first)

	// /var stays, the rest is made anew: nothing changes.
	s.wipe("/bin", "/etc", "/run", "/tmp", "/root")
	boot(plan("e1-etc", user("alice", "wheel"), user("bob")), "/osbuild/store/one-system", true)
	if diff := cmp.Diff(first, s.dump(all...)); diff != "" {
		t.Errorf("the second boot differs (-first +second):\n%s", diff)
	}

	// Somebody changes things, then another system comes.
	s.make(`/etc/containers/mine.conf 0644 mine
		/tmp/work 0644 stays`)
	if err := os.WriteFile(filepath.Join(s.dir, "etc/issue"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	shadow := filepath.Join(s.dir, "etc/shadow")
	data, err := os.ReadFile(shadow)
	if err != nil {
		t.Fatal(err)
	}
	data = []byte(strings.ReplaceAll(string(data), "alice:!:20000", "alice:$6$hers:20001"))
	if err := os.WriteFile(shadow, data, 0o640); err != nil {
		t.Fatal(err)
	}
	boot(plan("e2-etc", user("dan"), user("alice")), "/osbuild/store/two-system", false)
	golden(t, "reconfigured.txt", s.dump(all...))

	if got, want := strings.Join(ran, " "), "user user user"; got != want {
		t.Errorf("programs run: %q, want %q", got, want)
	}
}

// TestFailuresGoOn has one step of each kind fail in each way.
func TestFailuresGoOn(t *testing.T) {
	s := newSandbox(t, base+`/dir/file 0644 x`)
	s.refuse = unix.EPERM
	p := spec.ActivationPlan{Steps: []spec.Step{
		{Phase: "dance", Name: "unknown"},
		{Phase: spec.PhaseUser, Name: "program", Run: &spec.Process{}},
		{Phase: spec.PhaseEtc, Name: "no-tree", Etc: &spec.Etc{Tree: "/osbuild/store/nowhere"}},
		{Phase: spec.PhaseDirectories, Name: "owner", Directories: []spec.Dir{{Path: "/a", Mode: 0o755, User: "1"}, {Path: "/b", Mode: 0o755, User: "2"}}},
		{Phase: spec.PhaseDirectories, Name: "stranger", Directories: []spec.Dir{{Path: "/c", Mode: 0o755, User: "nobody-knows"}}},
		{Phase: spec.PhaseDirectories, Name: "file-in-the-way", Directories: []spec.Dir{{Path: "/dir/file", Mode: 0o755}}},
		{Phase: spec.PhaseSpecial, Name: "folder-in-the-way", Links: []spec.Link{{Path: "/dir", Target: "/x"}}},
		{Phase: spec.PhasePrivileged, Name: "privileged", Privileged: []spec.Privileged{
			{Program: "/nowhere", Setuid: true},
			{Program: "/osbuild/store/s-shell/bin/ping", Setuid: true, User: "5"},
			{Program: "/osbuild/store/s-shell/bin/sh", Capabilities: []string{"cap_fly"}},
		}},
		{Phase: spec.PhaseSpecial, Name: "fine", Links: []spec.Link{{Path: "/new/link", Target: "/x"}}},
	}}
	statuses := Run(s.Root, p, Options{Exec: func(string, spec.Process) error { return errors.New("exit status 3: no luck") }})
	golden(t, "failures.txt", report(statuses)+s.dump("/a", "/b", "/dir", "/new", "/run"))
}

func TestCleanupStaysInside(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread with its mounts ends with the test
	ownMounts(t)
	s := newSandbox(t, `
		/tmp/gone/deeper/file 0644 x
		/tmp/-rf 0644 x
		/tmp/link-out -> /precious
		/tmp/link-dir -> ../precious
		/tmp/mounted/below/ 0755
		/tmp/socket-file 0644 x
		/precious/file 0644 keep
		/shared/file 0644 keep
		/other 0644 keep
	`)
	s.bind("shared", "tmp/mounted/below")
	s.bind("other", "tmp/socket-file")
	if problems := s.Empty("/tmp"); problems != nil {
		t.Error(problems)
	}
	want := `d 0755 0:0       /tmp
d 0755 0:0       /tmp/mounted
d 0755 0:0       /tmp/mounted/below
f 0644 0:0       /tmp/mounted/below/file "keep"
f 0644 0:0       /tmp/socket-file "keep"
d 0755 0:0       /precious
f 0644 0:0       /precious/file "keep"
`
	if diff := cmp.Diff(want, s.dump("/tmp", "/precious")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestMountedEtc has files mounted over entries of /etc, as engines do.
func TestMountedEtc(t *testing.T) {
	runtime.LockOSThread()
	ownMounts(t)
	s := newSandbox(t, base+`
		/host/hosts 0644 the host's
		/host/profile 0644 the host's
		/host/containers/x 0644 the host's
		/etc/hosts 0644
		/etc/profile 0644
		/etc/containers/ 0755
		/etc/machine-id 0444
	`)
	for _, name := range []string{"hosts", "profile", "containers"} {
		s.bind("host/"+name, "etc/"+name)
	}
	p := plan("e1-etc", user("alice"))
	var messages []string
	statuses := Run(s.Root, p, Options{Boot: true, Today: 1, Exec: func(string, spec.Process) error { return nil }, Message: func(m string) { messages = append(messages, m) }})
	if len(statuses) > 0 {
		t.Errorf("statuses:\n%s", report(statuses))
	}
	want := `d 0755 0:0       /host
d 0755 0:0       /host/containers
f 0644 0:0       /host/containers/x "the host's"
f 0644 0:0       /host/hosts "the host's"
f 0644 0:0       /host/profile "the host's"
`
	if diff := cmp.Diff(want, s.dump("/host")); diff != "" {
		t.Errorf("the host's files (-want +got):\n%s", diff)
	}
	if got := strings.Count(strings.Join(messages, "\n"), "is a mount of its own and is left alone"); got != 3 {
		t.Errorf("messages: %q", messages)
	}
	// The next system lacks them; they are still not ours to remove.
	if problems := (&run{Root: s.Root, Options: Options{Message: func(string) {}}}).etc(spec.Etc{Tree: "/osbuild/store/e2-etc"}); problems != nil {
		t.Error(problems)
	}
	if diff := cmp.Diff(want, s.dump("/host")); diff != "" {
		t.Errorf("the host's files afterwards (-want +got):\n%s", diff)
	}
}

func TestEtcConflicts(t *testing.T) {
	for _, tt := range []struct {
		summary, files string
		want           string // a part of /etc afterwards
		problem        string
	}{
		{"a link where a folder belongs is replaced, not followed", "/etc/containers -> /elsewhere\n/elsewhere/ 0755", "d 0755 0:0       /etc/containers\n", ""},
		{"a file where a folder belongs is replaced", "/etc/containers 0644 x", "d 0755 0:0       /etc/containers\n", ""},
		{"a link where a link belongs is replaced", "/etc/profile -> /etc/issue", "/etc/profile -> /osbuild/store/e1-etc/profile\n", ""},
		{"a package's file is replaced by the declared one", "/etc/profile 0644 from a package", "/etc/profile -> /osbuild/store/e1-etc/profile\n", ""},
		{"a link where a copy belongs is replaced, not written through", "/etc/hosts -> /elsewhere/hosts\n/elsewhere/hosts 0644 keep", `/etc/hosts "127.0.0.1 localhost\n"`, ""},
		{"an empty folder where a file belongs gives way", "/etc/profile/ 0755", "/etc/profile -> /osbuild/store/e1-etc/profile\n", ""},
		{"a folder with content where a file belongs stays", "/etc/profile/mine 0644 mine", `/etc/profile/mine "mine"`, "cannot replace the folder /etc/profile"},
		{"what is no concern of ours stays", "/etc/mine/conf 0600 mine", `/etc/mine/conf "mine"`, ""},
		{"left over temporary names do no harm", "/etc/.profile.osbuild-1-1 0600 x", "/etc/profile -> /osbuild/store/e1-etc/profile\n", ""},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			s := newSandbox(t, base+tt.files)
			r := &run{Root: s.Root, Options: Options{Message: func(string) {}}}
			problems := r.etc(spec.Etc{Tree: "/osbuild/store/e1-etc", Copies: map[string]uint32{"hosts": 0o644}})
			text := ""
			for _, err := range problems {
				text += err.Error()
			}
			if (text == "") != (tt.problem == "") || !strings.Contains(text, tt.problem) {
				t.Errorf("problems %q, want %q", text, tt.problem)
			}
			if got := s.dump("/etc"); !strings.Contains(got, tt.want) {
				t.Errorf("/etc lacks %q:\n%s", tt.want, got)
			}
			if got := s.dump("/elsewhere"); strings.Contains(got, "policy.json") || strings.Contains(got, "localhost") {
				t.Errorf("it wrote through a link:\n%s", got)
			}
		})
	}
}

func TestSubidBounds(t *testing.T) {
	container := &spec.Subids{Min: 10000, Max: 65534}
	machine := &spec.Subids{Min: 100000, Max: 600100000}
	for _, tt := range []struct {
		summary  string
		declared *spec.Subids
		ids      int
		min, max int
		shrink   bool
	}{
		{"a container", container, 65536, 10000, 65534, true},
		{"a container with more ids", container, 1000000, 10000, 999998, true},
		{"a container with fewer ids", container, 20000, 10000, 19998, true},
		{"a machine's plan on a machine", machine, 0, 100000, 600100000, false},
		{"a machine's plan in a container", machine, 65536, 10000, 65534, true},
		{"no plan in a container", nil, 65536, 10000, 65534, true},
		{"no plan on a machine", nil, 0, 100000, 600100000, false},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			r := &run{Options: Options{Ids: tt.ids}}
			if o := r.subidBounds(tt.declared); o.Min != tt.min || o.Max != tt.max || o.Shrink != tt.shrink {
				t.Errorf("%+v", o)
			}
		})
	}
}
