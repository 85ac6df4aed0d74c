// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// packagesBase is a store with the trees of packages, older and newer.
const packagesBase = `
/osbuild/store/p1/etc/nginx/nginx.conf 0444 old
/osbuild/store/p1/etc/nginx/mime.types 0444 types
/osbuild/store/p1/etc/nginx/gone.conf 0444 gone
/osbuild/store/p1/etc/nginx/mine.conf 0444 theirs
/osbuild/store/p1/etc/nginx/sites-enabled/default -> ../sites-available/default
/osbuild/store/p1/etc/init.d/nginx 0555 #!
/osbuild/store/p1/etc/ssl/private/key 0444 key
/osbuild/store/p1/etc/motd 0444 from packages
/osbuild/store/p1/etc/nsswitch.conf 0444 from packages
/osbuild/store/p1/etc/alternatives/awk -> /usr/bin/mawk
/osbuild/store/p1/var/mail/ 0555
/osbuild/store/p1/var/run -> /run
/osbuild/store/p1/var/lib/db/ 0555
/osbuild/store/p1/var/log/nginx/ 0555
/osbuild/store/p1/var/lib/dpkg/status 0444 one
/osbuild/store/p2/etc/nginx/nginx.conf 0444 new
/osbuild/store/p2/etc/nginx/mime.types 0444 types
/osbuild/store/p2/etc/nginx/mine.conf 0444 theirs, newer
/osbuild/store/p2/etc/motd 0444 from packages
/osbuild/store/p2/etc/alternatives/awk -> /usr/bin/gawk
/osbuild/store/p2/var/lib/dpkg/status 0444 two
/osbuild/store/e1/motd 0444 declared
/osbuild/store/e1/issue 0444 declared
/osbuild/store/e1/nsswitch.conf 0444 declared
/osbuild/store/e1/hosts 0444 declared
/osbuild/store/e2/issue 0444 declared
/osbuild/store/e2/nginx/nginx.conf 0444 declared
/osbuild/store/e2/hosts 0444 declared
/osbuild/store/e3/hosts 0444 declared anew
`

// withPackages is the plan of a system with packages; "" leaves one out.
func withPackages(etc, packages string) spec.ActivationPlan {
	system := spec.ActivationPlan{Version: spec.Version, Steps: []spec.Step{
		{Phase: spec.PhaseAccounts, Name: "accounts", Accounts: &spec.Accounts{
			Users:  []spec.User{{Name: "root", UID: id(0), Group: "root", Home: "/root", Shell: "/bin/sh", System: true}},
			Groups: []spec.Group{{Name: "root", GID: id(0), System: true}},
		}},
		{Phase: spec.PhaseEtc, Name: "etc", Etc: &spec.Etc{
			Tree: "/osbuild/store/" + etc, Copies: map[string]uint32{"hosts": 0o644}, Yields: []string{"nsswitch.conf", "issue"},
		}},
	}}
	if packages == "" {
		return system
	}
	item := "/osbuild/store/" + packages
	return Join(spec.ActivationPlan{Version: spec.Version, Steps: []spec.Step{
		{Phase: spec.PhaseAccounts, Name: "packages", Accounts: &spec.Accounts{
			Users:  []spec.User{{Name: "www-data", UID: id(33), Group: "www-data", Home: "/var/www", Shell: "/bin/false", System: true}},
			Groups: []spec.Group{{Name: "www-data", GID: id(33), System: true}, {Name: "mail", GID: id(8)}, {Name: "ssl-cert", System: true}},
		}},
		{Phase: spec.PhaseEtc, Name: "packages-etc", Tree: &spec.Tree{From: item + "/etc", To: "/etc", Owners: []spec.Owner{
			{Path: "/etc/ssl/private", Group: "ssl-cert", Mode: 0o710},
			{Path: "/etc/ssl/private/key", Group: "ssl-cert", Mode: 0o640},
		}}},
		{Phase: spec.PhaseEtc, Name: "packages-var", Tree: &spec.Tree{From: item + "/var", To: "/var", Owners: []spec.Owner{
			{Path: "/var/mail", Group: "mail", Mode: 0o2775},
			{Path: "/var/log/nginx", User: "www-data", Group: "4", Mode: 0o755},
			{Path: "/var/lib/db", User: "33", Mode: 0o700},
		}}},
	}}, system)
}

// TestPackages follows a machine with packages from one system to the next.
func TestPackages(t *testing.T) {
	s := newSandbox(t, packagesBase+`
		/var/log/nginx/ 0755
		/var/lib/db/ 0750
	`)
	var said []string
	activate := func(boot bool, plan spec.ActivationPlan) {
		t.Helper()
		statuses := Run(s.Root, plan, Options{Boot: boot, Today: 20000, Message: func(line string) { said = append(said, line) }})
		if len(statuses) > 0 {
			t.Errorf("statuses:\n%s", report(statuses))
		}
	}
	const first = `
d 0755 0:0       /etc/alternatives
l                /etc/alternatives/awk -> /usr/bin/mawk
f 0644 0:0       /etc/hosts "declared"
d 0755 0:0       /etc/init.d
f 0755 0:0       /etc/init.d/nginx "#!"
l                /etc/issue -> /osbuild/store/e1/issue
l                /etc/motd -> /osbuild/store/e1/motd
d 0755 0:0       /etc/nginx
f 0644 0:0       /etc/nginx/gone.conf "gone"
f 0644 0:0       /etc/nginx/mime.types "types"
f 0644 0:0       /etc/nginx/mine.conf "theirs"
f 0644 0:0       /etc/nginx/nginx.conf "old"
d 0755 0:0       /etc/nginx/sites-enabled
l                /etc/nginx/sites-enabled/default -> ../sites-available/default
f 0644 0:0       /etc/nsswitch.conf "from packages"
d 0755 0:0       /etc/ssl
d 0710 0:999     /etc/ssl/private
f 0640 0:999     /etc/ssl/private/key "key"
d 0755 0:0       /var
d 0755 0:0       /var/lib
d 0750 0:0       /var/lib/db
d 0755 0:0       /var/lib/dpkg
f 0644 0:0       /var/lib/dpkg/status "one"
d 0755 0:0       /var/log
f 0660 0:0       /var/log/btmp ""
f 0664 0:0       /var/log/lastlog ""
d 0755 33:4      /var/log/nginx
f 0664 0:0       /var/log/wtmp ""
d 2775 0:8       /var/mail
l                /var/run -> /run
`
	look := func() string {
		t.Helper()
		var out strings.Builder
		for line := range strings.Lines("\n" + s.dump("/etc", "/var")) {
			skip := false
			for _, part := range []string{"/var/lib/osbuild", "/etc/machine-id", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/.pwd.lock", " /etc\n"} {
				skip = skip || strings.Contains(line, part)
			}
			if !skip {
				out.WriteString(line)
			}
		}
		return out.String()
	}
	expect := func(when, want string) {
		t.Helper()
		if diff := cmp.Diff(want, look()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	activate(true, withPackages("e1", "p1"))
	expect("the first boot", first)
	activate(false, withPackages("e1", "p1"))
	expect("activating again", first)
	s.wipe("/etc")
	activate(true, withPackages("e1", "p1"))
	expect("a boot with the same /var", first)

	// Somebody changes and removes things, then another system comes.
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/nginx/mine.conf", "mine")
	write("etc/nginx/extra.conf", "extra")
	write("etc/hosts", "declared and mine")
	s.wipe("/etc/nginx/mime.types")
	if err := unix.Chmod(filepath.Join(s.dir, "var/lib/dpkg/status"), 0o600); err != nil {
		t.Fatal(err)
	}
	activate(false, withPackages("e2", "p2"))
	const second = `
d 0755 0:0       /etc/alternatives
l                /etc/alternatives/awk -> /usr/bin/gawk
f 0644 0:0       /etc/hosts "declared and mine"
l                /etc/issue -> /osbuild/store/e2/issue
f 0644 0:0       /etc/motd "from packages"
d 0755 0:0       /etc/nginx
f 0644 0:0       /etc/nginx/extra.conf "extra"
f 0644 0:0       /etc/nginx/mine.conf "mine"
l                /etc/nginx/nginx.conf -> /osbuild/store/e2/nginx/nginx.conf
d 0755 0:0       /var
d 0755 0:0       /var/lib
d 0750 0:0       /var/lib/db
d 0755 0:0       /var/lib/dpkg
f 0600 0:0       /var/lib/dpkg/status "two"
d 0755 0:0       /var/log
f 0660 0:0       /var/log/btmp ""
f 0664 0:0       /var/log/lastlog ""
d 0755 33:4      /var/log/nginx
f 0664 0:0       /var/log/wtmp ""
`
	expect("another system", second)
	// The declared file goes, the packages' comes back; a changed file stays
	// until it is declared otherwise, and is kept then.
	activate(false, withPackages("e3", "p2"))
	third := strings.NewReplacer(
		"l                /etc/nginx/nginx.conf -> /osbuild/store/e2/nginx/nginx.conf", `f 0644 0:0       /etc/nginx/nginx.conf "new"`,
		"l                /etc/issue -> /osbuild/store/e2/issue\n", "",
		"declared and mine", "declared anew",
	).Replace(second)
	expect("a declared file less", third)
	if kept := s.dump("/var/lib/osbuild/replaced/etc/hosts"); !strings.Contains(kept, "declared and mine") {
		t.Errorf("the changed file is lost: %q", kept)
	}
	// Without packages only what was changed is left of theirs.
	activate(false, withPackages("e3", ""))
	expect("no packages", `
f 0644 0:0       /etc/hosts "declared anew"
d 0755 0:0       /etc/nginx
f 0644 0:0       /etc/nginx/extra.conf "extra"
f 0644 0:0       /etc/nginx/mine.conf "mine"
d 0755 0:0       /var
d 0755 0:0       /var/lib
d 0750 0:0       /var/lib/db
d 0755 0:0       /var/log
f 0660 0:0       /var/log/btmp ""
f 0664 0:0       /var/log/lastlog ""
d 0755 33:4      /var/log/nginx
f 0664 0:0       /var/log/wtmp ""
`)
	want := []string{
		"trees: /etc/nginx/mine.conf was changed here and stays; the packages' is /osbuild/store/p2/etc/nginx/mine.conf",
		"etc: /etc/hosts was changed here and is replaced by the system's; it is kept as /var/lib/osbuild/replaced/etc/hosts",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// TestDeclaredFolder has a system declare the whole of a folder that an image
// has from packages.
func TestDeclaredFolder(t *testing.T) {
	for _, tt := range []struct{ summary, files, want, problem string }{
		{"as it came", "", "l                /etc/nginx -> /osbuild/store/e1/nginx\n", ""},
		{"changed", "/etc/nginx/conf.d/a 0644 mine", "d 0755 0:0       /etc/nginx\nd 0755 0:0       /etc/nginx/conf.d\nf 0644 0:0       /etc/nginx/conf.d/a \"mine\"\n", "etc etc failed: cannot replace the folder /etc/nginx"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			s := newSandbox(t, `
				/osbuild/store/e1/nginx -> /osbuild/store/mine
				/osbuild/store/p/etc/nginx/conf.d/a 0444 a
				/osbuild/store/p/etc/nginx/link -> conf.d
				/osbuild/store/p/etc/nginx/empty/ 0555
				/etc/nginx/conf.d/a 0644 a
				/etc/nginx/link -> conf.d
				/etc/nginx/empty/ 0755
			`+tt.files)
			statuses := report(Run(s.Root, spec.ActivationPlan{Steps: []spec.Step{
				{Phase: spec.PhaseEtc, Name: "etc", Etc: &spec.Etc{Tree: "/osbuild/store/e1"}},
				{Phase: spec.PhaseEtc, Name: "t", Tree: &spec.Tree{From: "/osbuild/store/p/etc", To: "/etc"}},
			}}, Options{}))
			if (statuses == "") != (tt.problem == "") || !strings.HasPrefix(statuses, tt.problem) {
				t.Errorf("statuses:\n%s", statuses)
			}
			if got := s.dump("/etc/nginx"); !strings.Contains(got, tt.want) {
				t.Errorf("lacks\n%s:\n%s", tt.want, got)
			}
		})
	}
}

// TestTreeInTheWay has something else stand where files of packages belong.
func TestTreeInTheWay(t *testing.T) {
	const tree = `
		/osbuild/store/p/etc/ssl/certs/a.pem 0444 pem
		/osbuild/store/p/etc/file 0444 theirs
		/osbuild/store/p/etc/link -> theirs
	`
	for _, tt := range []struct{ summary, files, want string }{
		{"a link where a folder belongs is not followed", "/etc/ssl -> /elsewhere\n/elsewhere/ 0755", "l                /etc/ssl -> /elsewhere\nd 0755 0:0       /elsewhere\n"},
		{"a file where a folder belongs", "/etc/ssl 0600 mine", "f 0600 0:0       /etc/ssl \"mine\"\n"},
		{"a folder where a file belongs", "/etc/file/mine 0644 x", "/etc/file/mine \"x\"\n"},
		{"a link where a file belongs", "/etc/file -> /elsewhere/x", "/etc/file -> /elsewhere/x\n"},
		{"a file where a link belongs", "/etc/link 0600 mine", "f 0600 0:0       /etc/link \"mine\"\n"},
		{"another link", "/etc/link -> mine", "/etc/link -> mine\n"},
		{"what is nobody's concern stays", "/etc/ssl/certs/mine.pem 0600 mine", "a.pem \"pem\"\nf 0600 0:0       /etc/ssl/certs/mine.pem \"mine\"\n"},
		{"temporary names of a crash do no harm", "/etc/.file.osbuild-1-1 0600 x", "f 0644 0:0       /etc/file \"theirs\"\n"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			s := newSandbox(t, tree+tt.files)
			plan := spec.ActivationPlan{Steps: []spec.Step{{Phase: spec.PhaseEtc, Name: "t", Tree: &spec.Tree{From: "/osbuild/store/p/etc", To: "/etc"}}}}
			for range 2 {
				if statuses := Run(s.Root, plan, Options{}); len(statuses) > 0 {
					t.Errorf("statuses:\n%s", report(statuses))
				}
				if got := s.dump("/etc", "/elsewhere"); !strings.Contains(got, tt.want) {
					t.Errorf("lacks %q:\n%s", tt.want, got)
				}
			}
		})
	}
}

// TestVanishedBehindLink has a user put a link where a folder of packages was:
// what lies behind it is not removed with them.
func TestVanishedBehindLink(t *testing.T) {
	s := newSandbox(t, `
		/osbuild/store/p/var/lib/db/file 0444 same
		/precious/file 0644 same
	`)
	plan := spec.ActivationPlan{Steps: []spec.Step{{Phase: spec.PhaseEtc, Name: "t", Tree: &spec.Tree{From: "/osbuild/store/p/var", To: "/var"}}}}
	if statuses := Run(s.Root, plan, Options{}); len(statuses) > 0 {
		t.Errorf("statuses:\n%s", report(statuses))
	}
	s.wipe("/var/lib/db")
	s.make("/var/lib/db -> /precious")
	if statuses := Run(s.Root, spec.ActivationPlan{}, Options{}); len(statuses) > 0 {
		t.Errorf("statuses:\n%s", report(statuses))
	}
	want := "l                /var/lib/db -> /precious\nd 0755 0:0       /precious\nf 0644 0:0       /precious/file \"same\"\n"
	if diff := cmp.Diff(want, s.dump("/var/lib/db", "/precious")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTreeProblems has owners that cannot be had.
func TestTreeProblems(t *testing.T) {
	s := newSandbox(t, `
		/osbuild/store/p/var/a 0444 a
		/osbuild/store/p/var/b/ 0555
		/osbuild/store/p/var/c 0444 c
	`)
	s.refuse = unix.EPERM
	step := func(name string, tree spec.Tree) spec.Step {
		return spec.Step{Phase: spec.PhaseEtc, Name: name, Tree: &tree}
	}
	statuses := Run(s.Root, spec.ActivationPlan{Steps: []spec.Step{
		step("owners", spec.Tree{From: "/osbuild/store/p/var", To: "/var", Owners: []spec.Owner{
			{Path: "/var/a", User: "7", Mode: 0o4711},
			{Path: "/var/b", Group: "8", Mode: 0o2775},
		}}),
		step("stranger", spec.Tree{From: "/osbuild/store/p/var", To: "/new", Owners: []spec.Owner{{Path: "/new/a", Group: "nobody-knows", Mode: 0o2755}}}),
		step("no tree", spec.Tree{From: "/osbuild/store/nothing", To: "/var"}),
	}}, Options{})
	want := `etc owners skipped: cannot give /var/a to 7:0: the owner cannot be set here: operation not permitted; and 1 more
etc stranger failed: cannot give /new/a to its owner: there is no group "nobody-knows"
etc no tree failed: cannot copy the packages' files to /var: open /osbuild/store/nothing: no such file or directory
d 0755 0:0       /new
f 0755 0:0       /new/a "a"
d 0755 0:0       /new/b
f 0644 0:0       /new/c "c"
d 0755 0:0       /var
f 0711 0:0       /var/a "a"
d 0775 0:0       /var/b
f 0644 0:0       /var/c "c"
d 0755 0:0       /var/log
f 0660 0:0       /var/log/btmp ""
f 0664 0:0       /var/log/lastlog ""
f 0664 0:0       /var/log/wtmp ""
`
	var files strings.Builder
	for line := range strings.Lines(s.dump("/new", "/var")) {
		if !strings.Contains(line, "/var/lib") {
			files.WriteString(line)
		}
	}
	if diff := cmp.Diff(want, report(statuses)+files.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTreeMounts leaves alone what an engine or the user has mounted.
func TestTreeMounts(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread with its mounts ends with the test
	ownMounts(t)
	s := newSandbox(t, `
		/osbuild/store/p/var/lib/db/file 0444 theirs
		/osbuild/store/p/var/hosts 0444 theirs
		/osbuild/store/p/var/sub/file 0444 theirs
		/var/lib/db/ 0755
		/var/hosts 0644
		/volume/ 0755
		/host/hosts 0644 the host's
		/mnt/ 0755
	`)
	s.bind("volume", "var/lib/db")
	s.bind("host/hosts", "var/hosts")
	statuses := Run(s.Root, spec.ActivationPlan{Steps: []spec.Step{{Phase: spec.PhaseEtc, Name: "t", Tree: &spec.Tree{
		From: "/osbuild/store/p/var", To: "/var", Owners: []spec.Owner{{Path: "/var/lib/db", User: "7", Mode: 0o700}},
	}}}}, Options{})
	if len(statuses) > 0 {
		t.Errorf("statuses:\n%s", report(statuses))
	}
	want := `d 0755 0:0       /host
f 0644 0:0       /host/hosts "the host's"
d 0755 0:0       /volume
d 0755 0:0       /var/sub
f 0644 0:0       /var/sub/file "theirs"
`
	if diff := cmp.Diff(want, s.dump("/host", "/volume", "/var/sub")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A file system that takes nothing is said once.
	if err := unix.Mount("ro", filepath.Join(s.dir, "mnt"), "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(filepath.Join(s.dir, "mnt"), 0) }()
	statuses = Run(s.Root, spec.ActivationPlan{Steps: []spec.Step{{Phase: spec.PhaseEtc, Name: "t", Tree: &spec.Tree{From: "/osbuild/store/p/var", To: "/mnt"}}}}, Options{})
	if got, want := report(statuses), "etc t skipped: cannot make /mnt/hosts: read-only file system\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
