// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apttest_test

import (
	"bytes"
	"context"
	"testing"

	"osbuild/builder/debian/apt"
	"osbuild/builder/debian/apt/apttest"
)

// TestRepo is how to use the package.
func TestRepo(t *testing.T) {
	for _, overHTTP := range []bool{false, true} {
		r := apttest.New(t)
		r.OverHTTP = overHTTP
		r.AddDeb([]byte("the bytes of a .deb"), "Package: hello\nVersion: 1:2.0-1\nArchitecture: amd64\nDepends: libc6")
		r.AddStanza("Package: libc6\nVersion: 2.36\nArchitecture: amd64")
		r.Publish()

		host, err := apt.Open(context.Background(), apt.Config{Root: r.Root(), Cache: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		s, err := host.Indexes(context.Background(), apt.IndexOptions{Arch: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Packages) != 2 || s.Packages[0].Name != "hello" || s.Suites[0].Signer != r.Key.Fingerprint() {
			t.Fatalf("got %+v", s)
		}
		p := s.Packages[0]
		var got bytes.Buffer
		err = host.Fetch(context.Background(), apt.File{Suite: p.Suite, Path: p.Filename, SHA256: p.SHA256, Size: p.Size}, &got)
		if err != nil || got.String() != "the bytes of a .deb" {
			t.Fatalf("got %q, %v", got.String(), err)
		}
	}
}
