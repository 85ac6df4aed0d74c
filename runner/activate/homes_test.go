// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

const homesBase = `
/etc/passwd 0644 alice:x:1000:100::/home/alice:\nbob:x:1001:100::/home/bob:\ncarol:x:1002:100::/srv/deep/carol:\n
/osbuild/store/k-skel/bashrc 0444 # bash\n
/osbuild/store/k-skel/bin/tool 0555 tool
/etc/skel/.bashrc -> /osbuild/store/k-skel/bashrc
/etc/skel/bin -> /osbuild/store/k-skel/bin
/etc/skel/.config/app 0440 conf
/etc/skel/rel -> .config/app
/home/bob/mine 0600 mine
/home/.osbuild-new-alice/half 0644 half
`

func TestHomes(t *testing.T) {
	s := newSandbox(t, homesBase)
	alice, bob := user("alice"), user("bob")
	carol := user("carol")
	carol.Home = "/srv/deep/carol"
	none := user("none")
	none.CreateHome = false
	system := spec.User{Name: "web", Home: "/var/web", System: true, CreateHome: true}
	if problems := Homes(s.Root, []spec.User{alice, bob, carol, none, system}, "/etc/skel"); problems != nil {
		t.Error(problems)
	}
	want := `d 0755 0:0       /home
d 0700 1000:100  /home/alice
f 0644 1000:100  /home/alice/.bashrc "# bash\n"
d 0755 1000:100  /home/alice/.config
f 0640 1000:100  /home/alice/.config/app "conf"
d 0755 1000:100  /home/alice/bin
f 0755 1000:100  /home/alice/bin/tool "tool"
l                /home/alice/rel -> .config/app
d 0755 0:0       /home/bob
f 0600 0:0       /home/bob/mine "mine"
d 0755 0:0       /srv
d 0755 0:0       /srv/deep
d 0700 1002:100  /srv/deep/carol
f 0644 1002:100  /srv/deep/carol/.bashrc "# bash\n"
d 0755 1002:100  /srv/deep/carol/.config
f 0640 1002:100  /srv/deep/carol/.config/app "conf"
d 0755 1002:100  /srv/deep/carol/bin
f 0755 1002:100  /srv/deep/carol/bin/tool "tool"
l                /srv/deep/carol/rel -> .config/app
`
	// Owners were recorded under the names under which the homes grew.
	owners := map[string]string{}
	for path, owner := range s.owners {
		owners[strings.ReplaceAll(path, ".osbuild-new-", "")] = owner
	}
	s.owners = owners
	if diff := cmp.Diff(want, s.dump("/home", "/srv")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDirectoryBehindLink: the user of one folder has no other made elsewhere.
func TestDirectoryBehindLink(t *testing.T) {
	s := newSandbox(t, `
		/etc/passwd 0644 app:x:1000:100::/:\n
		/etc/group 0644 users:x:100:\n
		/precious/ 0700
		/real/ 0755
		/srv/app/theirs -> /precious
		/srv/app/roots -> /real
	`)
	if err := os.Lchown(filepath.Join(s.Dir(), "srv/app/theirs"), 1000, 100); err != nil {
		t.Skipf("SKIP-ENV: no owners can be set: %v", err)
	}
	make := func(path string) error {
		return directory(s.Root, spec.Dir{Path: path, Mode: 0o755, User: "app", Group: "users"}, names(s.Root))
	}
	err := make("/srv/app/theirs/b/c")
	if err == nil || err.Error() != "cannot make the folder /srv/app/theirs/b/c: /srv/app/theirs is a link that the user 1000 made; remove it" {
		t.Errorf("got %v", err)
	}
	if err := make("/srv/app/roots/b"); err != nil {
		t.Error(err)
	}
	want := `d 0700 0:0       /precious
d 0755 0:0       /real
d 0755 0:0       /real/b
`
	// The owner was recorded under the name that leads there.
	if got := s.owners["/srv/app/roots/b"]; got != "1000:100" {
		t.Errorf("it belongs to %q", got)
	}
	if diff := cmp.Diff(want, s.dump("/precious", "/real")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHomesWithoutPrivilege(t *testing.T) {
	s := newSandbox(t, homesBase)
	s.refuse = unix.EPERM
	problems := Homes(s.Root, []spec.User{user("alice"), user("stranger")}, "/etc/skel")
	if len(problems) != 2 || !errors.Is(problems[0], tree.ErrOwner) || !strings.Contains(problems[1].Error(), `no user "stranger"`) {
		t.Errorf("problems: %v", problems)
	}
	// The home is there, and whole, even so.
	if got := s.dump("/home/alice"); !strings.Contains(got, "/home/alice/.config/app") {
		t.Errorf("alice's home:\n%s", got)
	}
}

func TestCapabilityXattr(t *testing.T) {
	for _, tt := range []struct{ names, want string }{
		{"", ""},
		{"cap_net_raw", "0100000200200000000000000000000000000000"},
		{"cap_chown CAP_SETUID cap_checkpoint_restore", "0100000281000000000000000001000000000000"},
	} {
		got, err := capabilityXattr(strings.Fields(tt.names))
		if err != nil || fmt.Sprintf("%x", got) != tt.want {
			t.Errorf("%q: %x, %v; want %s", tt.names, got, err, tt.want)
		}
	}
	if _, err := capabilityXattr([]string{"cap_fly"}); err == nil {
		t.Error("cap_fly is taken")
	}
}

// TestPrivilegedForReal makes real owners, set-id bits and capabilities.
func TestPrivilegedForReal(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP-ENV: privileged programs are made as root only")
	}
	dir := t.TempDir()
	root, err := tree.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s := &sandbox{Root: root, t: t, dir: dir}
	s.make(base + "/etc/group 0644 shadow:x:42:\n/run/privileged/bin/old 4755 old")
	r := &run{Root: root, Options: Options{Message: func(string) {}}}
	if problems := r.privileged([]spec.Privileged{
		{Program: "/osbuild/store/s-shell/bin/ping", Setuid: true, User: "7", Group: "shadow", Setgid: true},
		{Program: "/osbuild/store/s-shell/bin/sh", Capabilities: []string{"cap_net_raw"}},
	}); problems != nil {
		t.Fatal(problems)
	}
	var st unix.Stat_t
	bin := filepath.Join(dir, spec.PrivilegedDir)
	if err := unix.Lstat(filepath.Join(bin, "ping"), &st); err != nil || st.Mode&0o7777 != 0o6555 || st.Uid != 7 || st.Gid != 42 {
		t.Errorf("ping: mode %04o, owner %d:%d, %v", st.Mode&0o7777, st.Uid, st.Gid, err)
	}
	buf := make([]byte, 64)
	n, err := unix.Getxattr(filepath.Join(bin, "sh"), "security.capability", buf)
	if errors.Is(err, unix.ENOTSUP) {
		t.Skip("SKIP-ENV: this file system keeps no capabilities")
	}
	if want, _ := capabilityXattr([]string{"cap_net_raw"}); err != nil || string(buf[:n]) != string(want) {
		t.Errorf("capabilities of sh: %x, %v", buf[:max(n, 0)], err)
	}
	if names, _ := root.ReadDir(spec.PrivilegedDir); len(names) != 2 {
		t.Errorf("privileged programs: %v", names)
	}
}
