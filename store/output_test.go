// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"osbuild/store"
	"osbuild/store/nar"
)

// outputCase describes an output by text in which OUT, OUTHASH, DEPn and
// DEPnHASH stand for paths and digests, and NEARn for digests of dependencies
// without the last character, so that two builders can make it.
type outputCase struct {
	summary string
	files   map[string]string // as in writeTree, but without folders
}

var outputCases = []outputCase{
	{"plain", map[string]string{"f": "no references"}},
	{"one reference", map[string]string{"f": "DEP0/bin/x"}},
	{"self", map[string]string{"f": "OUT/bin/x"}},
	{"self twice in one file", map[string]string{"f": "OUT OUT"}},
	{"self in a link", map[string]string{"l": "-> OUT/f", "f": "x"}},
	{"reference in a link", map[string]string{"l": "-> DEP1"}},
	{"glued", map[string]string{"f": "abcOUTHASHDEP0HASHzzDEP1HASHxyz"}},
	{"self glued to self", map[string]string{"f": "OUTHASHOUTHASHOUTHASH"}},
	{"truncated digests", map[string]string{"f": "1abcdfghijklmnpqrsvwxyz0123456789"}},
	{"in an executable", map[string]string{"bin/x": "#!DEP0/bin/sh\nexec OUT/bin/y\n"}},
	{"several files and links", map[string]string{"a/b/c": "OUT", "a/b/d": "x", "a/l": "-> OUT/a", "z": "DEP0 DEP1 OUT", "e": ""}},
	{"at the start and the end", map[string]string{"f": "OUTHASHxxxxxxxxOUTHASH"}},
}

func init() {
	// A reference to another item at the borders of files' pieces, and of the
	// archive, where what is before the content has 232 bytes.
	for _, at := range []int{64 << 10, 64<<10 - 232, 256 << 10, 256<<10 - 232} {
		for _, before := range []int{1, 16, 31} {
			outputCases = append(outputCases, outputCase{
				fmt.Sprintf("another %d bytes before %d", before, at),
				map[string]string{"f": strings.Repeat("x", at-before) + "DEP1HASH" + strings.Repeat("x", 300_000) + "OUT"},
			})
		}
	}
	// A digest at every place around the borders of our buffers.
	for _, at := range []int{64 << 10, 128 << 10, 256 << 10} {
		for _, before := range []int{0, 1, 15, 16, 31, 32, 33} {
			outputCases = append(outputCases, outputCase{
				fmt.Sprintf("self %d bytes before %d", before, at),
				map[string]string{"f": strings.Repeat("x", at-before) + "OUTHASHyyDEP0HASH"},
			})
		}
	}
}

// words are what stands for the digests and paths in a case.
func words(out store.Path, deps ...store.Path) []string {
	// Half an own digest would stay that of the scratch path.
	near := func(p store.Path) string { return p.Digest()[:len(p.Digest())-1] }
	list := []string{"OUTHASH", out.Digest(), "OUT", string(out)}
	for k, d := range deps {
		list = append(list, fmt.Sprintf("DEP%dHASH", k), d.Digest(), fmt.Sprintf("NEAR%d", k), near(d), fmt.Sprintf("DEP%d", k), string(d))
	}
	return list
}

func (c outputCase) fill(out store.Path, deps ...store.Path) map[string]string {
	r := strings.NewReplacer(words(out, deps...)...)
	files := make(map[string]string)
	for name, text := range c.files {
		files[name] = r.Replace(text)
	}
	return files
}

// build makes the output in a store of ours.
func (c outputCase) build(t *testing.T, s *store.Store, l *store.Lease, scratch store.Path, deps ...store.Path) (store.Info, error) {
	t.Helper()
	temp, err := l.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(temp, fmt.Sprintf("build-%d", rand.Uint64()))
	writeTreeAt(t, dir, c.fill(scratch, deps...))
	return s.AddOutput(context.Background(), l, store.Output{Name: "out", Physical: dir, Scratch: scratch, Candidates: deps})
}

const (
	scratchA = store.Path(store.Dir + "/0a1b2c3d4f5g6h7i8j9kalbmcndpfqgr-out")
	scratchB = store.Path(store.Dir + "/zyxwvsrqpnmlkjihgfdcba9876543210-out")
)

// An output must not depend on the path that its builder was given, and its
// references must be found and right.
func TestAddOutput(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	dep0, dep1 := text(t, s, l, "dep0", "dep0"), text(t, s, l, "dep1", "dep1")
	for _, c := range outputCases {
		t.Run(c.summary, func(t *testing.T) {
			a, err := c.build(t, s, l, scratchA, dep0, dep1)
			if err != nil {
				t.Fatal(err)
			}
			b, err := c.build(t, s, l, scratchB, dep0, dep1)
			if err != nil {
				t.Fatal(err)
			}
			if a.Path != b.Path {
				t.Errorf("two scratch paths give %s and %s", a.Path, b.Path)
			}
			// What lies in the store is the output as if it had been built
			// for its final path.
			want := filepath.Join(t.TempDir(), "want")
			writeTreeAt(t, want, c.fill(a.Path, dep0, dep1))
			h, _, err := nar.Hash(context.Background(), want, nil)
			if err != nil {
				t.Fatal(err)
			}
			if store.Hash(h) != a.NarHash {
				t.Errorf("the content is not rewritten to the final path")
			}
			whole := fmt.Sprint(c.files)
			for _, ref := range []struct {
				word string
				path store.Path
			}{{"OUT", a.Path}, {"DEP0", dep0}, {"DEP1", dep1}} {
				if strings.Contains(whole, ref.word) != slices.Contains(a.References, ref.path) {
					t.Errorf("references are %q, but %s occurs: %t", a.References, ref.word, strings.Contains(whole, ref.word))
				}
			}
		})
	}
	mustVerify(t, s)
}

// The vector was made by Nix: a content-addressed derivation whose builder
// wrote these files.
func TestGoldenSelfReference(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	dep := text(t, s, l, "dep", "dep\n")
	c := outputCase{"", map[string]string{"f": "OUT DEP0\n", "l": "-> OUT/f", "b": "xOUTy"}}
	temp, err := l.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	scratch := store.Path(strings.TrimSuffix(string(scratchA), "out") + "selfref")
	writeTreeAt(t, temp+"/x", c.fill(scratch, dep, dep))
	i, err := s.AddOutput(context.Background(), l, store.Output{Name: "selfref", Physical: temp + "/x", Scratch: scratch, Candidates: []store.Path{dep}})
	if err != nil {
		t.Fatal(err)
	}
	if want := store.Path("/osbuild/store/9q06aaxb3j94ddnikvn59fm29awb8mb5-selfref"); i.Path != want {
		t.Errorf("got %s, want %s", i.Path, want)
	}
	if _, err := os.Lstat(temp + "/x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the builder's tree is still there: %v", err)
	}
	mustVerify(t, s)
}

func TestAddOutputCanonical(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	temp, err := l.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := temp + "/x"
	writeTreeAt(t, dir, map[string]string{"plain": "a", "prog": "#!x", "sub/f": "b", "l": "-> plain"})
	for name, mode := range map[string]os.FileMode{"plain": 0, "prog": 0o6711, "sub/f": 0o200, "sub": os.ModeSticky | 0o100} {
		if err := os.Chmod(filepath.Join(dir, name), mode|mode&0o6000>>9<<22); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Chmod(dir+"/prog", 0o6711); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(dir+"/plain", dir+"/twin"); err != nil {
		t.Fatal(err)
	}
	i, err := s.AddOutput(context.Background(), l, store.Output{Name: "out", Physical: dir, Scratch: scratchA})
	if err != nil {
		t.Fatal(err)
	}
	want := `. 0555
l 0777 -> plain
plain 0444 a
prog 0555 #!x
sub 0555
sub/f 0444 b
twin 0444 a
`
	if got := dumpTree(t, s.Physical(i.Path)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	mustVerify(t, s)
}

// dumpTree shows a tree, one line an entry.
func dumpTree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&b, "%s %04o", rel, st.Sys().(*syscall.Stat_t).Mode&0o7777)
		switch {
		case st.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %s", data)
		case st.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " -> %s", target)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAddOutputRefuses(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	missing := store.Path(store.Dir + "/1a1b2c3d4f5g6h7i8j9kalbmcndpfqgr-missing")
	tests := []struct {
		summary string
		make    func(t *testing.T, dir string)
		want    string
	}{
		{"its digest in a name", func(t *testing.T, dir string) {
			writeTreeAt(t, dir, map[string]string{"lib" + scratchA.Digest() + ".so": "x"})
		}, "holds the digest of the output itself"},
		{"a pipe", func(t *testing.T, dir string) {
			writeTreeAt(t, dir, nil)
			if err := syscall.Mkfifo(dir+"/pipe", 0o644); err != nil {
				t.Fatal(err)
			}
		}, "/pipe: it is a"},
		{"a hard link to the outside", func(t *testing.T, dir string) {
			writeTreeAt(t, dir, nil)
			outside := filepath.Dir(dir) + "/outside"
			if err := os.WriteFile(outside, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Link(outside, dir+"/link"); err != nil {
				t.Fatal(err)
			}
		}, "hard link to a file outside"},
		{"nothing", func(t *testing.T, dir string) {}, "no such file"},
		{"a reference that is not valid", func(t *testing.T, dir string) {
			writeTreeAt(t, dir, map[string]string{"f": string(missing)})
		}, "refers to " + string(missing)},
		{"too deep", func(t *testing.T, dir string) {
			writeTreeAt(t, dir, map[string]string{strings.Repeat("d/", 64): ""})
		}, "64 folders deep"},
	}
	for k, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			temp, err := l.TempDir()
			if err != nil {
				t.Fatal(err)
			}
			dir := fmt.Sprintf("%s/%d", temp, k)
			test.make(t, dir)
			_, err = s.AddOutput(context.Background(), l, store.Output{Name: "out", Physical: dir, Scratch: scratchA, Candidates: []store.Path{missing}})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := s.AddOutput(context.Background(), l, store.Output{Name: "out", Physical: t.TempDir(), Scratch: scratchA}); err == nil {
		t.Error("a tree outside of the lease's folder was taken")
	}
	if _, err := s.AddOutput(context.Background(), l, store.Output{Name: "other", Physical: t.TempDir(), Scratch: scratchA}); err == nil {
		t.Error("a scratch path of another name was taken")
	}
	if all, err := s.All(); err != nil || len(all) != 0 {
		t.Errorf("something was registered: %q, %v", all, err)
	}
	mustVerify(t, s)
}
