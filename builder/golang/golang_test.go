// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package golang

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// names is a hasher that hashes the name of a tree in place of its content.
type names struct{ seen []string }

func (n *names) HashTree(_ context.Context, src string, _ store.Filter) (store.Hash, int64, error) {
	n.seen = append(n.seen, src)
	return sha256.Sum256([]byte(src)), 1, nil
}

// plant makes files, and links of those whose content begins with ->.
func plant(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "->"); ok {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(content), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestHostToolchain(t *testing.T) {
	dir := t.TempDir()
	// As a distribution lays it out: parts of it lie elsewhere.
	plant(t, dir, map[string]string{
		"lib/go/VERSION": "go1.99.1\ntime x\n", "lib/go/bin/go": "#!", "lib/go/pkg/tool/linux/link": "",
		"lib/go/src": "->../../share/src", "share/src/runtime/x.go": "", "bin/go": "->../lib/go/bin/go",
	})
	t.Setenv("PATH", dir+"/bin")
	n := &names{}
	tc, err := HostToolchain(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if tc.Version != "go1.99.1" || tc.Root != dir+"/lib/go" {
		t.Errorf("toolchain %+v", tc)
	}
	if want := []string{dir + "/lib/go/bin", dir + "/lib/go/pkg/tool", dir + "/share/src"}; !slices.Equal(n.seen, want) {
		t.Errorf("hashed %v", n.seen)
	}
	for _, h := range tc.hosts() {
		if !strings.HasPrefix(h.Target, "/go/") || len(h.Hash) != 64 {
			t.Errorf("host tree %+v", h)
		}
	}
	// A wrapper is asked.
	plant(t, dir, map[string]string{"wrap/go": "#!/bin/sh\necho " + dir + "/lib/go\n"})
	t.Setenv("PATH", dir+"/wrap")
	if tc, err := HostToolchain(t.Context(), n); err != nil || tc.Root != dir+"/lib/go" {
		t.Errorf("behind a wrapper: %+v %v", tc, err)
	}
	plant(t, dir, map[string]string{"old/VERSION": "go1.19.8", "old/bin/go": "", "old/pkg/tool/x": "", "old/src/runtime/x": ""})
	t.Setenv("PATH", dir+"/old/bin")
	if _, err := HostToolchain(t.Context(), n); err == nil || !strings.Contains(err.Error(), "it is go1.19.8, and builds need go1.20") {
		t.Errorf("old toolchain: %v", err)
	}
	plant(t, dir, map[string]string{"liar/go": "#!/bin/sh\necho /nowhere\n"})
	t.Setenv("PATH", dir+"/liar")
	if _, err := HostToolchain(t.Context(), n); !errors.Is(err, ErrNoToolchain) || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("a command without a toolchain: %v", err)
	}
	t.Setenv("PATH", "/none")
	if _, err := HostToolchain(t.Context(), n); !errors.Is(err, ErrNoToolchain) || !strings.Contains(err.Error(), "PATH") {
		t.Errorf("no go: %v", err)
	}
}

func TestOld(t *testing.T) {
	for version, want := range map[string]bool{"go1.19": true, "go1.20": false, "go1.26.8": false, "devel go1.27-abc": false, "go2.1": false, "": false} {
		if old(version) != want {
			t.Errorf("%q: %v", version, !want)
		}
	}
}

func TestCompiled(t *testing.T) {
	for rel, want := range map[string]bool{
		"cmd": false, "net/http/server.go": true, "net/http/server_test.go": false, "net/testdata": false,
		"net/http/cmd": true, "vendor/modules.txt": true, "internal/testenv": true,
	} {
		if compiled(rel, "") != want {
			t.Errorf("%s: %v", rel, !want)
		}
	}
}

func TestProgram(t *testing.T) {
	tc := &Toolchain{Root: "/x", Version: "go1.99", arch: "amd64", parts: []part{{"/go/bin", "h1", "/x/bin"}, {"/go/src", "h2", "/x/src"}}}
	g := derivation.NewGraph(&names{})
	at := derivation.Position{File: "f.star", Line: 1, Col: 2}
	dir := t.TempDir()
	source := func(name string, files map[string]string) string {
		p, err := g.Source(t.Context(), name, plant(t, filepath.Join(dir, name), files), nil, "", at)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	plain := source("plain", map[string]string{"go.mod": "module m\n", "sub/go.mod": "module s\nrequire example.org/x v1.0.0\n"})
	made, err := g.Unpack("made", plain, 0, at)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		summary string
		o       Options
		args    string
		err     string
	}{
		{"plain", Options{Src: plain}, "-C SRC -trimpath -buildvcs=false -ldflags=-buildid= -o OUT/bin/prog .", ""},
		{"package and tags", Options{Src: plain, Package: "cmd/x/", Tags: []string{"a", "b"}}, "-C SRC -trimpath -buildvcs=false -ldflags=-buildid= -tags=a,b -o OUT/bin/prog ./cmd/x", ""},
		{"package that could be an option", Options{Src: plain, Package: "-x"}, "-C SRC -trimpath -buildvcs=false -ldflags=-buildid= -o OUT/bin/prog ./-x", ""},
		{"source that is made", Options{Src: made + "/m"}, "-C SRC -trimpath -buildvcs=false -ldflags=-buildid= -o OUT/bin/prog .", ""},
		{"vendored", Options{Src: source("v", map[string]string{"go.mod": "module m\nrequire example.org/x v1.0.0\n", "vendor/modules.txt": ""})}, "-C SRC -trimpath -buildvcs=false -ldflags=-buildid= -o OUT/bin/prog .", ""},
		{"not vendored", Options{Src: plain + "/sub"}, "", "go mod vendor"},
		{"no module", Options{Src: source("n", map[string]string{"x.go": ""})}, "", "no go.mod"},
		{"no item", Options{Src: "/home"}, "", "no item"},
		{"package outside", Options{Src: plain, Package: "../x"}, "", "no folder below src"},
		{"absolute package", Options{Src: plain, Package: "/x"}, "", "no folder below src"},
		{"all packages", Options{Src: plain, Package: "./..."}, "", "no folder below src"},
		{"bad tag", Options{Src: plain, Tags: []string{"a b"}}, "", "bad build tag"},
	} {
		c.o.Name, c.o.Pos = "prog", at
		p, err := Program(g, tc, c.o)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(err.Error(), "f.star:1:2: cannot declare Go program \"prog\"") {
				t.Errorf("%s: error %v, want %q", c.summary, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.summary, err)
			continue
		}
		ref, _ := g.Lookup(p)
		d, _ := g.Derivation(ref.Drv)
		args := strings.Join(d.Args[1:], " ")
		args = strings.NewReplacer(c.o.Src, "SRC", derivation.Self("out"), "OUT").Replace(args)
		if d.Builder != "/go/bin/go" || d.Args[0] != "build" || args != c.args || len(d.Host) != 2 || d.System != derivation.HostSystem() {
			t.Errorf("%s: derivation %+v, arguments %s", c.summary, d, args)
		}
	}
}

func TestRequires(t *testing.T) {
	for mod, want := range map[string]bool{
		"module m\n":                       false,
		"module m\ngo 1.26\n":              false,
		"module m\n// require x v1\n":      false,
		"module m\nrequire x v1\n":         true,
		"module m\nrequire (\n)\n":         false,
		"module m\nrequire(\n\tx v1\n)\n":  true,
		"module m\nrequire (\n//c\n x v1)": true,
		"module requires\nreplace a => b":  false,
		"retract (\n v1\n)\nrequire (\n)":  false,
	} {
		if got := requires(mod); got != want {
			t.Errorf("%q: %v", mod, got)
		}
	}
}

// BenchmarkUnchangedToolchain is what a build pays that has nothing to do.
func BenchmarkUnchangedToolchain(b *testing.B) {
	root := b.TempDir()
	for b.Loop() {
		s, err := store.Open(root, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := HostToolchain(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
