// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"osbuild/builder/debian/recipe"
	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/store"
)

// TestBuiltin makes the root of a set as the realiser asks for it.
func TestBuiltin(t *testing.T) {
	pkgs := plant(t, txtar.Parse([]byte(`
-- alpha/control --
Version: 1:2
-- alpha/postinst --
#!/bin/sh
frob
-- alpha/root/etc/alpha --
text
-- beta/control --
-- beta/postinst --
#!/bin/sh
frob
-- beta/root/usr/bin/beta --
#!/bin/beta
`)))
	slices.SortFunc(pkgs, func(a, b *pkg) int { return strings.Compare(a.Name, b.Name) })
	physical := map[store.Path]string{}
	path := func(name string) store.Path {
		p, err := store.TextPath(name, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var set strings.Builder
	for _, p := range pkgs {
		item := path(p.Name)
		physical[item] = p.Dir
		fmt.Fprintf(&set, "%s %s %s\n", p.Name, p.Version, item)
	}
	file := filepath.Join(t.TempDir(), "set")
	if err := os.WriteFile(file, []byte(set.String()), 0o444); err != nil {
		t.Fatal(err)
	}
	physical[path("set")] = file
	var warnings []string
	var log bytes.Buffer
	out := filepath.Join(t.TempDir(), "out")
	r := realise.Request{
		Drv:      &derivation.Derivation{Env: map[string]string{"set": string(path("set")), "ignore": "other beta"}},
		Physical: func(p store.Path) string { return physical[p] },
		Outs:     map[string]string{"out": out}, Scratch: map[string]store.Path{"out": path("out")},
		Log: &log, Warn: func(text string) { warnings = append(warnings, text) },
	}
	b := Builtin()
	if b.Name() != recipe.BuiltinRoot || b.Version() != recipe.VersionRoot {
		t.Errorf("it is %s %d", b.Name(), b.Version())
	}
	if err := b.Build(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want := []string{"package alpha: its scripts also run: frob"}
	if !slices.Equal(warnings, want) || log.String() != "warning: "+want[0]+"\n" {
		t.Errorf("warnings %q, log %q", warnings, &log)
	}
	got := dump(t, out)
	for _, part := range []string{string(path("out")) + "/etc", string(path("beta")), "etc/alpha\n    text\n", "warnings\n    package alpha"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is missing in\n%s", part, got)
		}
	}
	delete(physical, path("set"))
	if err := b.Build(t.Context(), r); err == nil {
		t.Error("a set that is not there gives no error")
	}
}
