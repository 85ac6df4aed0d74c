// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/closure/view"
	"osbuild/runner/spec"
	"osbuild/store"
)

// packages adds two packages that stand in the hierarchy alone, and the item
// that their configuration and generated files make.
func (r *rig) packages() spec.Root {
	r.t.Helper()
	for path, text := range map[string]string{
		"packages/usr/share/top":        "generated\n",
		"packages/etc/conf.d/a":         "a\n",
		"packages/etc/hosts":            "not shown\n",
		"packages/etc/who":              "packages\n",
		"deb-a/root/usr/share/who":      "a\n",
		"deb-a/root/usr/share/top":      "hidden\n",
		"deb-a/root/usr/share/dir/a":    "a\n",
		"deb-a/root/opt/a/file":         "opt a\n",
		"deb-a/meta.json":               "{}\n",
		"deb-b/root/usr/share/who":      "hidden\n",
		"deb-b/root/usr/share/dir/b":    "b\n",
		"deb-b/root/usr/lib64/ld.so":    "ld\n",
		"deb-b/root/opt/b/file":         "opt b\n",
		"deb-b/control/control":         "Package: b\n",
		"deb-b/root/usr/share/.wh.file": "no whiteout\n",
	} {
		r.write(path, []byte(text), 0o444)
	}
	// Items have no attributes. If one had these, they would mean nothing: what
	// a user may write must not hide what another tree brings.
	for _, attr := range []string{"user.overlay.opaque", "user.overlay.whiteout", "user.overlay.redirect"} {
		dir := r.physical("deb-a") + "/root/usr/share/dir"
		_ = unix.Setxattr(dir, attr, []byte("y"), 0) // not every file system has them
	}
	for _, name := range []string{"deb-a", "deb-b", "packages"} {
		r.items = append(r.items, spec.Item{Logical: itemPath(name), Physical: r.physical(name)})
	}
	return spec.Root{
		Usr: []spec.Lower{
			{Item: itemPath("packages"), Sub: "usr"},
			{Item: itemPath("busybox")},
			{Item: itemPath("deb-a"), Sub: "root/usr", FHS: true},
			{Item: itemPath("deb-b"), Sub: "root/usr", FHS: true},
		},
		Opt: []spec.Lower{
			{Item: itemPath("deb-a"), Sub: "root/opt", FHS: true},
			{Item: itemPath("deb-b"), Sub: "root/opt", FHS: true},
		},
		Links: []spec.Link{{Path: "/bin", Target: "usr/bin"}},
		Trees: []spec.Tree{{From: itemPath("packages") + "/etc", To: "/etc"}},
	}
}

// views are made in a store around the rig's items.
func (r *rig) views() ViewFunc {
	r.t.Helper()
	s, err := store.Open(r.dir, store.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.unseal)
	return view.Func(s)
}

// ways are the ways to make /usr of packages that must not differ.
func ways(t *testing.T, f func(t *testing.T, r *rig, h Hierarchy)) {
	for _, way := range []string{UsrOverlay, UsrView} {
		t.Run(way, func(t *testing.T) {
			r := newRig(t, nil)
			f(t, r, Hierarchy{Usr: way, View: r.views()})
		})
	}
}

// look is a script that prints what it sees of the packages.
const look = `
	cat /usr/share/top /usr/share/who /usr/share/.wh.file /usr/share/dir/* /opt/*/file
	echo opt $(ls /opt)
	echo store $(ls /osbuild/store)
	echo osbuild $(ls /osbuild)
	stat -c %u:%g:%a /usr /usr/share /usr/share/who /opt /opt/a
	touch /usr/x /usr/share/who /usr/share/dir/x /opt/x /opt/a/file 2>&1 | grep -c Read-only
	grep -c " /osbuild/lowers" /proc/self/mountinfo
	true
`

func looks(owner string) string {
	store := "alias busybox init packages plain.txt probe system"
	for _, name := range strings.Fields(store) {
		store = strings.Replace(store, name, filepath.Base(itemPath(name)), 1)
	}
	modes := ""
	for _, mode := range []string{"555", "555", "444", "555", "555"} {
		modes += owner + ":" + mode + "\n"
	}
	return "generated\na\nno whiteout\na\nb\nopt a\nopt b\nopt a b\nstore " + store + "\nosbuild store\n" + modes + "5\n0\n"
}

// seal gives the items the modes that a store gives.
func (r *rig) seal() {
	r.t.Helper()
	err := filepath.WalkDir(r.dir+"/store", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != r.dir+"/store" {
			err = os.Chmod(path, 0o555)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.unseal)
}

// unseal lets the folders of items and views be removed.
func (r *rig) unseal() {
	for _, dir := range []string{"store", "views"} {
		_ = filepath.WalkDir(filepath.Join(r.dir, dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(path, 0o755)
			}
			return nil
		})
	}
}

func TestHierarchyOfContainer(t *testing.T) {
	ways(t, func(t *testing.T, r *rig, h Hierarchy) {
		o := r.options(look)
		o.Container.Root, o.Items, o.Hierarchy = r.packages(), r.items, h
		r.seal()
		before := sums(t, r.dir+"/store")
		if out, want := r.script(o), looks("0:0"); out != want {
			t.Errorf("got:\n%s\nwant:\n%s", out, want)
		}
		if after := sums(t, r.dir+"/store"); after != before {
			t.Errorf("items were changed:\n%s", after)
		}
	})
}

func TestHierarchyOfProgram(t *testing.T) {
	ways(t, func(t *testing.T, r *rig, h Hierarchy) {
		root := r.packages()
		p := r.program(look + "cat /etc/conf.d/a /etc/who; readlink /etc/who; readlink /bin; readlink /lib64; cat /lib64/ld.so; grep -c shown /etc/hosts; true")
		p.Root, p.Items = &root, r.items
		r.seal()
		want := looks("0:0") + "a\npackages\n" + itemPath("packages") + "/etc/who\nusr/bin\nusr/lib64\nld\n0\n"
		out, exit, err := capture(t, func(out *os.File) (spec.Exit, error) {
			return Eval(t.Context(), p, h, Stdio{Out: out, Err: out})
		})
		if err != nil || exit.Status() != 0 || out != want {
			t.Errorf("%+v, %v, got:\n%s\nwant:\n%s", exit, err, out, want)
		}
	})
}

func TestHierarchyOfBuild(t *testing.T) {
	ways(t, func(t *testing.T, r *rig, h Hierarchy) {
		root := r.packages()
		b := r.build(look + "cat /etc/conf.d/a; readlink /bin; test -x /usr/bin/sh && echo made >$out")
		b.Root, b.Items = &root, r.items
		r.seal()
		owner := "65534:65534"
		if !runsAsRoot() {
			owner = "1000:1000"
		}
		var log bytes.Buffer
		exit, err := Sandbox{Hierarchy: h}.Run(t.Context(), b, &log)
		if want := looks(owner) + "a\nusr/bin\n"; err != nil || exit.Status() != 0 || log.String() != want {
			t.Errorf("%+v, %v, got:\n%s\nwant:\n%s", exit, err, log.String(), want)
		}
		if names := list(t, b.StoreDir); slices.Contains(names, filepath.Base(itemPath("deb-a"))) {
			t.Errorf("a package has a place in the store's folder: %v", names)
		}
	})
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Container root must not be able to change a package, nor to take away what
// keeps it from that.
func TestProbeHierarchy(t *testing.T) {
	ways(t, func(t *testing.T, r *rig, h Hierarchy) {
		o := r.options("")
		o.Container.Root, o.Items, o.Hierarchy = r.packages(), r.items, h
		o.Command = []string{
			itemPath("probe") + "/bin/probe", "/usr", "/usr/bin", "/usr/share", "/usr/share/dir", "/opt", "/opt/a", spec.StoreDir, itemPath("packages"),
			"/proc/1/root/usr", "/proc/1/root/usr/share", "/proc/1/root/opt/b",
		}
		before := sums(t, r.dir+"/store")
		if out := r.script(o); out != "probe: done\n" {
			t.Errorf("got:\n%s", out)
		}
		if after := sums(t, r.dir+"/store"); after != before {
			t.Errorf("items were changed:\n%s", after)
		}
		// Whoever joins its namespaces with all capabilities is no better off.
		o.Command = nil
		i, _ := r.background(o)
		script := `for t in /usr /opt; do
			mount -o remount,rw $t; mount -o remount,bind,rw $t; umount $t; umount -l $t; touch $t/x
		done 2>/dev/null; test -e /usr/bin/sh && ls / /opt; ls /usr/x /opt/x 2>/dev/null; grep -c osbuild/lowers /proc/self/mountinfo; true`
		if out := r.exec(i, sh(script)); !strings.Contains(out, "a\nb\n0\n") {
			t.Errorf("got %s", out)
		}
		if after := sums(t, r.dir+"/store"); after != before {
			t.Errorf("items were changed:\n%s", after)
		}
	})
}

// A link in an item must not bring a folder of the host to /usr.
func TestProbeLowerThroughLink(t *testing.T) {
	ways(t, func(t *testing.T, r *rig, h Hierarchy) {
		secret := r.folder("secret/usr")
		if err := os.MkdirAll(r.physical("evil"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Dir(secret), filepath.Join(r.physical("evil"), "root")); err != nil {
			t.Fatal(err)
		}
		root := r.packages()
		r.items = append(r.items, spec.Item{Logical: itemPath("evil"), Physical: r.physical("evil")})
		evil := spec.Lower{Item: itemPath("evil"), Sub: "root/usr", FHS: true}
		h.Usr = strings.Replace(h.Usr, UsrOverlay, UsrAuto, 1) // which must not try the other way either
		for _, usr := range [][]spec.Lower{{evil}, append(root.Usr, evil)} {
			o := r.options("true")
			o.Container.Root, o.Items, o.Hierarchy = root, r.items, h
			o.Container.Root.Usr = usr
			if _, _, err := r.run(o); err == nil || strings.Contains(r.said(), "view") {
				t.Errorf("with %d trees: %v\n%s", len(usr), err, r.said())
			}
		}
	})
}

// Items that do not lie in one folder are merged all the same.
func TestHierarchyOfTwoFolders(t *testing.T) {
	r := newRig(t, nil)
	root := r.packages()
	moved := filepath.Join(r.folder("elsewhere"), "b")
	if err := os.Rename(r.physical("deb-b"), moved); err != nil {
		t.Fatal(err)
	}
	for i := range r.items {
		if r.items[i].Logical == itemPath("deb-b") {
			r.items[i].Physical = moved
		}
	}
	o := r.options("cat /usr/share/who /usr/share/dir/* /opt/*/file; ls /osbuild")
	o.Container.Root, o.Items = root, r.items
	if out := r.script(o); out != "a\na\nb\nopt a\nopt b\nstore\n" {
		t.Errorf("got %s", out)
	}
}

// More trees than the kernel merges are a view without being tried.
func TestHierarchyOfManyTrees(t *testing.T) {
	r := newRig(t, nil)
	root := r.packages()
	for i := range 510 {
		name := fmt.Sprintf("many-%d", i)
		r.write(name+"/root/usr/share/many/"+fmt.Sprint(i), []byte("x"), 0o444)
		r.items = append(r.items, spec.Item{Logical: itemPath(name), Physical: r.physical(name)})
		root.Usr = append(root.Usr, spec.Lower{Item: itemPath(name), Sub: "root/usr", FHS: true})
	}
	o := r.options("ls /usr/share/many | wc -l; cat /usr/share/who")
	o.Container.Root, o.Items = root, r.items
	if _, _, err := r.run(o); err == nil || !strings.Contains(err.Error(), "at most 500") {
		t.Errorf("without views: %v", err)
	}
	o.Hierarchy = Hierarchy{Usr: UsrOverlay, View: r.views()}
	if _, _, err := r.run(o); err == nil || !strings.Contains(err.Error(), "--usr=view") {
		t.Errorf("with an overlay alone: %v", err)
	}
	o.Hierarchy.Usr = UsrAuto
	if out := r.script(o); out != "510\na\n" || strings.Contains(r.said(), "warning") {
		t.Errorf("got %q\n%s", out, r.said())
	}
}

// Where the kernel refuses an overlay, a view takes its place, and one message
// says so.
func TestHierarchyFallsBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP-ENV: only root can mount on the host")
	}
	r := newRig(t, nil)
	root := r.packages()
	// An overlay may lie on an overlay, but no third one on both.
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Skip("SKIP-ENV: cannot mount on the host: " + err.Error())
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	lower := r.dir
	for _, name := range []string{"one", "two"} {
		at := filepath.Join(dir, name)
		for _, sub := range []string{"", "/up", "/work", "/merged"} {
			if err := os.Mkdir(at+sub, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		err := unix.Mount("overlay", at+"/merged", "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/up,workdir=%s/work", lower, at, at))
		if err != nil {
			t.Skip("SKIP-ENV: cannot mount on the host: " + err.Error())
		}
		lower = at + "/merged"
		defer func() { _ = unix.Unmount(at+"/merged", unix.MNT_DETACH) }()
		for i := range r.items {
			r.items[i].Physical = filepath.Join(lower, "store", filepath.Base(r.items[i].Physical))
		}
		if name == "two" {
			break
		}
		// On the first one the kernel cannot map owners, but merge.
		o := r.options("cat /usr/share/who /opt/a/file; stat -c %u /usr/share/who")
		o.Container.Root, o.Items = root, r.items
		if out := r.script(o); out != "a\nopt a\n65534\n" || !strings.Contains(r.said(), "cannot map owners") {
			t.Errorf("on an overlay: got %q\n%s", out, r.said())
		}
	}
	s, err := store.Open(lower, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	calls, views := 0, view.Func(s)
	h := Hierarchy{View: func(ctx context.Context, lowers []spec.Lower) (string, func(), error) {
		calls++
		return views(ctx, lowers)
	}}
	o := r.options("cat /usr/share/who /opt/a/file")
	o.Container.Root, o.Items, o.Hierarchy = root, r.items, h
	if out := r.script(o); out != "a\nopt a\n" || calls != 2 {
		t.Errorf("got %q after %d views", out, calls)
	}
	if n := strings.Count(r.said(), "a view of hard links takes its place"); n != 1 {
		t.Errorf("said so %d times:\n%s", n, r.said())
	}
	o.Hierarchy.Usr = UsrOverlay
	if _, _, err := r.run(o); err == nil || !strings.Contains(err.Error(), "cannot merge 4 trees at /usr") {
		t.Errorf("with an overlay alone: %v", err)
	}
	b := r.build("cat /usr/share/who; cat /opt/b/file")
	b.Root, b.Items = &root, r.items
	var log bytes.Buffer
	if exit, err := (Sandbox{Hierarchy: h}).Run(t.Context(), b, &log); err != nil || exit.Status() != 0 || !strings.HasSuffix(log.String(), "\na\nopt b\n") {
		t.Errorf("%+v, %v, %s", exit, err, log.String())
	}
}
