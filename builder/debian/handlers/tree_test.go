// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"osbuild/runner/spec"
)

// differences are the paths that may differ from a tree in which the scripts
// were run, and why.
var differences = []struct{ why, paths string }{
	{"made at activation", `^/etc/(passwd|group|shadow|gshadow|subuid|subgid|passwd-|group-|shadow-|gshadow-|\.pwd\.lock|hosts|hostname|resolv\.conf|machine-id|mtab|fstab)$`},
	{"of who made the tree", `^/etc/apt/(sources\.list|sources\.list\.d|preferences\.d|apt\.conf\.d/.*)$|^/var/(lib|cache)/apt(/.*)?$|^/var/log/(apt|dpkg|alternatives|bootstrap).*$`},
	{"folders of the root itself, and links of a merged one", `^/[^/]*$`},
	{"what is never part of a system: keys, data", `^/etc/ssl/.*snakeoil.*$|^/etc/ssl/certs/[0-9a-f]{8}\.[0-9]$|^/etc/ssh/ssh_host_.*$|^/(etc|var/lib|var/log)/postgresql/.*$|^/var/lib/systemd/(random-seed|catalog).*$`},
	{"links by which other programs start services", `^/etc/rc[0-9S]\.d/.*$|^/etc/systemd/.*$|^/var/lib/systemd/deb-systemd-.*$`},
	{"compiled Python", `__pycache__|\.pyc$`},
	{"what dpkg and its helpers remember", `^/var/lib/(dpkg|ucf|pam)/.*$|^/var/lib/shells\.state$|^/var/cache/(debconf|ldconfig)/.*$`},
	{"lists with words of their own at the top", `^/etc/(ca-certificates\.conf|locale\.gen|default/locale)$`},
	{"it says who made it", `^/etc/ld\.so\.cache$`},
}

// TestTree compares the root of packages with a tree in which their scripts
// were run: OSBUILD_TEST_TREE names one, for example made by
//
//	mmdebstrap --variant=essential --include=nginx-light,postgresql-15 SUITE TREE
func TestTree(t *testing.T) {
	tree := os.Getenv("OSBUILD_TEST_TREE")
	if tree == "" {
		t.Skip("SKIP-ENV: OSBUILD_TEST_TREE names no tree of a Debian system")
	}
	status, err := os.ReadFile(filepath.Join(tree, "var/lib/dpkg/status"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, line := range lines(string(status)) {
		if name, ok := strings.CutPrefix(line, "Package: "); ok {
			names = append(names, name)
		}
	}
	pkgs := download(t, names)
	_, out := live(t, pkgs)
	got, want := described(t, out, pkgs), existing(t, tree)
	var allowed []*regexp.Regexp
	for _, d := range differences {
		allowed = append(allowed, regexp.MustCompile(d.paths))
	}
	t.Logf("%d paths, and %d of the tree", len(got), len(want))
	paths := map[string]bool{}
	for p := range got {
		paths[p] = true
	}
	for p := range want {
		paths[p] = true
	}
	for _, p := range sorted(paths) {
		if got[p] == want[p] || slices.ContainsFunc(allowed, func(re *regexp.Regexp) bool { return re.MatchString(p) }) {
			continue
		}
		t.Errorf("%s: %q, want %q", p, got[p], want[p])
	}
}

// described are all paths of a root that was made, with what they are.
func described(t *testing.T, out string, pkgs []*pkg) map[string]string {
	var root spec.Root
	data, err := os.ReadFile(filepath.Join(out, spec.PackagesRoot))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	owners := map[string]spec.Owner{}
	for _, o := range root.Owners {
		owners[o.Path] = o
	}
	all := map[string]string{}
	add := func(dir, to string) {
		walk(t, dir, func(rel string, info fs.FileInfo, text string) {
			p := filepath.Join(to, rel)
			if all[p] != "" {
				return
			}
			mode := uint32(0o644)
			if info.IsDir() || info.Mode()&0o111 != 0 {
				mode = 0o755
			}
			o := owners[p]
			if o.Path == "" {
				o.Mode = mode
			}
			all[p] = line(info, o.User, o.Group, o.Mode, text)
		})
	}
	for _, tr := range root.Trees {
		for _, o := range tr.Owners {
			owners[o.Path] = o
		}
		add(filepath.Join(out, tr.To), tr.To)
	}
	for _, l := range root.Usr {
		dir := out
		for _, p := range pkgs {
			if p.Item == l.Item {
				dir = p.Dir
			}
		}
		add(filepath.Join(dir, l.Sub), "/usr")
	}
	return all
}

// existing are all paths of a tree on the disk.
func existing(t *testing.T, tree string) map[string]string {
	users, groups := ids(t, filepath.Join(tree, "etc/passwd")), ids(t, filepath.Join(tree, "etc/group"))
	all := map[string]string{}
	for _, top := range []string{"etc", "usr", "var", "opt", "srv", "root"} {
		walk(t, filepath.Join(tree, top), func(rel string, info fs.FileInfo, text string) {
			s := info.Sys().(*syscall.Stat_t)
			all[filepath.Join("/", top, rel)] = line(info, users[s.Uid], groups[s.Gid], s.Mode&0o7777, text)
		})
	}
	return all
}

// ids are the names of a file of accounts by their id.
func ids(t *testing.T, file string) map[uint32]string {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[uint32]string{}
	for _, l := range lines(string(data)) {
		f := strings.Split(l, ":")
		id, err := strconv.Atoi(f[2])
		if err != nil {
			t.Fatal(err)
		}
		out[uint32(id)] = f[0]
	}
	return out
}

func walk(t *testing.T, dir string, visit func(rel string, info fs.FileInfo, text string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := ""
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			text, err = os.Readlink(file)
		case e.Type().IsRegular() && (info.Size() < 1<<16 || strings.HasPrefix(dir, "/etc")):
			var data []byte
			data, err = os.ReadFile(file)
			text = string(data)
		}
		visit(rel, info, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// line says what a path is: the bytes of a file only by their length, and by
// themselves where they are few.
func line(info fs.FileInfo, user, group string, mode uint32, text string) string {
	if info.Mode()&fs.ModeSymlink != 0 {
		return "-> " + text
	}
	for _, n := range []*string{&user, &group} {
		if *n == "" {
			*n = "root"
		}
	}
	if info.IsDir() {
		return fmt.Sprintf("folder %s:%s %04o", user, group, mode)
	}
	if len(text) > 2000 {
		text = fmt.Sprintf("%x", len(text))
	}
	return fmt.Sprintf("file %s:%s %04o %s", user, group, mode, text)
}
