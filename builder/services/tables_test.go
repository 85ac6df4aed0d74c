// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

// etcContent is the text of a file of /etc that services make.
func etcContent(t *testing.T, name string, list ...*service.Service) string {
	t.Helper()
	env := newEnv()
	files := fold(t, env, Etc, append(list, &service.Service{Type: Etc})...).(*EtcFiles)
	i := slices.IndexFunc(files.Entries, func(e *EtcEntry) bool { return e.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	ref, ok := env.Graph.Lookup(files.Entries[i].File)
	if !ok {
		t.Fatalf("%s is not in the graph", files.Entries[i].File)
	}
	item, ok := env.Graph.TextItem(ref.Path)
	if !ok {
		t.Fatalf("%s is no text", files.Entries[i].File)
	}
	return item.Text
}

func TestFstab(t *testing.T) {
	fs := func(device, point, kind string, more ...func(*FileSystem)) *FileSystem {
		f := &FileSystem{Device: device, MountPoint: point, Type: kind, Mount: true}
		for _, m := range more {
			m(f)
		}
		return f
	}
	with := func(flags, options string) func(*FileSystem) {
		return func(f *FileSystem) { f.Flags, f.Options = strings.Fields(flags), strings.Fields(options) }
	}
	got := etcContent(t, "fstab", contribute(
		FileSystems,
		fs("/dev/sda1", "/", "ext4"),
		fs("UUID=1234", "/boot", "vfat", with("read-only no-exec", "umask=0077")),
		fs("none", "/scratch", "tmpfs", with("no-suid no-dev", "size=1m mode=0700")),
		fs("", "/empty", "tmpfs"),
		fs("LABEL=x", "/by-hand", "ext4", func(f *FileSystem) { f.Mount = false }),
		fs("/srv/x", "/bound", "none", with("bind-mount", "")),
		fs("none", "/p", "proc"),
		fs("none", "/s", "sysfs"),
		fs("none", "/c", "cgroup2"),
		fs("none", "/d", "devpts"),
		fs("none", "/g", "debugfs"),
		fs("none", "/f", "fusectl"),
		fs("none", "/o", "overlay"),
		fs("none", "/h", "hugetlbfs"),
		fs("none", "/y", "securityfs"),
		fs("none", "/e", "efivarfs"),
		fs("none", "/b", "binfmt_misc"),
	))
	want := `/dev/sda1	/	ext4	defaults
UUID=1234	/boot	vfat	ro,noexec,umask=0077
none	/scratch	tmpfs	nosuid,nodev,size=1m,mode=0700
none	/empty	tmpfs	defaults
LABEL=x	/by-hand	ext4	noauto
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFileSystemOptions goes from options to the text of mount(8) and back.
func TestFileSystemOptions(t *testing.T) {
	for _, tt := range []struct {
		flags, options []string
		text           string
	}{
		{nil, nil, "defaults"},
		{nil, []string{"size=1m"}, "size=1m"},
		{nil, []string{"size=1m", "mode=0755", "noswap"}, "size=1m,mode=0755,noswap"},
		{[]string{"no-dev"}, nil, "nodev"},
		{[]string{"no-dev", "read-only"}, []string{"uid=1=2"}, "nodev,ro,uid=1=2"},
	} {
		f := &FileSystem{Device: "none", MountPoint: "/x", Type: "tmpfs", Mount: true, Flags: tt.flags, Options: tt.options}
		if err := f.Validate(); err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(fstab([]*FileSystem{f}))
		if fields[3] != tt.text {
			t.Errorf("flags %q, options %q: %q, want %q", tt.flags, tt.options, fields[3], tt.text)
		}
		var back []string
		for o := range strings.SplitSeq(fields[3], ",") {
			if o != "defaults" {
				back = append(back, o)
			}
		}
		if diff := cmp.Diff(f.options(), back); diff != "" {
			t.Errorf("%q does not lead back (-want +got):\n%s", fields[3], diff)
		}
	}
	// What would not come back is refused.
	for _, o := range []string{"", "a,b", "a b", "a\tb", "a\nb"} {
		f := &FileSystem{MountPoint: "/x", Type: "tmpfs", Options: []string{o}}
		if err := f.Validate(); err == nil {
			t.Errorf("option %q is taken", o)
		}
	}
}

func TestHostsAndEnvironment(t *testing.T) {
	got := etcContent(t, "hosts", given(t, Hosts, LocalHosts("web")),
		contribute(Hosts, &Host{Address: "192.0.2.7", CanonicalName: "db.example.org", Aliases: []string{"db", "sql"}}))
	want := "127.0.0.1\tlocalhost\tweb\n::1\tlocalhost\tweb\n192.0.2.7\tdb.example.org\tdb\tsql\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	got = etcContent(t, "environment",
		given(t, SessionEnvironment, []any{&EnvironmentVariable{Name: "LANG", Value: "C.UTF-8"}, &EnvironmentVariable{Name: "A", Value: "1 2"}}),
		contribute(SessionEnvironment, &EnvironmentVariable{Name: "LANG", Value: "de_DE.UTF-8"}))
	if diff := cmp.Diff("LANG=de_DE.UTF-8\nA=1 2\n", got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestShells(t *testing.T) {
	got := etcContent(t, "shells", contribute(
		Account,
		&UserAccount{Name: "a", Group: "users", Shell: "/usr/bin/zsh"},
		&UserAccount{Name: "b", Group: "users", Shell: "/usr/bin/zsh"},
		&UserAccount{Name: "c", Group: "users"},
		&UserAccount{Name: "d", Group: "users", System: true},
		&UserAccount{Name: "e", Group: "users", Shell: "/bin/bash"},
	))
	if diff := cmp.Diff("/bin/sh\n/usr/bin/sh\n/bin/bash\n/usr/bin/bash\n/usr/bin/zsh\n", got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSkeletons holds that skeletons stand in /etc/skel one by one, so that
// packages may put theirs beside them.
func TestSkeletons(t *testing.T) {
	file := &SkeletonFile{Pos: derivation.Position{File: "s.star", Line: 4, Col: 1}, Name: ".config/app", File: "/x"}
	files := fold(t, newEnv(), Etc, contribute(UserHomes, file, &SkeletonFile{Name: ".profile", File: "/y"})).(*EtcFiles)
	var got []string
	for _, e := range files.Entries {
		if strings.HasPrefix(e.Name, "skel") {
			got = append(got, e.Name+" "+e.File)
		}
	}
	if diff := cmp.Diff([]string{"skel/.config/app /x", "skel/.profile /y"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	all, err := service.InstantiateMissing([]*service.Service{contribute(UserHomes, &SkeletonFile{Name: ".config/app", File: "/z"}, file)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Fold(newEnv(), all, Etc); err == nil || !strings.Contains(err.Error(), `s.star:4:1: cannot put "skel/.config/app" into /etc`) {
		t.Errorf("two skeletons of one name: %v", err)
	}
}

// TestSubidDeclarations is what is known to be wrong before anything is built.
func TestSubidDeclarations(t *testing.T) {
	pos := derivation.Position{File: "s.star", Line: 9, Col: 2}
	start := func(n int) *int { return &n }
	uid := 20000
	for _, tt := range []struct {
		summary string
		ranges  []*SubidRange
		want    string
	}{
		{"a name twice", []*SubidRange{{Name: "a", Count: 1}, {Pos: pos, Name: "a", Count: 1}}, `s.star:9:2: cannot give "a" two ranges of subordinate ids`},
		{"two ranges that overlap", []*SubidRange{{Name: "a", Start: start(100000), Count: 10}, {Pos: pos, Name: "b", Start: start(100009), Count: 1}}, `s.star:9:2: cannot give "b" the subordinate ids 100009 to 100009: "a" has 100000 to 100009`},
		{"one that holds a user", []*SubidRange{{Pos: pos, Name: "a", Start: start(10000), Count: 10001}}, `s.star:9:2: cannot give "a" the subordinate ids 10000 to 20000: 20000 is "b" itself`},
		{"one beside a user", []*SubidRange{{Pos: pos, Name: "a", Start: start(10000), Count: 10000}}, ""},
		{"more than there are", []*SubidRange{{Name: "a", Count: 599990000}, {Pos: pos, Name: "b", Count: 599990000}}, `s.star:9:2: cannot give "b" 599990000 subordinate ids: they do not fit into the system, which has 600090000 for all`},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			all, err := service.InstantiateMissing([]*service.Service{
				contribute(Account, &UserAccount{Name: "a", Group: "root"}, &UserAccount{Name: "b", Group: "root", UID: &uid}),
				contribute(Subids, &SubidsExtension{Subuids: tt.ranges}),
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = service.Fold(newEnv(), all, Account)
			if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}
