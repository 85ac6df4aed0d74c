// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package ldso

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/debian/ldso/ldsotest"
)

func TestCompareLibraries(t *testing.T) {
	for _, test := range []struct {
		summary, low, high string
	}{
		{"letters", "liba.so", "libb.so"},
		{"a part is lower", "libc.so", "libc.so.6"},
		{"numbers, not digits", "libx.so.9", "libx.so.10"},
		{"digits come behind letters", "libxa.so", "libx1.so"},
		{"leading zeros do not count", "libx.so.07", "libx.so.8"},
		{"a dot before a digit", "libssl.so.1", "libssl3.so"},
	} {
		if compareLibraries(test.low, test.high) >= 0 || compareLibraries(test.high, test.low) <= 0 {
			t.Errorf("%s: %s is not below %s", test.summary, test.low, test.high)
		}
		if compareLibraries(test.low, test.low) != 0 {
			t.Errorf("%s: %s is not itself", test.summary, test.low)
		}
	}
}

// TestCacheSearch finds each library by halves, as the loader does.
func TestCacheSearch(t *testing.T) {
	var list []Library
	for i := range 200 {
		name := fmt.Sprintf("lib%c%d.so.%d", 'a'+i%7, i%13, i)
		list = append(list, Library{name, "/lib/" + name})
	}
	list = append(list, Library{"liba0.so.0", "/usr/lib/liba0.so.0"})
	for _, arch := range []string{"amd64", "s390x"} {
		text, ok := ldsotest.Describe(EncodeCache(list, abis[arch]))
		if !ok {
			t.Fatalf("%s: it is no cache", arch)
		}
		entries := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if !slices.Contains(entries, fmt.Sprintf("%#x liba0.so.0 => /lib/liba0.so.0", abis[arch].flags)) {
			t.Errorf("%s: an entry is missing in %q", arch, entries)
		}
		for _, l := range list {
			low, high := 0, len(entries)-1
			found := false
			for low <= high && !found {
				middle := (low + high) / 2
				name := strings.Fields(entries[middle])[1]
				switch c := compareLibraries(l.Name, name); {
				case c == 0:
					found = true
				case c < 0:
					low = middle + 1
				default:
					high = middle - 1
				}
			}
			if !found {
				t.Errorf("%s: %s is not found", arch, l.Name)
			}
		}
	}
}

// TestCacheByLdconfig lets the C library's own program read a cache.
func TestCacheByLdconfig(t *testing.T) {
	ldconfig, err := exec.LookPath("ldconfig")
	if err != nil {
		ldconfig = "/usr/sbin/ldconfig"
		if _, err := os.Stat(ldconfig); err != nil {
			t.Skip("SKIP-ENV: there is no ldconfig")
		}
	}
	file := filepath.Join(t.TempDir(), "cache")
	list := []Library{{"libz.so.1", "/lib/x86_64-linux-gnu/libz.so.1"}, {"libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6"}, {"libx.so.10", "/usr/lib/libx.so.10"}, {"libx.so.9", "/usr/lib/libx.so.9"}}
	if err := os.WriteFile(file, EncodeCache(list, abis["amd64"]), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(ldconfig, "-p", "-C", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := []string{
		"libz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1",
		"libx.so.10 (libc6,x86-64) => /usr/lib/libx.so.10",
		"libx.so.9 (libc6,x86-64) => /usr/lib/libx.so.9",
		"libc.so.6 (libc6,x86-64) => /lib/x86_64-linux-gnu/libc.so.6",
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")[1:] {
		got = append(got, strings.TrimSpace(line))
	}
	if !slices.Equal(got, want) {
		t.Errorf("ldconfig reads %q\nwant %q", got, want)
	}
}
