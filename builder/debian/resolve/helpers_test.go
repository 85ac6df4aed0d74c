// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/lock"
)

// packages reads records in short: a line is a name, a version, and fields
// behind semicolons: "nginx 1.0; dep: libc | musl; prov: httpd".
func packages(t testing.TB, text string) []*control.Package {
	t.Helper()
	var all []*control.Package
	for line := range strings.Lines(text) {
		parts := strings.Split(strings.TrimSpace(line), ";")
		name, version, _ := strings.Cut(parts[0], " ")
		if name == "" {
			continue
		}
		p := &control.Package{
			Name: name, Version: control.Version(version), Arch: "amd64", Suite: "stable", Priority: "optional",
			Filename: "pool/" + name + "_" + version + ".deb", Size: int64(100 + len(name)),
			SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(name+" "+version))),
		}
		for _, field := range parts[1:] {
			key, value, _ := strings.Cut(strings.TrimSpace(field), ": ")
			relations := control.Relations(value)
			switch key {
			case "dep":
				p.Depends = relations
			case "pre":
				p.PreDepends = relations
			case "con":
				p.Conflicts = relations
			case "brk":
				p.Breaks = relations
			case "prov":
				p.Provides = relations
			case "ma":
				p.MultiArch = value
			case "prio":
				p.Priority = value
			case "arch":
				p.Arch = value
			case "suite":
				p.Suite = value
			case "ess":
				p.Essential = value == "yes"
			default:
				t.Fatalf("line %q: no field %q", line, key)
			}
		}
		all = append(all, p)
	}
	return all
}

// choice is a lock in short: "a=1 b=2".
func choice(l *lock.Lock) string {
	var s []string
	for _, p := range l.Packages {
		s = append(s, p.Name+"="+p.Version)
	}
	return strings.Join(s, " ")
}

// mustResolve makes a lock of an index in short.
func mustResolve(t testing.TB, index string, roots ...string) *lock.Lock {
	t.Helper()
	l, err := Resolve(NewIndex("amd64", packages(t, index)), Request{Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
