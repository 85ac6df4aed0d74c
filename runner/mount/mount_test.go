// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

var update = flag.Bool("update", false, "write the golden plans anew")

func golden(t *testing.T, name string, plan Plan) {
	t.Helper()
	file := filepath.Join("testdata", name+".plan")
	got := plan.String()
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
		t.Errorf("the plan differs from %s (-update writes it anew):\n%s", file, diff)
	}
}

func item(name string) Item {
	base := strings.Repeat("0", 32) + "-" + name
	return Item{Item: spec.Item{Logical: spec.StoreDir + "/" + base, Physical: "/var/lib/osbuild/store/" + base}, Dir: true}
}

func fileItem(name string) Item {
	i := item(name)
	i.Dir = false
	return i
}

func linkItem(name, to string) Item {
	i := fileItem(name)
	i.Link = to
	return i
}

func system() Container {
	return Container{
		Spec: spec.Container{
			Root: spec.Root{
				Usr:   []spec.Lower{{Item: item("coreutils").Logical, Sub: "usr"}},
				Links: []spec.Link{{Path: "/bin", Target: "usr/bin"}, {Path: "/lib", Target: "usr/lib"}},
				Dirs:  []spec.Dir{{Path: "/opt", Mode: 0o755}, {Path: "/opt/data", Mode: 0o2770, User: "1000", Group: "100"}, {Path: "/var/empty", Mode: 0o555}, {Path: "/srv", Mode: 0o700}},
			},
		},
		Items:  []Item{item("system"), item("coreutils"), fileItem("motd"), linkItem("alias", "motd"), item("system")},
		Anchor: "/mnt", OwnNetwork: true, IDMap: true,
	}
}

// packages are trees that stand in the hierarchy alone, below one that is shown
// in the store too.
func packages() spec.Root {
	r := system().Spec.Root
	r.Usr = []spec.Lower{
		{Item: item("system").Logical, Sub: "usr"},
		{Item: item("deb-a").Logical, Sub: "root/usr", FHS: true},
		{Item: item("deb-b").Logical, Sub: "root/usr", FHS: true},
	}
	r.Opt = []spec.Lower{{Item: item("deb-b").Logical, Sub: "root/opt", FHS: true}}
	return r
}

func debs() []Item { return []Item{item("deb-a"), item("deb-b")} }

func TestForContainer(t *testing.T) {
	ro, rw := Flags{ReadOnly: true, NoSuid: true, NoDev: true}, Flags{NoSuid: true, NoDev: true}
	tests := []struct {
		name    string
		summary string
		change  func(c *Container)
	}{
		{"plain", "a system without anything of the user", func(*Container) {}},
		{"host-network", "no sysfs without a network of its own", func(c *Container) { c.OwnNetwork = false }},
		{"user", "shares, a state folder, secrets, two lowers and declared file systems", func(c *Container) {
			c.Spec.Root.Usr = append(c.Spec.Root.Usr, spec.Lower{Item: item("system").Logical, Sub: "profile"})
			c.Spec.Mounts = []spec.Mount{
				{Kind: spec.MountDevpts, Target: "/dev/pts", Options: []string{"newinstance", "gid=996"}, NoExec: true},
				{Kind: spec.MountTmpfs, Target: "/var/cache/nginx", Options: []string{"mode=0700", "size=10m"}, NoExec: true},
				{Kind: spec.MountBind, Target: "/etc/resolv.conf", Source: "/etc/resolv.conf"},
			}
			c.Declared = []Bind{{Source: "/etc/resolv.conf", Target: "/etc/resolv.conf", Flags: rw, Optional: true}}
			c.State = []Bind{{Source: "/srv/state/var", Target: "/var", Dir: true, Flags: rw}, {Source: "/srv/state/home", Target: "/home", Dir: true, Flags: rw}}
			c.User = []Bind{
				{Source: "/home/me/src/deep", Target: "/home/me/deep", Dir: true, Flags: ro},
				{Source: "/home/me", Target: "/home", Dir: true, Flags: rw},
				{Source: "/run/postgres.sock", Target: "/run/db/postgres.sock", Flags: rw},
			}
			c.Secrets = map[string][]byte{"token": []byte("never printed"), "key": nil}
		}},
		{"packages", "trees that stand in the hierarchy alone", func(c *Container) {
			c.Spec.Root, c.Items = packages(), append(c.Items, debs()...)
		}},
		{"views", "the same by views", func(c *Container) {
			c.Spec.Root, c.Items = packages(), append(c.Items, debs()...)
			c.Views = Views{Usr: "/var/lib/osbuild/views/1/tree", Opt: "/var/lib/osbuild/views/2/tree"}
		}},
		{"folders", "trees of two folders of the host", func(c *Container) {
			c.Spec.Root, c.Items = packages(), append(c.Items, debs()...)
			c.Items[len(c.Items)-1].Physical = "/srv/other/b"
		}},
		{"nested", "containers in the container", func(c *Container) { c.Nested, c.Devices = true, []string{"fuse"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := system()
			tt.change(&c)
			plan, err := ForContainer(c)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "container-"+tt.name, plan)
			again, err := ForContainer(c)
			if err != nil || again.String() != plan.String() {
				t.Errorf("planning again gives another plan, %v", err)
			}
		})
	}
}

func TestForContainerRefuses(t *testing.T) {
	bind := func(source, target string) Bind { return Bind{Source: source, Target: target, Dir: true} }
	tests := []struct {
		summary string
		change  func(c *Container)
		want    string
	}{
		{"two sources on one target", func(c *Container) { c.User = []Bind{bind("/a", "/x"), bind("/b", "/x")} }, "cannot mount both /a and /b on /x"},
		{"the root", func(c *Container) { c.User = []Bind{bind("/a", "/")} }, "cannot mount on /:"},
		{"the store", func(c *Container) { c.User = []Bind{bind("/a", "/osbuild/store/x")} }, "cannot mount on /osbuild/store/x"},
		{"proc", func(c *Container) { c.User = []Bind{bind("/a", "/proc/sys")} }, "cannot mount on /proc/sys"},
		{"all of /dev", func(c *Container) { c.User = []Bind{bind("/a", "/dev")} }, "cannot mount on /dev"},
		{"a target with dots", func(c *Container) { c.User = []Bind{bind("/a", "/x/../y")} }, "without dot segments"},
		{"a relative target", func(c *Container) { c.User = []Bind{bind("/a", "x")} }, "absolute path"},
		{"below a link", func(c *Container) { c.User = []Bind{bind("/a", "/bin/x")} }, "/bin is a symbolic link"},
		{"below a file", func(c *Container) {
			c.User = []Bind{{Source: "/f", Target: "/etc/f"}, bind("/a", "/etc/f/x")}
		}, ""},
		{"an item elsewhere", func(c *Container) { c.Items = append(c.Items, Item{Item: spec.Item{Logical: "/etc/passwd"}}) }, "does not lie in /osbuild/store"},
		{"a lower that is no item", func(c *Container) { c.Spec.Root.Usr = []spec.Lower{{Item: "/osbuild/store/none"}} }, "not an item of the closure"},
		{"a lower outside of its item", func(c *Container) { c.Spec.Root.Usr[0].Sub = "../../etc" }, "leaves the item"},
		{"a lower by an absolute path", func(c *Container) { c.Spec.Root.Usr[0].Sub = "/etc" }, "leaves the item"},
		{"a lower with a colon", func(c *Container) { c.Spec.Root.Usr[0].Sub = "a:b" }, "cannot be merged"},
		{"too many lowers", func(c *Container) {
			c.Spec.Root.Usr = slices.Repeat(c.Spec.Root.Usr, 501)
		}, "at most 500"},
		{"too long a list of lowers", func(c *Container) {
			c.Spec.Root.Usr[0].Sub = strings.Repeat("x", 150)
			c.Spec.Root.Usr = slices.Repeat(c.Spec.Root.Usr, 400)
		}, "of mountinfo"},
		{"a lower that is a file", func(c *Container) {
			c.Spec.Root.Usr = []spec.Lower{{Item: item("motd").Logical, FHS: true}}
		}, "not a folder"},
		{"a share in /opt of packages", func(c *Container) {
			c.Spec.Root, c.Items = packages(), append(c.Items, debs()...)
			c.User = []Bind{bind("/a", "/opt")}
		}, "something is mounted there"},
		{"an owner by name", func(c *Container) { c.Spec.Root.Dirs[0].User = "alice" }, "must be a number"},
		{"a secret with a path", func(c *Container) { c.Secrets = map[string][]byte{"../x": nil} }, "one file name"},
		{"an unknown file system", func(c *Container) { c.Spec.Mounts = []spec.Mount{{Kind: "ext4", Target: "/x"}} }, `unknown kind "ext4"`},
		{"a file system on the root", func(c *Container) { c.Spec.Mounts = []spec.Mount{{Kind: "tmpfs", Target: "/"}} }, "absolute path"},
		{"proc in a folder of the host", func(c *Container) {
			c.User = []Bind{bind("/a", "/x")}
			c.Spec.Mounts = []spec.Mount{{Kind: "proc", Target: "/x/proc"}}
		}, "is a folder of the host"},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			c := system()
			tt.change(&c)
			_, err := ForContainer(c)
			switch {
			case tt.want == "":
				if err != nil {
					t.Errorf("refused, but only the kernel can know: %v", err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestForBuild(t *testing.T) {
	plan, err := ForBuild(Build{
		Items: []Item{item("gcc"), fileItem("script"), linkItem("alias", "gcc")}, Anchor: "/mnt",
		Host:     []Bind{{Source: "/usr/local/go", Target: "/go", Dir: true}},
		StoreDir: "/var/lib/osbuild/tmp/1/store", WorkDir: "/var/lib/osbuild/tmp/1/build",
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "build", plan)
}

// Packages of a program: /usr, /opt, the links of old, and those of /etc that
// the root does not have itself.
func TestPackages(t *testing.T) {
	p := Packages{Root: packages(), Etc: []spec.Link{
		{Path: "/etc/passwd", Target: item("system").Logical + "/etc/passwd"},
		{Path: "/etc/ssl", Target: item("system").Logical + "/etc/ssl"},
	}}
	items := append(debs(), item("system"))
	plan, err := ForBuild(Build{
		Items: items, Anchor: "/mnt", Packages: p,
		StoreDir: "/var/lib/osbuild/tmp/1/store", WorkDir: "/var/lib/osbuild/tmp/1/build",
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "build-packages", plan)
	p.Views.Usr = "/var/lib/osbuild/views/1/tree"
	plan, err = ForProgram(Program{Items: items, Anchor: "/mnt", Packages: p, IDMap: true})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "program-packages", plan)
}

func TestForProgram(t *testing.T) {
	plan, err := ForProgram(Program{
		Items: []Item{item("hello")}, Anchor: "/mnt", Proc: true, IDMap: true,
		User: []Bind{{Source: "/home/me/b", Target: "/data/b", Dir: true}, {Source: "/home/me", Target: "/data", Dir: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "program", plan)
}

// Every read-only or hidden thing must be mounted where the container cannot
// undo it.
func TestInnerStageHoldsKernelFileSystemsOnly(t *testing.T) {
	c := system()
	c.Nested = true
	plan, err := ForContainer(c)
	if err != nil {
		t.Fatal(err)
	}
	inner := false
	for _, s := range plan.Steps {
		if s.Stage == Inner {
			inner = true
			if s.Op != OpMount || s.FS == spec.MountTmpfs {
				t.Errorf("in the inner stage: %s", s)
			}
		} else if inner {
			t.Errorf("an outer step after an inner one: %s", s)
		}
	}
}

func TestAssemble(t *testing.T) {
	c := system()
	c.Secrets = map[string][]byte{"key": []byte("x")}
	plan, err := ForContainer(c)
	if err != nil {
		t.Fatal(err)
	}
	a := Assembler{Code: &Code{}, IDs: spec.IDMap{
		UIDs: []spec.Extent{{Inside: 0, Outside: 524288, Count: 65536}},
		GIDs: []spec.Extent{{Inside: 0, Outside: 524288, Count: 65536}},
	}, MapFD: 9}
	for _, stage := range []Stage{Outer, Inner} {
		if err := a.Add(plan, stage); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.Code.labels) != len(plan.Steps) {
		t.Errorf("%d labels for %d steps", len(a.Code.labels), len(plan.Steps))
	}
	owners := 0
	for i, in := range a.Code.Instrs {
		if in.Nr == unix.SYS_FCHOWNAT {
			if in.Args[2] < 524288 || in.Args[3] < 524288 {
				t.Errorf("instruction %d gives something to host id %d:%d", i, in.Args[2], in.Args[3])
			}
			owners++
		}
		if in.Jump != 0 && (in.Jump <= int32(i) || int(in.Jump) > len(a.Code.Instrs)) {
			t.Errorf("instruction %d goes to %d", i, in.Jump)
		}
		for _, r := range append(in.From[:], in.Save) {
			if r >= FirstFreeReg {
				t.Errorf("instruction %d uses register %d of the runner", i, r)
			}
		}
	}
	if owners == 0 {
		t.Error("nothing is given to container root")
	}
}

func TestOutside(t *testing.T) {
	m := []spec.Extent{{Inside: 0, Outside: 1001, Count: 1}, {Inside: 1, Outside: 100000, Count: 65535}}
	for id, want := range map[int]int{0: 1001, 1: 100000, 1000: 100999, 65535: 165534, 65536: 1001} {
		if got := outside(m, id); got != want {
			t.Errorf("%d is %d outside, want %d", id, got, want)
		}
	}
}
