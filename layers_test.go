// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package osbuild_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers is the layer table of docs/architecture.md: each package, and the
// packages of ours that its code (tests aside) may import. Arrows run
// downwards only, so the list is also a reading order from the bottom up.
var layers = map[string][]string{
	"store/nar":     {},
	"store/fsys":    {},
	"store/refscan": {},
	"store":         {"store/nar", "store/fsys", "store/refscan"},
	"closure":       {"store"},

	"store/cache/codec":     {},
	"store/cache/narinfo":   {"store"},
	"store/cache/signature": {"store"},
	"store/cache/policy":    {"store/cache/signature", "store"},
	"store/cache/location":  {"store/cache/codec", "store/fsys"},
	"store/cache/origin":    {"store/cache", "store/cache/location", "store/cache/narinfo", "store/cache/signature", "store", "store/nar"},
	"store/cache/serve":     {"store/cache/origin", "store/cache", "store/cache/codec", "store/cache/narinfo", "store/cache/policy", "store/cache/signature", "store"},
	"store/cache/nixtest":   {"store"},
	"store/cache":           {"store/cache/codec", "store/cache/narinfo", "store/cache/policy", "store/cache/signature", "store/cache/location", "closure", "store", "store/nar"},

	"closure/graph":   {},
	"closure/segment": {"store/nar"},
	"closure/layers":  {"closure/segment"},
	"closure/oci":     {"closure/layers", "closure/segment", "runner/spec", "store/nar"},

	"closure/oci/ocitest": {},

	"runner/spec":          {},
	"closure/view":         {"store", "store/fsys", "runner/spec"},
	"runner/mount":         {"runner/spec"},
	"runner/idmap":         {"runner/spec"},
	"runner/cgroup":        {},
	"runner":               {"runner/spec", "runner/mount", "runner/idmap", "runner/cgroup"},
	"runner/account":       {"runner/spec"},
	"runner/activate/tree": {},
	"runner/activate":      {"runner/spec", "runner/account", "runner/activate/tree"},
	"runner/task":          {"runner/spec", "runner/account"},
	"runner/supervise":     {"runner/spec", "runner/account"},

	"builder/derivation": {"store"},
	"builder/realise":    {"builder/derivation", "store", "runner/spec"},
	"builder/builtin":    {"builder/realise", "builder/derivation", "runner/spec", "store"},
	"builder/golang":     {"builder/derivation", "store"},
	"builder/service":    {"builder/derivation"},
	"builder/services":   {"builder/service", "builder/derivation", "runner/spec"},
	"builder/system":     {"closure/graph", "builder/services", "builder/service", "builder/derivation", "runner/spec"},
	"builder/lang/value": {"builder/service", "builder/derivation", "store"},
	"builder/lang":       {"builder/lang/value", "builder/system", "builder/services", "builder/service", "builder/golang", "builder/derivation", "runner/spec", "store"},

	"builder/debian/control":     {},
	"builder/debian/lock":        {"builder/debian/control"},
	"builder/debian/resolve":     {"builder/debian/control", "builder/debian/lock"},
	"builder/debian/apt":         {"builder/debian/control", "builder/debian/lock"},
	"builder/debian/apt/apttest": {},
	"builder/debian":             {"builder/debian/recipe", "builder/debian/resolve", "builder/debian/apt", "builder/debian/lock", "builder/service", "builder/derivation", "store"},
	"builder/debian/recipe":      {"builder/debian/lock", "builder/derivation", "store"},
	"builder/debian/deb":         {"builder/debian/control", "runner/spec"},
	"builder/debian/items":       {"builder/debian/recipe", "builder/debian/deb", "builder/debian/apt", "builder/debian/control", "builder/realise", "builder/derivation", "runner/spec", "store"},
	"builder/debian/ldso":        {},
	"builder/debian/script":      {},
	"builder/debian/rootfs":      {"builder/debian/deb", "builder/debian/control", "runner/spec"},
	"builder/debian/handlers":    {"builder/debian/items", "builder/debian/control", "builder/debian/ldso", "builder/debian/script", "builder/debian/rootfs", "builder/debian/recipe", "builder/realise", "runner/spec", "store"},

	"builder/service/servicetest":      {"builder/service", "builder/derivation"},
	"store/storetest":                  {"store"},
	"builder/debian/ldso/ldsotest":     {},
	"builder/debian/rootfs/rootfstest": {"builder/debian/rootfs", "builder/debian/deb", "builder/debian/control", "runner/spec"},
}

// TestLayers compares what `go list` says with the table. The commands may
// import everything; a package that the table lacks is an error, so that
// nobody adds a room without saying where it stands.
func TestLayers(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct {
			ImportPath string
			Imports    []string
			GoFiles    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, "osbuild/")
		if len(p.GoFiles) == 0 || strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "fixtures/") {
			continue
		}
		seen[name] = true
		allowed, ok := layers[name]
		if !ok {
			t.Errorf("package %s is not in the layer table: say what it may import", name)
			continue
		}
		for _, imp := range p.Imports {
			ours, found := strings.CutPrefix(imp, "osbuild/")
			if found && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which the layer table does not allow", name, ours)
			}
		}
	}
	for name := range layers {
		if !seen[name] {
			t.Errorf("the layer table names %s, which is not there", name)
		}
	}
}
