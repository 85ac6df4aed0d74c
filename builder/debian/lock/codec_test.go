// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestEncode(t *testing.T) {
	l := example()
	got, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(exampleText, string(got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(example(), l); d != "" {
		t.Errorf("encoding changed the lock:\n%s", d)
	}
	back, err := Decode(got)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(example().sorted(), back); d != "" {
		t.Errorf("it comes back changed:\n%s", d)
	}
	empty := &Lock{Version: Version, Arch: "amd64", Essential: EssentialFull}
	text, err := empty.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(text); err != nil {
		t.Errorf("an empty lock: %v\n%s", err, text)
	}
}

func TestEncodeErrors(t *testing.T) {
	tests := []struct {
		summary string
		change  func(*Lock)
		want    string
	}{
		{"version", func(l *Lock) { l.Version = 0 }, "it has the version 0"},
		{"architecture", func(l *Lock) { l.Arch = "" }, `"" is not an architecture`},
		{"policy", func(l *Lock) { l.Essential = "" }, "essential is \"\""},
		{"suite", func(l *Lock) { l.Packages[0].Suite = "a b" }, `package b: "a b" is not the name of a suite`},
		{"suite's sum", func(l *Lock) { l.Suites[0].InReleaseSHA256 = "" }, "suite stable-security: "},
		{"two of a name", func(l *Lock) { l.Packages[0].Name = "a" }, "the package a stands after a"},
		{"open", func(l *Lock) { l.Packages[0].Deps = []string{"d"} }, `deps of b: the lock has no package "d"`},
		{"root", func(l *Lock) { l.Roots = []string{"x"} }, `the lock has no package "x"`},
		{"twice in deps", func(l *Lock) { l.Packages[0].Deps = []string{"c", "c"} }, `deps of b: "c" stands after "c"`},
		{"path", func(l *Lock) { l.Packages[0].Path = "../a" }, "is not a clean path"},
		{"host", func(l *Lock) { l.Packages[0].Path = "http://example.org/a" }, "is not a clean path"},
		{"size", func(l *Lock) { l.Packages[0].Size = 0 }, "package b: it has no size"},
		{"provides", func(l *Lock) { l.Packages[0].Provides = []string{"a (>= 1)"} }, "provides has \"a (>= 1)\" in the wrong form"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			l := example()
			test.change(l)
			if _, err := l.Encode(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	lineOfB := "line 16: "
	tests := []struct {
		summary, old, new, want string
	}{
		{"Windows", "\n", "\r\n", "line 1: it has Windows line ends; if git made them, write `*.lock.json -text` into .gitattributes"},
		{"merge", "  \"suites\"", "<<<<<<< HEAD\n  \"suites\"", "line 10: it has the marks of a merge that is not finished"},
		{"cut off", "\"path\":\"pool/b.deb\",\"sha", "\x00", lineOfB + "invalid character"},
		{"newer", `"version": 1`, `"version": 2`, "it has the version 2, and this osbuild reads version 1"},
		{"unknown field", `"signer":"AB"`, `"signer":"AB","mirror":"x"`, `unknown field "mirror"`},
		{"wrong type", `"size":1000`, `"size":"1000"`, "line 15: cannot unmarshal string into"},
		{"huge number", `"size":1000`, `"size":1e99`, "line 15: cannot unmarshal number"},
		{"edited version", `2~rc1+x`, `2 rc1`, lineOfB + `package b: "2 rc1" is not a package version`},
		{"open", `"deps":["c"]`, `"deps":["d"]`, lineOfB + `deps of b: the lock has no package "d"`},
		{"order of deps", `["b","c"]`, `["c","b"]`, `line 15: deps of a: "b" stands after "c"`},
		{"order of packages", `"name":"b"`, `"name":"z"`, `line 17: the package c stands after z`},
		{"order of suites", `"stable-security","inR`, `"a","inR`, "line 12: the suite a stands after stable"},
		{"order of roots", "\"a\",\n    \"b\"", "\"b\",\n    \"a\"", `line 8: "a" stands after "b"`},
		{"blanks", `"deps":[]`, `"deps": []`, "line 17: it is not written as osbuild writes it (edited by hand, or merged)"},
		{"no final newline", "]\n}\n", "]\n}", "line 20: it is not written as osbuild writes it"},
		{"more behind it", "]\n}\n", "]\n}\n{}\n", "invalid character '{' after top-level value"},
		{"null", `"deps":[]`, `"deps":null`, "line 17: it is not written as osbuild writes it"},
		{"false", `"essential":true`, `"essential":false`, lineOfB + "it is not written as osbuild writes it"},
		{"twice", `"deps":["c"]`, `"deps":["c"],"deps":["c"]`, lineOfB + "it is not written as osbuild writes it"},
		{"empty", exampleText, "", "line 1: unexpected end of JSON input"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			n := 1
			if test.summary == "Windows" {
				n = -1
			}
			text := strings.Replace(exampleText, test.old, test.new, n)
			l, err := Decode([]byte(text))
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v, want %q", l, err, test.want)
			}
		})
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "web.lock.json")
	if _, err := Read(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := example().Write(file); err != nil {
		t.Fatal(err)
	}
	l, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(file)
	if err := l.Write(file); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(file); !os.SameFile(before, after) {
		t.Error("a lock that says the same was written anew")
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("web.lock.json", link); err != nil {
		t.Fatal(err)
	}
	l.Roots = l.Roots[:1]
	if err := l.Write(link); err != nil {
		t.Fatal(err)
	}
	if again, err := Read(file); err != nil || len(again.Roots) != 1 {
		t.Errorf("through a link: %v, %v", again, err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(exampleText, "2~rc1+x", "2 rc1", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Read(file)
	want := "cannot read the lock " + file + `:16: package b: "2 rc1" is not a package version: it has the character ' '; ` +
		"restore the file, or delete it and run `osbuild lock " + filepath.Join(dir, "web.star") + "`"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	l.Packages[0].Version = ""
	if err := l.Write(file); err == nil || !strings.HasPrefix(err.Error(), "cannot write a lock: ") {
		t.Errorf("a bad lock: %v", err)
	}
	pipe := filepath.Join(dir, "pipe.lock.json")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(pipe); err == nil || err.Error() != "cannot read the lock: "+pipe+" is not a file of at most 64 MiB" {
		t.Errorf("a pipe: %v", err)
	}
	lost := filepath.Join(dir, "none", "x")
	if err := example().Write(lost); err == nil || err.Error() != "cannot write the lock "+lost+": no such file or directory" {
		t.Errorf("no folder: %v", err)
	}
}

// FuzzDecode: what is accepted is written as it was read, and its methods
// hold.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(exampleText))
	f.Add([]byte(strings.Replace(exampleText, `"deps":[]`, `"deps":["a"]`, 1)))
	f.Add([]byte("{\n  \"version\": 1,\n  \"arch\": \"amd64\",\n  \"essential\": \"none\",\n  \"roots\": [],\n  \"suites\": [],\n  \"packages\": []\n}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Decode(data)
		if err != nil {
			return
		}
		again, err := l.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("written as\n%s\n%v", again, err)
		}
		if _, err := l.Closure(l.Roots...); err != nil {
			t.Error(err)
		}
		if len(Diff(l, l)) != 0 {
			t.Error("it differs from itself")
		}
	})
}
