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
	"sync"
	"testing"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/lock"
)

// paritySets are names that people install together, and what apt-get makes
// of them is what they expect. why explains a set in which we and apt-get
// differ; it is empty for the others.
var paritySets = []struct{ roots, why string }{
	{roots: "nginx-light"},
	{roots: "nginx-full"},
	{roots: "nginx-extras"},
	{roots: "apache2"},
	{roots: "apache2 libapache2-mod-php8.2 php-mysql"},
	{roots: "lighttpd"},
	{roots: "haproxy"},
	{roots: "varnish"},
	{roots: "squid"},
	{roots: "postgresql-15"},
	{roots: "postgresql-15 postgresql-15-ip4r"},
	{roots: "postgresql"},
	{roots: "pgbouncer"},
	{roots: "mariadb-server"},
	{roots: "mariadb-client nginx-light"},
	{roots: "redis-server"},
	{roots: "memcached"},
	{roots: "rabbitmq-server"},
	{roots: "openssh-server"},
	{roots: "openssh-client rsync"},
	{roots: "samba"},
	{roots: "nfs-kernel-server"},
	{roots: "docker.io"},
	{roots: "podman"},
	{roots: "buildah skopeo"},
	{roots: "bind9"},
	{roots: "unbound"},
	{roots: "dnsmasq"},
	{roots: "isc-dhcp-server"},
	{roots: "chrony"},
	{roots: "postfix"},
	{roots: "exim4"},
	{roots: "dovecot-imapd postfix"},
	{roots: "slapd"},
	{roots: "openvpn"},
	{roots: "wireguard-tools"},
	{roots: "strongswan"},
	{roots: "python3"},
	{roots: "python3-minimal"},
	{roots: "python3-django gunicorn"},
	{roots: "python3-numpy python3-venv"},
	{roots: "perl"},
	{roots: "ruby"},
	{roots: "nodejs npm"},
	{roots: "php-fpm"},
	{roots: "openjdk-17-jre-headless"},
	{roots: "default-jdk-headless maven"},
	{roots: "golang-go"},
	{roots: "rustc cargo"},
	{roots: "gcc"},
	{roots: "build-essential"},
	{roots: "git"},
	{roots: "curl"},
	{roots: "curl wget ca-certificates"},
	{roots: "bash coreutils"},
	{roots: "bash coreutils findutils gawk grep sed tar"},
	{roots: "vim"},
	{roots: "emacs-nox"},
	{roots: "tmux htop"},
	{roots: "systemd"},
	{roots: "cron rsyslog logrotate"},
	{roots: "fail2ban"},
	{roots: "prometheus"},
	{roots: "grafana-agent prometheus-node-exporter"},
	{roots: "cups"},
	{roots: "ffmpeg"},
	{roots: "imagemagick"},
	{roots: "qemu-system-x86"},
	{roots: "nginx-light postgresql-15 redis-server openssh-server podman curl git python3"},
	{roots: "x11proto-core-dev"},
	{roots: "libreoffice-writer-nogui"},
	{roots: "tomcat10"},
}

// TestParity compares what we choose with what apt-get chooses in an empty
// system from the same indexes: the lists of the machine that runs the test.
func TestParity(t *testing.T) {
	h := newAptHost(t)
	ix := NewIndex(h.arch, h.packages)
	sets := paritySets
	if testing.Short() {
		sets = sets[:8]
	}
	same := 0
	var mu sync.Mutex
	running := make(chan bool, 2)
	t.Run("sets", func(t *testing.T) {
		for _, set := range sets {
			t.Run(set.roots, func(t *testing.T) {
				t.Parallel()
				roots := strings.Fields(set.roots)
				slices.Sort(roots)
				l, err := Resolve(ix, Request{Roots: roots})
				running <- true
				want, bad := h.choose(roots)
				<-running
				if bad != nil && err != nil {
					t.Skipf("both refuse: %v; %v", err, bad)
				}
				if err != nil || bad != nil {
					t.Fatalf("ours: %v; apt-get: %v", err, bad)
				}
				diff := compareChoices(l, want)
				if diff == "" {
					mu.Lock()
					same++
					mu.Unlock()
				}
				if diff != "" && set.why == "" {
					t.Errorf("apt-get chooses otherwise:\n%s", diff)
				}
				if diff == "" && set.why != "" {
					t.Logf("no difference any more from: %s", set.why)
				}
			})
		}
	})
	t.Logf("%d of %d sets are the same", same, len(sets))
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
