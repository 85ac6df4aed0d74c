// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/closure/oci"
	"osbuild/closure/segment"
	"osbuild/runner/spec"
)

// usual are the links of a merged /usr.
var usual = []spec.Link{{Path: "/bin", Target: "usr/bin"}, {Path: "/lib", Target: "usr/lib"}}

// TestRootFileSystem makes images of small closures and compares what stands
// in them, whole.
func TestRootFileSystem(t *testing.T) {
	for _, test := range []struct {
		summary  string
		make     func(l *lab) spec.Root
		want     string
		warnings []string
	}{
		{
			summary: "items at their store paths, read-only",
			make: func(l *lab) spec.Root {
				l.item("text", "")
				l.item("prog", "bin/prog! x\nshare/doc text\nshare/empty/\nlatest -> bin/prog")
				return spec.Root{}
			},
			want: `dir 0555 osbuild/store/00-text
dir 0555 osbuild/store/01-prog
dir 0555 osbuild/store/01-prog/bin
file 0555 2d711642 osbuild/store/01-prog/bin/prog
link osbuild/store/01-prog/latest -> bin/prog
dir 0555 osbuild/store/01-prog/share
file 0444 982d9e3e osbuild/store/01-prog/share/doc
dir 0555 osbuild/store/01-prog/share/empty
`,
		},
		{
			summary: "the topmost tree wins, folders merge, a file hides a folder and a folder a file",
			make: func(l *lab) spec.Root {
				top := l.item("top", "usr/bin/a! top\nusr/share/f text\nusr/lib -> lib64")
				one := l.item("one-1.0", "root/usr/bin/a! one\nroot/usr/bin/b! one\nroot/usr/share/f/hidden one\nroot/usr/lib/hidden one\ncontrol/postinst x")
				two := l.item("two-2.0", "root/usr/bin/b! two\nroot/usr/bin/c! two\nroot/usr/share/f two\nroot/opt/two/x! two\nroot/etc/two.conf two")
				l.item("system", "boot! x")
				return spec.Root{
					Usr:   []spec.Lower{{Item: top, Sub: "usr"}, {Item: one, Sub: "root/usr", FHS: true}, {Item: two, Sub: "root/usr", FHS: true}},
					Opt:   []spec.Lower{{Item: two, Sub: "root/opt", FHS: true}},
					Links: usual,
				}
			},
			want: `link bin -> usr/bin
link lib -> usr/lib
dir 0755 opt
dir 0755 opt/two
file 0755 3fc4ccfe opt/two/x
dir 0555 osbuild/store/00-top
dir 0555 osbuild/store/00-top/usr
dir 0555 osbuild/store/00-top/usr/bin
file 0555 28720365 osbuild/store/00-top/usr/bin/a
link osbuild/store/00-top/usr/lib -> lib64
dir 0555 osbuild/store/00-top/usr/share
file 0444 982d9e3e osbuild/store/00-top/usr/share/f
dir 0755 osbuild/store/01-one-1.0
dir 0755 osbuild/store/01-one-1.0/root
link osbuild/store/01-one-1.0/root/usr -> ../../../../usr
dir 0755 osbuild/store/02-two-2.0
dir 0755 osbuild/store/02-two-2.0/root
link osbuild/store/02-two-2.0/root/etc -> ../../../../etc
link osbuild/store/02-two-2.0/root/opt -> ../../../../opt
link osbuild/store/02-two-2.0/root/usr -> ../../../../usr
dir 0555 osbuild/store/03-system
file 0555 2d711642 osbuild/store/03-system/boot
dir 0755 usr/bin
file 0755 28720365 usr/bin/a
file 0755 7692c3ad usr/bin/b
file 0755 3fc4ccfe usr/bin/c
link usr/lib -> lib64
dir 0755 usr/share
file 0644 982d9e3e usr/share/f
`,
		},
		{
			summary: "owners with fixed ids; others are root's and grant nothing; no privileges for what hides a package's file",
			make: func(l *lab) spec.Root {
				top := l.item("profile", "bin/su! mine")
				deb := l.item("deb", "usr/bin/su! theirs\nusr/bin/chage! x\nusr/bin/locate! x\nusr/bin/link -> su\nusr/local/lib/\nusr/secret x")
				return spec.Root{
					Usr: []spec.Lower{{Item: top}, {Item: deb, Sub: "usr", FHS: true}},
					Owners: []spec.Owner{
						{Path: "/usr/bin/su", Mode: 0o4755},
						{Path: "/usr/bin/chage", Group: "shadow", Mode: 0o2755},
						{Path: "/usr/bin/locate", Group: "plocate", Mode: 0o2755},
						{Path: "/usr/bin/link", Group: "shadow", Mode: 0o2755},
						{Path: "/usr/bin/gone", Mode: 0o4755},
						{Path: "/usr/local/lib", Group: "staff", Mode: 0o2775},
						{Path: "/usr/secret", User: "1000", Group: "0", Mode: 0o600},
					},
				}
			},
			want: `dir 0555 osbuild/store/00-profile
dir 0555 osbuild/store/00-profile/bin
file 0555 3fd30542 osbuild/store/00-profile/bin/su
dir 0755 osbuild/store/01-deb
link osbuild/store/01-deb/usr -> ../../../usr
dir 0755 usr/bin
file 2755 2d711642 0:42 usr/bin/chage
link usr/bin/link -> su
file 0755 2d711642 usr/bin/locate
file 0755 3fd30542 usr/bin/su
dir 0755 usr/local
dir 2775 0:50 usr/local/lib
file 0600 2d711642 1000:0 usr/secret
`,
			warnings: []string{"/usr/bin/locate is root's in the image, mode 0755: the ids of root:plocate are only chosen at boot"},
		},
		{
			summary: "writable trees; what has no fixed owner is left to the activation, with what is in it",
			make: func(l *lab) spec.Root {
				p := l.item("packages", "etc/conf text\netc/run! text\netc/shadowed x\nvar/lib/pg/15/x x\nvar/mail/\nvar/tmp/\nvar/lock -> /run/lock")
				return spec.Root{
					Dirs: []spec.Dir{{Path: "/media", Mode: 0o755}, {Path: "/srv", Mode: 0o750, Group: "mail"}, {Path: "/home", Mode: 0o2775, Group: "people"}},
					Trees: []spec.Tree{
						{From: p + "/etc", To: "/etc", Owners: []spec.Owner{{Path: "/etc/shadowed", Group: "shadow", Mode: 0o640}}},
						{From: p + "/var", To: "/var", Owners: []spec.Owner{
							{Path: "/var/lib/pg", User: "postgres", Group: "postgres", Mode: 0o755},
							{Path: "/var/mail", Group: "mail", Mode: 0o2775},
						}},
					},
				}
			},
			want: `file 0644 982d9e3e etc/conf
file 0755 982d9e3e etc/run
file 0640 2d711642 0:42 etc/shadowed
dir 0775 home
dir 0755 media
dir 0555 osbuild/store/00-packages
dir 0555 osbuild/store/00-packages/etc
file 0444 982d9e3e osbuild/store/00-packages/etc/conf
file 0555 982d9e3e osbuild/store/00-packages/etc/run
file 0444 2d711642 osbuild/store/00-packages/etc/shadowed
dir 0555 osbuild/store/00-packages/var
dir 0555 osbuild/store/00-packages/var/lib
dir 0555 osbuild/store/00-packages/var/lib/pg
dir 0555 osbuild/store/00-packages/var/lib/pg/15
file 0444 2d711642 osbuild/store/00-packages/var/lib/pg/15/x
link osbuild/store/00-packages/var/lock -> /run/lock
dir 0555 osbuild/store/00-packages/var/mail
dir 0555 osbuild/store/00-packages/var/tmp
dir 0750 0:8 srv
dir 0755 var/lib
link var/lock -> /run/lock
dir 2775 0:8 var/mail
`,
			warnings: []string{"/home is root's in the image, mode 0775: the ids of root:people are only chosen at boot"},
		},
	} {
		l := newLab(t)
		root := test.make(l)
		s := l.system(root)
		image, warnings := l.export(s, options())
		if d := cmp.Diff(test.want, shown(image)); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.summary, d)
		}
		if d := cmp.Diff(test.warnings, warnings); d != "" {
			t.Errorf("%s: warnings (-want +got):\n%s", test.summary, d)
		}
		// The same files stand in fewer layers, and in the other format.
		o := options()
		o.MaxLayers, o.Format = 2, segment.Gzip
		packed, _ := l.export(s, o)
		if packed.Dump() != image.Dump() || len(packed.Layers) > 2 {
			t.Errorf("%s: in two layers other files, or %d layers:\n%s", test.summary, len(packed.Layers), cmp.Diff(image.Dump(), packed.Dump()))
		}
	}
}

func TestConfig(t *testing.T) {
	l := newLab(t)
	system := l.item("system", "boot! x")
	image, _ := l.export(l.system(spec.Root{}), options())
	want := image.Config
	want.Entrypoint, want.Cmd = []string{system + "/boot"}, nil
	want.Env = []string{"PATH=/run/privileged/bin:/run/current-system/profile/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "container=oci"}
	want.StopSignal, want.WorkingDir = "SIGTERM", "/"
	want.Labels = map[string]string{"org.opencontainers.image.title": "box"}
	if d := cmp.Diff(want, image.Config); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}
	if image.Created != "1970-01-01T00:00:01Z" {
		t.Errorf("created %s", image.Created)
	}
}

// TestDeclaredWins makes an image of a system that declares some of what its
// packages bring: the activation makes that at boot.
func TestDeclaredWins(t *testing.T) {
	l := newLab(t)
	p := l.item("packages", "etc/hosts theirs\netc/nginx/conf theirs\netc/nginx/mime theirs\netc/ssl/cert/x theirs\netc/pam.d theirs\netc/nsswitch.conf theirs\nvar/run/pg/\nvar/lib/x theirs")
	etc := l.item("etc", "hosts mine\nnginx/conf -> /osbuild/store/x\nssl/cert mine\npam.d/su mine\nnsswitch.conf mine")
	s := l.system(spec.Root{Trees: []spec.Tree{{From: p + "/etc", To: "/etc"}, {From: p + "/var", To: "/var"}}})
	s.Activation.Steps = []spec.Step{
		{Links: []spec.Link{{Path: "/var/run", Target: "/run"}}},
		{Etc: &spec.Etc{Tree: etc, Yields: []string{"nsswitch.conf"}}},
	}
	image, _ := l.export(s, options())
	var got strings.Builder
	for line := range strings.Lines(shown(image)) {
		if !strings.Contains(line, "osbuild/store/") {
			got.WriteString(line)
		}
	}
	want := `dir 0755 etc/nginx
file 0644 4c55a855 etc/nginx/mime
file 0644 4c55a855 etc/nsswitch.conf
dir 0755 etc/ssl
dir 0755 var/lib
file 0644 4c55a855 var/lib/x
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestLeft makes an image of a system that expects something of its runner.
func TestLeft(t *testing.T) {
	l := newLab(t)
	l.item("system", "boot! x")
	s := l.system(spec.Root{})
	s.Container.Mounts = []spec.Mount{
		{Kind: spec.MountBind, Source: "/etc/hosts", Target: "/etc/hosts", Optional: true},
		{Kind: spec.MountBind, Source: "/srv/data", Target: "/data"},
		{Kind: spec.MountTmpfs, Target: "/scratch"},
	}
	s.Container.Requires = []string{"nested"}
	_, warnings := l.export(s, options())
	want := []string{
		"/data is the host's /srv/data, which is not in the image: give it to the engine, as with --volume",
		"/scratch is a tmpfs, which is not in the image: ask the engine for it, as with --mount",
		`the system works only with "nested": start the image with what that stands for`,
	}
	if d := cmp.Diff(want, warnings); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
}

// TestRefused gives what no image can be made of.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		summary string
		make    func(l *lab) spec.Root
		want    string
	}{
		{"a name that deletes", func(l *lab) spec.Root {
			l.item("x", "share/.wh.passwd x")
			return spec.Root{}
		}, "share/.wh.passwd into an image: in an image, names that start with .wh. mean"},
		{"a lower that is no item", func(l *lab) spec.Root {
			l.item("x", "f x")
			return spec.Root{Usr: []spec.Lower{{Item: spec.StoreDir + "/nothing"}}}
		}, "nothing, which is not an item of the closure"},
		{"a lower out of its item", func(l *lab) spec.Root {
			return spec.Root{Usr: []spec.Lower{{Item: l.item("x", "f x"), Sub: "../x"}}}
		}, "which leaves the item"},
		{"a lower behind a link", func(l *lab) spec.Root {
			return spec.Root{Usr: []spec.Lower{{Item: l.item("x", "root -> /etc"), Sub: "root/ssl"}}}
		}, "is not a folder"},
		{"a tree behind a link", func(l *lab) spec.Root {
			return spec.Root{Trees: []spec.Tree{{From: l.item("x", "etc -> /etc") + "/etc", To: "/etc"}}}
		}, "is not a folder"},
		{"a tree out of the store", func(l *lab) spec.Root {
			l.item("x", "f x")
			return spec.Root{Trees: []spec.Tree{{From: "/etc", To: "/etc"}}}
		}, "is not an item of the closure"},
		{"a relative link", func(l *lab) spec.Root {
			l.item("x", "f x")
			return spec.Root{Links: []spec.Link{{Path: "bin", Target: "usr/bin"}}}
		}, "not absolute and clean"},
		{"two things in one place", func(l *lab) spec.Root {
			l.item("x", "f x")
			return spec.Root{Links: []spec.Link{{Path: "/tmp", Target: "var/tmp"}}}
		}, "puts two things at /tmp"},
		{"an owner of a path with dot segments", func(l *lab) spec.Root {
			l.item("x", "f x")
			return spec.Root{Owners: []spec.Owner{{Path: "/usr/../etc/shadow"}}}
		}, "not absolute and clean"},
	} {
		l := newLab(t)
		root := test.make(l)
		err := l.refused(l.system(root), options())
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "cannot export ") {
			t.Errorf("%s: error %v, want one that says %q", test.summary, err, test.want)
		}
	}
	l := newLab(t)
	l.item("x", "f x")
	for _, n := range []int{0, -1, oci.LayerLimit + 1} {
		o := options()
		o.MaxLayers = n
		if err := l.refused(l.system(spec.Root{}), o); err == nil || !strings.Contains(err.Error(), "1 to 127 layers") {
			t.Errorf("%d layers: error %v", n, err)
		}
	}
}
