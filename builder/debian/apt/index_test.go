// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/debian/apt/apttest"
)

// read opens the host of an archive and lists "name version suite" of what its
// indexes have.
func read(t *testing.T, cfg Config, o IndexOptions) ([]string, *Snapshot, error) {
	t.Helper()
	t.Setenv("http_proxy", "")
	h, err := Open(context.Background(), cfg)
	if err != nil {
		return nil, nil, err
	}
	h.pause = func(context.Context, time.Duration) error { return nil }
	s, err := h.Indexes(context.Background(), withArch(o))
	if err != nil {
		return nil, nil, err
	}
	var got []string
	for _, p := range s.Packages {
		got = append(got, p.Name+" "+string(p.Version)+" "+p.Suite)
	}
	return got, s, nil
}

// mustRead is read without an error.
func mustRead(t *testing.T, cfg Config, want ...string) *Snapshot {
	t.Helper()
	got, s, err := read(t, cfg, IndexOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	return s
}

// source replaces the sources of an archive's host.
func source(t *testing.T, r *apttest.Repo, name, text string) {
	t.Helper()
	dir := filepath.Join(r.Root(), "etc/apt/sources.list.d")
	err := os.Remove(filepath.Join(dir, "test.sources"))
	if err == nil || os.IsNotExist(err) {
		err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestForms reads archives that offer their files in fewer ways.
func TestForms(t *testing.T) {
	byHash := indexDir + "by-hash"
	tests := []struct {
		summary string
		change  func(t *testing.T, r *apttest.Repo)
		asked   []string // behind dists/stable, over HTTP; the hash of by-hash left out
	}{
		{"all forms", func(*testing.T, *apttest.Repo) {}, []string{"InRelease", "by-hash"}},
		{"xz only", func(_ *testing.T, r *apttest.Repo) { r.Packings = []string{".xz"}; r.Publish() }, []string{"InRelease", "by-hash"}},
		{"plain only", func(_ *testing.T, r *apttest.Repo) { r.Packings = []string{""}; r.Publish() }, []string{"InRelease", "by-hash"}},
		{"by name", func(t *testing.T, r *apttest.Repo) { remove(t, r, byHash) }, []string{"InRelease", "by-hash", "Packages.gz"}},
		{"by name, as the source says", func(_ *testing.T, r *apttest.Repo) { r.Options = "By-Hash: no\n"; r.Publish() }, []string{"InRelease", "Packages.gz"}},
		{"by name, as the release file says", func(_ *testing.T, r *apttest.Repo) {
			r.Edit = func(s string) string { return strings.Replace(s, "By-Hash: yes", "By-Hash: no", 1) }
			r.Publish()
		}, []string{"InRelease", "Packages.gz"}},
		{"listed, but not offered", func(t *testing.T, r *apttest.Repo) {
			remove(t, r, byHash, indexDir+"Packages.gz")
		}, []string{"InRelease", "by-hash", "Packages.gz", "by-hash", "Packages.xz"}},
		{"the plain one is not listed", func(_ *testing.T, r *apttest.Repo) {
			r.Edit = func(s string) string {
				lines := strings.SplitAfter(s, "\n")
				return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasSuffix(l, "/Packages\n") }), "")
			}
			r.Publish()
		}, []string{"InRelease", "by-hash"}},
		{"a signature beside the release file", func(t *testing.T, r *apttest.Repo) { remove(t, r, inRelease) }, []string{"InRelease", "Release", "Release.gpg", "by-hash"}},
		{"another place of the release file", func(t *testing.T, r *apttest.Repo) {
			r.Options = "InRelease-Path: x/y\n"
			r.Publish()
			data, _ := os.ReadFile(r.Path(inRelease))
			r.Write("dists/stable/x/y", data)
			remove(t, r, inRelease)
		}, []string{"y", "by-hash"}},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			r := published(t)
			test.change(t, r)
			s := serve(t, http.FileServer(http.Dir(r.Dir())).ServeHTTP)
			source(t, r, "test.sources", strings.Replace(r.Source(), "file:"+r.Dir(), s.URL, 1))
			cfg := Config{Root: r.Root(), Cache: t.TempDir()}
			first := mustRead(t, cfg, "hello 1.0-1 stable")
			var asked []string
			for _, a := range s.asked {
				if strings.Contains(a, "by-hash") {
					a = "by-hash"
				}
				asked = append(asked, path.Base(a))
			}
			if d := cmp.Diff(test.asked, asked); d != "" {
				t.Error(d)
			}
			// The second time only the release file is asked for.
			s.asked = nil
			second := mustRead(t, cfg, "hello 1.0-1 stable")
			if n := len(s.asked); n > 2 || !strings.HasSuffix(s.asked[n-1], "elease") && !strings.HasSuffix(s.asked[n-1], "/y") {
				t.Errorf("asked again: %q", s.asked)
			}
			if d := cmp.Diff(first.Suites, second.Suites); d != "" {
				t.Error(d)
			}
			s.Close()
			cfg.Offline = true
			mustRead(t, cfg, "hello 1.0-1 stable")
		})
	}
}

// TestCache follows one archive through its changes.
func TestCache(t *testing.T) {
	r := apttest.New(t)
	r.OverHTTP = true
	r.AddStanza("Package: a\nVersion: 1\nArchitecture: amd64")
	r.Publish()
	cfg := Config{Root: r.Root(), Cache: filepath.Join(t.TempDir(), "deep/cache")}

	offline := cfg
	offline.Offline = true
	_, _, err := read(t, offline, IndexOptions{})
	if !errors.Is(err, ErrOffline) || !matches(err, `^cannot read the index of http://.* stable: the network is switched off \(--offline\), and the indexes were not read before`) {
		t.Fatalf("the error is %v", err)
	}
	first := mustRead(t, cfg, "a 1 stable")
	if s := first.Suites[0]; s.Name != "stable" || s.Signer != r.Key.Fingerprint() || s.Date != r.Date.UTC().Format(time.RFC3339) || len(s.InReleaseSHA256) != 64 {
		t.Errorf("the suite is %+v", s)
	}

	// The archive moves on; who does not ask sees the old state.
	old, _ := os.ReadFile(r.Path(inRelease))
	r.AddStanza("Package: b\nVersion: 2\nArchitecture: all")
	r.AddStanza("Package: c\nVersion: 3\nArchitecture: arm64")
	r.Publish()
	mustRead(t, offline, "a 1 stable")
	mustRead(t, cfg, "a 1 stable", "b 2 stable")

	// A mirror that lags behind does not take us back.
	var warnings []string
	behind := cfg
	behind.Warn = func(s string) { warnings = append(warnings, s) }
	write(t, r.Path(inRelease), old)
	mustRead(t, behind, "a 1 stable", "b 2 stable")
	if len(warnings) != 1 || !strings.Contains(warnings[0], "which is older than what is known") {
		t.Errorf("warned: %q", warnings)
	}
	r.Publish()

	// A spoiled cache is made anew.
	for _, spoil := range []string{"index", "release"} {
		for _, file := range files(t, filepath.Join(cfg.Cache, spoil)) {
			data, _ := os.ReadFile(file)
			data[len(data)/2] ^= 1
			write(t, file, data)
		}
		mustRead(t, cfg, "a 1 stable", "b 2 stable")
		mustRead(t, offline, "a 1 stable", "b 2 stable")
	}

	// What nobody used for long goes when something comes.
	index, _ := os.ReadDir(filepath.Join(cfg.Cache, "index"))
	long := time.Now().Add(-2 * keepUnused)
	for _, e := range index {
		if err := os.Chtimes(filepath.Join(cfg.Cache, "index", e.Name()), long, long); err != nil {
			t.Fatal(err)
		}
	}
	r.Remove("b")
	r.Publish()
	mustRead(t, cfg, "a 1 stable")
	if left, _ := os.ReadDir(filepath.Join(cfg.Cache, "index")); len(left) != 1 {
		t.Errorf("the cache holds %v", left)
	}

	// Another key: what is in the cache is not trusted either.
	r.Key = apttest.NewKey(t, time.Now().Add(-48*time.Hour))
	source(t, r, "test.sources", r.Source())
	if _, _, err := read(t, offline, IndexOptions{}); !errors.Is(err, ErrOffline) {
		t.Errorf("the error is %v", err)
	}

	// Nobody is there.
	source(t, r, "test.sources", strings.Replace(r.Source(), r.URL(), "http://127.0.0.1:1", 1))
	if _, _, err := read(t, cfg, IndexOptions{}); !errors.Is(err, ErrNetwork) || !matches(err, "without a network, --offline uses the indexes of the last time") {
		t.Errorf("the error is %v", err)
	}
}

// TestManyAtOnce shares a cache.
func TestManyAtOnce(t *testing.T) {
	r := published(t)
	cfg := Config{Root: r.Root(), Cache: t.TempDir()}
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			h, err := Open(context.Background(), cfg)
			if err == nil {
				_, err = h.Indexes(context.Background(), IndexOptions{Arch: "amd64"})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if left := files(t, cfg.Cache); len(left) != 2 {
		t.Errorf("the cache holds %v", left)
	}
}

// TestSuites reads several archives at once.
func TestSuites(t *testing.T) {
	a, b := published(t), apttest.New(t)
	b.Edit = func(s string) string { return strings.Replace(s, "Origin: Test", "Origin: Some Body", 1) }
	b.AddStanza("Package: other\nVersion: 1\nArchitecture: amd64")
	b.Publish()
	source(t, a, "a.sources", a.Source()+"\n"+b.Source()+"\n"+b.Source()+"\n"+strings.Replace(a.Source(), "file:", "copy:", 1))
	s := mustRead(t, Config{Root: a.Root()}, "hello 1.0-1 stable", "other 1 stable@Some-Body")
	var names []string
	for _, s := range s.Suites {
		names = append(names, s.Name)
	}
	if d := cmp.Diff([]string{"stable", "stable@Some-Body"}, names); d != "" {
		t.Error(d)
	}
	got, _, err := read(t, Config{Root: a.Root()}, IndexOptions{Suites: []string{"stable"}})
	if err != nil || len(got) != 2 {
		t.Errorf("got %v and %v", got, err)
	}
}

// TestRanks has suites whose packages are not taken by themselves.
func TestRanks(t *testing.T) {
	made := func(suite, fields string, packages ...string) *apttest.Repo {
		r := apttest.New(t)
		r.Suite = suite
		r.Edit = func(s string) string { return strings.Replace(s, "SHA256:", fields+"SHA256:", 1) }
		for _, p := range packages {
			name, version, _ := strings.Cut(p, " ")
			r.AddStanza("Package: " + name + "\nVersion: " + version + "\nArchitecture: amd64")
		}
		r.Publish()
		return r
	}
	usual := made("stable", "", "a 1")
	backports := made("backports", "NotAutomatic: yes\nButAutomaticUpgrades: yes\n", "a 2", "b 2")
	experimental := made("experimental", "NotAutomatic: yes\n", "a 3", "b 3", "c 3")
	source(t, usual, "all.sources", experimental.Source()+"\n"+backports.Source()+"\n"+usual.Source())
	mustRead(t, Config{Root: usual.Root()}, "c 3 experimental", "b 2 backports", "a 1 stable")
	got, _, err := read(t, Config{Root: usual.Root()}, IndexOptions{Suites: []string{"backports"}})
	if want := []string{"a 2 backports", "b 2 backports"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v and %v", got, err)
	}
}

// TestAllApart reads an archive with an index of its own for packages of all
// architectures.
func TestAllApart(t *testing.T) {
	r := apttest.New(t)
	r.Arch = "all"
	r.Edit = func(s string) string { return strings.Replace(s, "No-Support-for-Architecture-all: Packages\n", "", 1) }
	r.AddStanza("Package: a\nVersion: 1\nArchitecture: all")
	r.Publish()
	source(t, r, "a.sources", strings.Replace(r.Source(), "Architectures: all\n", "", 1))
	mustRead(t, Config{Root: r.Root(), Warn: func(s string) { t.Error("warned:", s) }}, "a 1 stable")
}

// TestNewer asks what there is now.
func TestNewer(t *testing.T) {
	r := apttest.New(t)
	for _, version := range []string{"1.9", "1.10", "1.2"} {
		r.AddStanza("Package: a\nVersion: " + version + "\nArchitecture: " + goArch())
	}
	r.Arch = goArch()
	r.Publish()
	h, err := Open(context.Background(), Config{Root: r.Root()})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{"a": {"1.10", "stable"}, "b": {}} {
		version, suite, err := h.Newer(context.Background(), name)
		if err != nil || version != want[0] || suite != want[1] {
			t.Errorf("of %s there is %s in %s, %v", name, version, suite, err)
		}
	}
}

// TestTrusted reads archives that nobody signed.
func TestTrusted(t *testing.T) {
	flat := func(t *testing.T, r *apttest.Repo) {
		data, _ := os.ReadFile(r.Path(indexDir + "Packages"))
		remove(t, r, "dists")
		r.Write("sub/Packages.gz", r.Pack(".gz", data))
	}
	tests := []struct {
		summary, line string
		change        func(t *testing.T, r *apttest.Repo)
		want          string
		err           string
	}{{
		summary: "not signed", line: "deb [trusted=yes] file:DIR stable main",
		change: func(t *testing.T, r *apttest.Repo) { remove(t, r, inRelease, "dists/stable/Release.gpg") }, want: "hello 1.0-1 stable",
	}, {
		summary: "signed by nobody we know", line: "deb [trusted=yes] file:DIR stable main",
		change: func(*testing.T, *apttest.Repo) {}, want: "hello 1.0-1 stable",
	}, {
		summary: "a folder with an index", line: "deb [trusted=yes] copy:DIR sub/", change: flat, want: "hello 1.0-1 sub/",
	}, {
		summary: "a folder with an index, not trusted", line: "deb copy:DIR sub/", change: flat, err: "holds no key",
	}, {
		summary: "not trusted whatever it says", line: "deb [trusted=no] file:DIR stable main",
		change: func(*testing.T, *apttest.Repo) {}, err: "says trusted=no",
	}, {
		summary: "no release file, and a key", line: "deb [signed-by=/key.gpg] copy:DIR sub/", change: flat, err: "there is no release file",
	}}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			r := published(t)
			test.change(t, r)
			write(t, filepath.Join(r.Root(), "key.gpg"), r.Key.Public())
			source(t, r, "a.list", strings.Replace(test.line, "DIR", r.Dir(), 1))
			var warnings []string
			cfg := Config{Root: r.Root(), Cache: t.TempDir(), Warn: func(s string) { warnings = append(warnings, s) }}
			if test.err != "" {
				if _, _, err := read(t, cfg, IndexOptions{}); !matches(err, test.err) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			s := mustRead(t, cfg, test.want)
			if s.Suites[0].Signer != "" || len(s.Suites[0].InReleaseSHA256) != 64 {
				t.Errorf("the suite is %+v", s.Suites[0])
			}
			if len(warnings) != 1 || !strings.Contains(warnings[0], "says trusted=yes") {
				t.Errorf("warned: %q", warnings)
			}
			h, _ := Open(context.Background(), cfg)
			p := s.Packages[0]
			var out strings.Builder
			if err := h.Fetch(context.Background(), File{Suite: p.Suite, Path: p.Filename, SHA256: p.SHA256, Size: p.Size}, &out); err != nil || out.String() != "the bytes of hello" {
				t.Errorf("got %q and %v", out.String(), err)
			}
		})
	}
}

// TestArchitectures asks for packages of another architecture.
func TestArchitectures(t *testing.T) {
	r := published(t)
	read := func(arch, options string) (int, []string, error) {
		var warnings []string
		source(t, r, "a.list", "deb [trusted=yes "+options+"] file:"+r.Dir()+" stable main")
		h, err := Open(context.Background(), Config{Root: r.Root(), Warn: func(s string) { warnings = append(warnings, s) }})
		if err != nil {
			t.Fatal(err)
		}
		s, err := h.Indexes(context.Background(), IndexOptions{Arch: arch})
		if err != nil {
			return 0, warnings, err
		}
		return len(s.Packages), warnings[1:], nil
	}
	if n, w, err := read("amd64", ""); n != 1 || len(w) > 0 || err != nil {
		t.Errorf("amd64: %d packages, %q, %v", n, w, err)
	}
	if n, w, err := read("riscv64", ""); n != 0 || len(w) != 1 || !strings.Contains(w[0], "has no packages for riscv64") || err != nil {
		t.Errorf("riscv64: %d packages, %q, %v", n, w, err)
	}
	if n, w, err := read("amd64", "arch=i386"); n != 0 || len(w) > 0 || err != nil {
		t.Errorf("restricted: %d packages, %q, %v", n, w, err)
	}
	if n, w, err := read("amd64", "arch-=amd64"); n != 0 || len(w) > 0 || err != nil {
		t.Errorf("taken away: %d packages, %q, %v", n, w, err)
	}
}

// TestExpiredAllTheSame follows a host that switches the check off.
func TestExpiredAllTheSame(t *testing.T) {
	r := apttest.New(t)
	r.AddStanza("Package: a\nVersion: 1\nArchitecture: amd64")
	r.ValidUntil = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	r.Publish()
	write(t, filepath.Join(r.Root(), "etc/apt/apt.conf.d/x"), []byte(`Acquire::Check-Valid-Until "false";`))
	var warnings []string
	mustRead(t, Config{Root: r.Root(), Warn: func(s string) { warnings = append(warnings, s) }}, "a 1 stable")
	want := "using indexes that have expired, as the host's apt configuration says Check-Valid-Until false: stable was good until 2020-01-02 03:04:05 UTC"
	if len(warnings) != 1 || warnings[0] != want {
		t.Errorf("warned: %q", warnings)
	}
}
