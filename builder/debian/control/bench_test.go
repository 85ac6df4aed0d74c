// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkReadPackages reads an index of the size of a distribution's, 50 MB
// in 60,000 records.
func BenchmarkReadPackages(b *testing.B) {
	var text bytes.Buffer
	filler := string(bytes.Repeat([]byte("tag::of-a-package, "), 15))
	for i := range 60_000 {
		fmt.Fprintf(&text, "Package: package-%d\nVersion: 1.%d-1\nInstalled-Size: 100\nMaintainer: Somebody <somebody@example.org>\n"+
			"Architecture: amd64\nProvides: virtual-%d\nDepends: libc6 (>= 2.36), package-%d, one-of (>= 1) | two-of (>= 2), libstdc++6 (>= 12)\n"+
			"Description: a package\nHomepage: https://example.org/\nTag: %s\nSection: libs\nPriority: optional\n"+
			"Filename: pool/main/p/package/package-%d_1.%d-1_amd64.deb\nSize: 1000\nSHA256: %s\n\n",
			i, i, i/10, i/2, filler, i, i, sum)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := ReadPackages(bytes.NewReader(text.Bytes()), "stable", func(*Package) error {
			n++
			return nil
		}); err != nil || n != 60_000 {
			b.Fatal(n, err)
		}
	}
}
