// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"testing"

	"osbuild/builder/debian/control"
)

// archive has as many packages as a distribution.
func archive() []*control.Package {
	pool := make([]control.Package, 65_000)
	all := make([]*control.Package, len(pool))
	for i := range pool {
		pool[i] = control.Package{
			Name: fmt.Sprintf("package-%d", i), Version: "1.0-1", Arch: "amd64", Priority: "optional",
			Depends: control.Relations(fmt.Sprintf("package-%d (>= 1), package-%d | virtual-%d", i/2, i/3, i/10)),
		}
		if i%6 == 0 {
			pool[i].Provides = control.Relations(fmt.Sprintf("virtual-%d (= %d), virtual-%d", i/10, i%5, i/100))
		}
		all[i] = &pool[i]
	}
	return all
}

func BenchmarkNewIndex(b *testing.B) {
	all := archive()
	b.ReportAllocs()
	for b.Loop() {
		NewIndex("amd64", all)
	}
}

func BenchmarkResolve(b *testing.B) {
	ix := NewIndex("amd64", archive())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Resolve(ix, Request{Roots: []string{"package-50000", "package-64001", "package-33333"}}); err != nil {
			b.Fatal(err)
		}
	}
}
