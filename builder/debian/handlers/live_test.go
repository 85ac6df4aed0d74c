// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/debian/deb"
	"osbuild/builder/debian/rootfs"
)

// closure is what apt-get would install for these names on an empty system.
func closure(t testing.TB, names ...string) []string {
	t.Helper()
	status := filepath.Join(t.TempDir(), "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-s", "-q", "-o", "Dir::State::status=" + status, "--no-install-recommends", "install"}, names...)
	out, err := exec.CommandContext(t.Context(), "apt-get", args...).Output()
	if err != nil {
		t.Skipf("SKIP-ENV: apt-get cannot choose packages: %v", err)
	}
	var list []string
	for _, line := range lines(string(out)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Inst" {
			list = append(list, f[1])
		}
	}
	if len(list) == 0 {
		t.Skip("SKIP-ENV: apt-get chooses nothing")
	}
	return list
}

// download gets packages, and their items. OSBUILD_TEST_DEBS names a folder
// that may have them already.
func download(t testing.TB, names []string) []*pkg {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{}
	if have := os.Getenv("OSBUILD_TEST_DEBS"); have != "" {
		list, err := filepath.Glob(filepath.Join(have, "*.deb"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range list {
			name, _, _ := strings.Cut(filepath.Base(file), "_")
			files[name] = file
		}
	}
	var missing []string
	for _, name := range names {
		if files[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		cmd := exec.CommandContext(t.Context(), "apt-get", append([]string{"-q", "-o", "Acquire::Retries=1", "download"}, missing...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("SKIP-ENV: cannot get packages: %v: %.300s", err, out)
		}
		for _, name := range missing {
			if list, err := filepath.Glob(filepath.Join(dir, name+"_*.deb")); err == nil && len(list) == 1 {
				files[name] = list[0]
			}
		}
	}
	var pkgs []*pkg
	for _, name := range names {
		f, err := os.Open(files[name])
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		item := filepath.Join(dir, name)
		meta, err := deb.Unpack(t.Context(), f, info.Size(), item)
		if err != nil {
			t.Fatal(name, err)
		}
		f.Close()
		pkgs = append(pkgs, &pkg{Package: &rootfs.Package{Name: name, Version: meta.Version, Item: "/osbuild/store/" + name, Dir: item}})
	}
	return pkgs
}

// live makes the root of real packages, and gives where it lies.
func live(t testing.TB, pkgs []*pkg) (*root, string) {
	t.Helper()
	r, err := compose(t.Context(), pkgs)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := r.writeItem(out, "/osbuild/store/self", r.warn(nil)); err != nil {
		t.Fatal(err)
	}
	return r, out
}

// TestLive makes the root of nginx-light: no command of a script is left, a
// log has its owner, and ldconfig finds the libraries in the cache.
func TestLive(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP-ENV: -short downloads no packages")
	}
	pkgs := download(t, closure(t, "nginx-light", "libc-bin"))
	r, out := live(t, pkgs)
	for _, p := range r.pkgs {
		if len(p.left) > 0 {
			t.Errorf("%s: %q is left", p.Name, p.left)
		}
	}
	plan, err := os.ReadFile(filepath.Join(out, "activate.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(plan), `"path": "/var/log/nginx/access.log",
            "user": "www-data",
            "group": "adm",
            "mode": 416`) {
		t.Errorf("the log has no owner:\n%s", plan)
	}
	if target, err := os.Readlink(filepath.Join(out, "etc/nginx/sites-enabled/default")); target != "/etc/nginx/sites-available/default" {
		t.Errorf("the site is not enabled: %q, %v", target, err)
	}
	ldconfig, err := exec.LookPath("/usr/sbin/ldconfig")
	if err != nil {
		t.Skip("SKIP-ENV: there is no ldconfig")
	}
	text, err := exec.Command(ldconfig, "-p", "-C", filepath.Join(out, "etc/ld.so.cache")).CombinedOutput()
	if err != nil || !strings.Contains(string(text), "libc.so.6 (libc6") || !strings.Contains(string(text), "libcrypt.so.1 (libc6") {
		t.Errorf("the cache: %v\n%s", err, text)
	}
}

// TestLiveWarnings are the commands that scripts of well-known packages run
// and that nothing does.
func TestLiveWarnings(t *testing.T) {
	if os.Getenv("OSBUILD_TEST_DEBS") == "" {
		t.Skip("SKIP-ENV: OSBUILD_TEST_DEBS names no folder for many packages")
	}
	pkgs := download(t, closure(
		t, "nginx-light", "python3", "python3-minimal", "postgresql-15", "postgresql-15-ip4r", "bash", "coreutils", "curl",
		"ca-certificates", "login", "passwd", "sudo", "openssl", "redis-server", "dash", "base-files", "base-passwd",
	))
	r, _ := live(t, pkgs)
	var got []string
	for _, w := range r.warn(nil) {
		if strings.HasPrefix(w, "package ") {
			got = append(got, w)
		}
	}
	want := []string{
		"package postgresql-15: its scripts also run: pg_createcluster (data of its own)",
		"package ssl-cert: its scripts also run: make-ssl-cert (a key of its own)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// BenchmarkRoot makes the root of Debian's essential packages and nginx-light.
func BenchmarkRoot(b *testing.B) {
	if os.Getenv("OSBUILD_TEST_DEBS") == "" {
		b.Skip("SKIP-ENV: OSBUILD_TEST_DEBS names no folder with packages")
	}
	pkgs := download(b, closure(b, "nginx-light", "base-files", "base-passwd", "bash", "bsdutils", "coreutils", "dash", "debianutils", "diffutils",
		"dpkg", "findutils", "grep", "gzip", "hostname", "init-system-helpers", "libc-bin", "login", "ncurses-base", "ncurses-bin",
		"perl-base", "sed", "sysvinit-utils", "tar", "util-linux"))
	for b.Loop() {
		var again []*pkg
		for _, p := range pkgs {
			again = append(again, &pkg{Package: &rootfs.Package{Name: p.Name, Version: p.Version, Item: p.Item, Dir: p.Dir}})
		}
		live(b, again)
	}
	b.ReportMetric(float64(len(pkgs)), "packages")
}
