// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package golang_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/builder/golang"
	"osbuild/builder/realise"
	"osbuild/runner"
	"osbuild/store"
)

// TestBuild builds a vendored module twice, as any user of osbuild would.
func TestBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the Go runtime twice")
	}
	probe := exec.Command("/bin/true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS}
	if err := probe.Run(); err != nil {
		t.Skipf("SKIP-ENV: no user namespaces here: %v", err)
	}
	src, root := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                        "module example.org/prog\n\ngo 1.20\n\nrequire example.org/dep v1.2.3\n",
		"vendor/modules.txt":            "# example.org/dep v1.2.3\n## explicit; go 1.20\nexample.org/dep\n",
		"vendor/example.org/dep/dep.go": "package dep\n\nconst Name = \"dep\"\n",
		"cmd/prog/main.go":              "package main\n\nimport \"example.org/dep\"\n\nfunc main() { println(dep.Name, tagged) }\n",
		"cmd/prog/on.go":                "//go:build special\n\npackage main\n\nconst tagged = \"special\"\n",
		"cmd/prog/off.go":               "//go:build !special\n\npackage main\n\nconst tagged = \"plain\"\n",
	} {
		file := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(root, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.NewLease("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lease.Close()
		// An ordinary user can delete nothing from the folders of items.
		_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
	})
	tc, err := golang.HostToolchain(t.Context(), s)
	if err != nil {
		t.Skipf("SKIP-ENV: %v", err)
	}
	g := derivation.NewGraph(s)
	item, err := g.Source(t.Context(), "src", src, nil, "", derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := golang.Program(g, tc, golang.Options{Name: "prog", Src: item, Package: "cmd/prog", Tags: []string{"special"}})
	if err != nil {
		t.Fatal(err)
	}
	r := &realise.Realiser{Store: s, Lease: lease, Executor: runner.Sandbox{}, Jobs: 1}
	paths, err := r.Realise(t.Context(), g, p)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(s.Physical(paths[0]), "bin/prog")).CombinedOutput()
	if err != nil || string(out) != "dep special\n" {
		t.Errorf("the program says %q, %v", out, err)
	}
	// Nothing of where it was built is in it.
	info, err := s.Info(paths[0])
	if err != nil || len(info.References) != 0 {
		t.Errorf("references %v, %v", info.References, err)
	}
	bin, err := os.ReadFile(filepath.Join(s.Physical(paths[0]), "bin/prog"))
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"/osbuild/store", "/build", tc.Root + "/src"} {
		if strings.Contains(string(bin), place) {
			t.Errorf("the program holds the path %s", place)
		}
	}
	if err := r.Check(t.Context(), g, p); err != nil {
		t.Error(err)
	}
}
