// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const twoRecords = `Package: one
Source: uno (1.0)
Version: 1.0-1
Installed-Size: 12
Architecture: amd64
Depends: libc6 (>= 2.36),
 two:any | three
Description: the first
 a long text
 .
 Depends: not a field
Multi-Arch: same
Essential: yes
Section: libs
Priority: optional
Filename: pool/main/o/one/one_1.0-1_amd64.deb
Size: 1000
MD5sum: 00
SHA256: ` + sum + `

package: two
version: 2:0~rc1
Architecture: all
PROVIDES: three (= 3), four
Depends:
filename: ./two.deb
Size: 7
sha256: ` + sum

func readAll(s string) (pkgs []*Package, err error) {
	err = ReadPackages(strings.NewReader(s), "stable", func(p *Package) error {
		pkgs = append(pkgs, p)
		return nil
	})
	return pkgs, err
}

func TestReadPackages(t *testing.T) {
	got, err := readAll(twoRecords)
	if err != nil {
		t.Fatal(err)
	}
	want := []*Package{
		{
			Name: "one", Source: "uno (1.0)", Version: "1.0-1", InstalledSize: 12, Arch: "amd64",
			Depends: "libc6 (>= 2.36), two:any | three", MultiArch: "same", Essential: true, Section: "libs",
			Priority: "optional", Filename: "pool/main/o/one/one_1.0-1_amd64.deb", Size: 1000, SHA256: sum, Suite: "stable",
		},
		{
			Name: "two", Version: "2:0~rc1", Arch: "all", Provides: "three (= 3), four",
			Filename: "two.deb", Size: 7, SHA256: sum, Suite: "stable",
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("records differ (-want +got):\n%s", d)
	}
}

func TestReadPackagesErrors(t *testing.T) {
	tests := []struct {
		summary, old, new, want string
	}{
		{"no name", "Package: one\n", "", "line 1: a package name is empty"},
		{"bad name", "Package: one", "Package: o/ne", `"o/ne" is not a package name: it has the character '/'`},
		{"bad version", "Version: 1.0-1", "Version: 1_0", `package one: "1_0" is not a package version`},
		{"no sum", "SHA256: " + sum + "\n\npack", "SHA1: 0\n\npack", `SHA256 "" is not a SHA-256 sum, so its file cannot be verified`},
		{"upper-case sum", "SHA256: 0123456789a", "SHA256: 0123456789A", "is not a SHA-256 sum"},
		{"no size", "Size: 1000\n", "", `package one: Size "" is not a size`},
		{"negative size", "Size: 1000", "Size: -1", "is not a size"},
		{"path up", "Filename: pool/main", "Filename: ../main", "is not a clean path below the archive"},
		{"path from the root", "Filename: pool/main", "Filename: /main", "is not a clean path below the archive"},
		{"path with a query", "Filename: pool/main", "Filename: pool?main", "is not a clean path below the archive"},
		{"twice", "Source: uno", "Version: 2\nSource: uno", "line 4: the field Version stands twice"},
		{"twice in other cases", "Source: uno", "version: 2\nSource: uno", "the field Version stands twice"},
		{"continuation first", "Package: one", " x\nPackage: one", "line 1: a stanza begins with a line that continues"},
		{"no colon", "Source: uno (1.0)", "Source uno", `line 2: "Source uno" is not a field`},
		{"zero byte", "uno", "u\x00no", "line 2: the line has a zero byte"},
		{"second record", "package: two\n", "", "line 21: a package name is empty"},
		{"long line", "uno", strings.Repeat("u", maxLine+1), "line 2: the line is longer than"},
		{"many fields", "Source: uno", strings.Repeat("X: y\n", maxFields) + "Source: uno", "more than 256 fields"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			text := strings.Replace(twoRecords, test.old, test.new, 1)
			if text == twoRecords {
				t.Fatal("the test changes nothing")
			}
			_, err := readAll(text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// FuzzReadPackages holds the fast reader against the general one: what the
// first accepts, the second reads in the same way.
func FuzzReadPackages(f *testing.F) {
	f.Add(twoRecords)
	f.Add("Package: a\nVersion: 1\nArchitecture: all\nDepends: b,\n\tc\n#x\nFilename: a\nSize: 1\nSHA256: " + sum + "\n \n\n")
	f.Fuzz(func(t *testing.T, s string) {
		pkgs, err := readAll(s)
		if err != nil {
			return
		}
		var stanzas []Stanza
		if err := ReadStanzas(strings.NewReader(s), func(s Stanza) error {
			stanzas = append(stanzas, s)
			return nil
		}); err != nil {
			return // a field that no Package keeps may stand twice
		}
		if len(stanzas) != len(pkgs) {
			t.Fatalf("%d stanzas, %d packages", len(stanzas), len(pkgs))
		}
		for i, p := range pkgs {
			s := stanzas[i]
			if p.Name != s.Get("Package") || string(p.Version) != s.Get("Version") ||
				trim(string(p.Depends)) != trim(strings.ReplaceAll(s.Get("Depends"), "\n", "")) {
				t.Errorf("package %+v of stanza %+v", p, s)
			}
			p.Depends.Parse()
			p.Provides.List()
		}
	})
}
