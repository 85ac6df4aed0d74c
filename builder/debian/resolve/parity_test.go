// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/lock"
)

// paritySets are names that people install together, and some whose
// dependencies have many alternatives.
var paritySets = []string{
	"nginx-light",
	"nginx-full",
	"nginx-extras",
	"apache2",
	"apache2 libapache2-mod-php8.2 php-mysql",
	"lighttpd",
	"haproxy",
	"varnish",
	"squid",
	"postgresql-15",
	"postgresql-15 postgresql-15-ip4r",
	"postgresql",
	"pgbouncer",
	"mariadb-server",
	"mariadb-client nginx-light",
	"redis-server",
	"memcached",
	"rabbitmq-server",
	"openssh-server",
	"openssh-client rsync",
	"samba",
	"nfs-kernel-server",
	"docker.io",
	"podman",
	"buildah skopeo",
	"bind9",
	"unbound",
	"dnsmasq",
	"isc-dhcp-server",
	"chrony",
	"postfix",
	"exim4",
	"dovecot-imapd postfix",
	"slapd",
	"openvpn",
	"wireguard-tools",
	"strongswan",
	"python3",
	"python3-minimal",
	"python3-django gunicorn",
	"python3-numpy python3-venv",
	"perl",
	"ruby",
	"nodejs npm",
	"php-fpm",
	"openjdk-17-jre-headless",
	"default-jdk-headless maven",
	"golang-go",
	"rustc cargo",
	"gcc",
	"build-essential",
	"git",
	"curl",
	"curl wget ca-certificates",
	"bash coreutils",
	"bash coreutils findutils gawk grep sed tar",
	"vim",
	"emacs-nox",
	"tmux htop",
	"systemd",
	"cron rsyslog logrotate",
	"fail2ban",
	"prometheus",
	"cups",
	"ffmpeg",
	"imagemagick",
	"qemu-system-x86",
	"nginx-light postgresql-15 redis-server openssh-server podman curl git python3",
	"x11proto-core-dev",
	"libreoffice-writer-nogui",
	"tomcat10",
	"gimp",
	"python3-django-crispy-forms",
	"remind-tools libjson-webtoken-perl",
	"r-cran-dynlm",
	"prometheus-node-exporter prometheus-alertmanager",
}

// parityDiffers are sets in which we differ, with the reason. There is one:
// where several packages of the same priority provide a name, and none of them
// is named, apt-get takes that which its cache met last while it read the
// indexes, in whatever field it stood there. We take the first by name, which
// stays the same when an index is made anew.
var parityDiffers = map[string]string{
	"php8.2-amqp": "phpapi-20220829: the Apache module before the debugger",
	"cream":       "gvim: vim-gtk3 before vim-motif",
	"sa-exim":     "exim4-localscanapi-6.0: exim4-daemon-heavy before exim4-daemon-light",
}

// parityFull are sets that are chosen together with all essential packages.
var parityFull = []string{"", "nginx-light", "podman openssh-server", "postgresql-15 postgresql-15-ip4r"}

// TestParity compares what we choose with what apt-get chooses in an empty
// system from the same indexes: the lists of the machine that runs the test.
func TestParity(t *testing.T) {
	h := newAptHost(t)
	ix := NewIndex(h.arch, h.packages)
	sets, full := paritySets, parityFull
	if testing.Short() {
		sets, full = sets[:8], full[:2]
	}
	two := make(chan bool, 2) // apt-gets at a time
	compare := func(essential, names string) {
		t.Run(essential+" "+names, func(t *testing.T) {
			t.Parallel()
			two <- true
			defer func() { <-two }()
			roots := strings.Fields(names)
			l, err := Resolve(ix, Request{Roots: roots, Essential: essential})
			if essential == lock.EssentialFull {
				roots = append(roots, ix.essential...)
			}
			slices.Sort(roots)
			want, bad := h.choose(roots)
			if bad != nil && err != nil {
				t.Skipf("SKIP-ENV: not in this machine's lists: %v", err)
			}
			if err != nil || bad != nil {
				t.Fatalf("ours: %v; apt-get: %v", err, bad)
			}
			diff, why := compareChoices(l, want), parityDiffers[names]
			switch {
			case diff != "" && why == "":
				t.Errorf("apt-get chooses otherwise:\n%s", diff)
			case diff != "":
				t.Logf("apt-get chooses otherwise, as we know (%s):\n%s", why, diff)
			}
		})
	}
	for _, set := range sets {
		compare(lock.EssentialNone, set)
	}
	for _, set := range full {
		compare(lock.EssentialFull, set)
	}
	for set := range parityDiffers {
		compare(lock.EssentialNone, set)
	}
}

func compareChoices(l *lock.Lock, want []string) string {
	var ours []string
	for _, p := range l.Packages {
		ours = append(ours, p.Name+" "+p.Version)
	}
	var diff strings.Builder
	for _, p := range ours {
		if !slices.Contains(want, p) {
			fmt.Fprintf(&diff, "  only we:      %s\n", p)
		}
	}
	for _, p := range want {
		if !slices.Contains(ours, p) {
			fmt.Fprintf(&diff, "  only apt-get: %s\n", p)
		}
	}
	return diff.String()
}

// aptHost is the package lists of this machine.
type aptHost struct {
	arch     string
	packages []*control.Package
	options  []string // that give apt-get an empty system and these lists
}

func newAptHost(t *testing.T) *aptHost {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("SKIP-ENV: no apt-get")
	}
	const helper = "/usr/lib/apt/apt-helper"
	if _, err := os.Stat(helper); err != nil {
		t.Skip("SKIP-ENV: no apt-helper")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.Bytes())
		}
		return string(out)
	}
	h := &aptHost{arch: strings.TrimSpace(run("dpkg", "--print-architecture"))}
	targets := run("apt-get", "indextargets", "--format", "$(ARCHITECTURE) $(SUITE) $(FILENAME)", "Created-By: Packages")
	lists := filepath.Join(dir, "lists")
	for _, d := range []string{lists + "/partial", dir + "/cache/archives/partial"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Apt seeks in its lists for each package it tells of, which is slow in
	// compressed ones.
	for line := range strings.Lines(targets) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		if _, err := os.Stat(f[2]); err != nil {
			t.Skipf("SKIP-ENV: the lists are not there (apt-get update): %v", err)
		}
		text := run(helper, "cat-file", f[2])
		name := strings.TrimSuffix(filepath.Base(f[2]), filepath.Ext(f[2]))
		if !strings.HasSuffix(name, "_Packages") {
			name = filepath.Base(f[2])
		}
		if err := os.WriteFile(filepath.Join(lists, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if f[0] != h.arch && f[0] != "all" {
			continue
		}
		if err := control.ReadPackages(strings.NewReader(text), f[1], func(p *control.Package) error {
			h.packages = append(h.packages, p)
			return nil
		}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if len(h.packages) == 0 {
		t.Skip("SKIP-ENV: apt has no lists; run apt-get update")
	}
	releases, _ := filepath.Glob("/var/lib/apt/lists/*Release*")
	for _, file := range releases {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Skipf("SKIP-ENV: %v", err)
		}
		if err := os.WriteFile(filepath.Join(lists, filepath.Base(file)), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	status := filepath.Join(dir, "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, o := range []string{
		"Dir::State::status=" + status, "Dir::State::extended_states=" + dir + "/extended", "Dir::State::lists=" + lists,
		"Dir::Cache=" + dir + "/cache", "Dir::Cache::archives=" + dir + "/cache/archives",
		"Dir::Cache::pkgcache=" + dir + "/cache/pkgcache.bin", "Dir::Cache::srcpkgcache=" + dir + "/cache/srcpkgcache.bin",
		"Debug::NoLocking=1", "APT::Install-Recommends=0", "APT::Architecture=" + h.arch, "APT::Architectures=" + h.arch,
		"APT::Solver=internal",
	} {
		h.options = append(h.options, "-o", o)
	}
	// One run makes the cache that the others share, and shows that the list
	// of files, which is quicker, is what the simulation installs.
	files, err := h.choose([]string{"base-passwd", "debconf"})
	if err != nil {
		t.Skipf("SKIP-ENV: apt-get does not choose: %v", err)
	}
	var simulated []string
	for line := range strings.Lines(run("apt-get", append(h.options, "-s", "-y", "install", "base-passwd", "debconf")...)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "Inst" {
			simulated = append(simulated, f[1]+" "+strings.TrimPrefix(f[2], "("))
		}
	}
	slices.Sort(simulated)
	if !slices.Equal(files, simulated) {
		t.Fatalf("apt-get lists %q and installs %q", files, simulated)
	}
	return h
}

// choose is what apt-get would install, as sorted "name version".
func (h *aptHost) choose(roots []string) ([]string, error) {
	args := append(slices.Clone(h.options), "--print-uris", "-y", "install", "--no-install-recommends")
	cmd := exec.CommandContext(context.Background(), "apt-get", append(args, roots...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var chosen []string
	for line := range strings.Lines(string(out)) {
		// 'uri' name_version_arch.deb size hash
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasPrefix(f[0], "'") {
			continue
		}
		parts := strings.Split(strings.TrimSuffix(path.Base(f[1]), ".deb"), "_")
		if len(parts) != 3 {
			return nil, fmt.Errorf("cannot read the line %q", line)
		}
		version, err := url.PathUnescape(parts[1])
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, parts[0]+" "+version)
	}
	slices.Sort(chosen)
	return chosen, nil
}
