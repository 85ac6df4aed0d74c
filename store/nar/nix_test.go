// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"osbuild/store"
	"osbuild/store/cache/nixtest"
	"osbuild/store/nar"
)

var update = flag.Bool("update", false, "write what Nix says into testdata/nix")

// Our archives of random trees are those of Nix, byte for byte, and each
// unpacks the other's. The trees lie in one folder, so that Nix is asked once.
func TestNixArchives(t *testing.T) {
	t.Parallel()
	n := nixtest.Find(t)
	kept := filepath.Join(t.TempDir(), "kept")
	makeTrees(t, rand.New(rand.NewPCG(11, 12)), kept, 120)
	var ask func() []string
	if n != nil {
		ask = func() []string { return exchange(t, n, kept) }
	}
	theirs := nixtest.Vectors(t, "testdata/nix/archives.txt", *update, ask)
	if ours := hashes(t, kept); !slices.Equal(ours, theirs) {
		t.Errorf("the archives are %q, theirs %q", ours, theirs)
	}
	if n == nil {
		return
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	others := filepath.Join(t.TempDir(), "others")
	makeTrees(t, rand.New(rand.NewPCG(seed, 0)), others, 450)
	if theirs, ours := exchange(t, n, others), hashes(t, others); !slices.Equal(ours, theirs) {
		t.Errorf("the archives are %q, theirs %q", ours, theirs)
	}
}

func makeTrees(t *testing.T, r *rand.Rand, dir string, count int) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for k := range count {
		nixtest.RandomTree(t, r, fmt.Sprintf("%s/%d", dir, k))
	}
}

// hashes are those of the trees in a folder, and of the folder.
func hashes(t *testing.T, dir string) (out []string) {
	t.Helper()
	for _, tree := range trees(t, dir) {
		h, _, err := nar.Hash(t.Context(), tree, nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, store.Hash(h).Base32())
	}
	return out
}

func trees(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	return append(all, dir)
}

// exchange gives Nix the folder and our archive of it, takes its own, and
// returns the hashes that Nix gives the trees.
func exchange(t *testing.T, n *nixtest.Nix, dir string) []string {
	t.Helper()
	var ours bytes.Buffer
	if _, err := nar.Write(t.Context(), &ours, dir, nil); err != nil {
		t.Fatal(err)
	}
	theirs := n.Run("nix-store", "--dump", dir)
	if theirs != ours.String() {
		t.Errorf("the archives of %s differ", dir)
	}
	nixHash := func(paths ...string) []string {
		return strings.Fields(n.Run("nix-hash", append([]string{"--type", "sha256", "--base32"}, paths...)...))
	}
	byNix, byUs := filepath.Join(n.Home, filepath.Base(dir)+"-by-nix"), filepath.Join(n.Home, filepath.Base(dir)+"-by-us")
	if _, err := n.Feed(ours.Bytes(), "nix-store", "--restore", byNix); err != nil {
		t.Fatal(err)
	}
	if err := nar.Restore(strings.NewReader(theirs), byUs); err != nil {
		t.Fatal(err)
	}
	if a, b := hashes(t, byNix), hashes(t, dir); !slices.Equal(a, b) {
		t.Errorf("what Nix unpacked of ours is something else")
	}
	if a, b := nixHash(trees(t, byUs)...), nixHash(trees(t, dir)...); !slices.Equal(a, b) {
		t.Errorf("what we unpacked of theirs is something else")
	}
	return nixHash(trees(t, dir)...)
}

// What Nix 2.8 refuses of damaged archives, we refuse; and what we take, it
// unpacks to the same tree. We refuse more: what current Nix does, which
// TestMutations holds.
func TestNixMutations(t *testing.T) {
	t.Parallel()
	n := nixtest.Find(t)
	kept := mutations(rand.New(rand.NewPCG(13, 14)), 120)
	var ask func() []string
	if n != nil {
		ask = func() []string { return verdicts(n, "kept", kept) }
	}
	compareVerdicts(t, kept, nixtest.Vectors(t, "testdata/nix/mutations.txt", *update, ask))
	if n != nil {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		others := mutations(rand.New(rand.NewPCG(seed, 0)), 80)
		compareVerdicts(t, others, verdicts(n, "others", others))
	}
}

func mutations(r *rand.Rand, count int) (list [][]byte) {
	all := seeds()
	for range count {
		list = append(list, mutate(r, all[r.IntN(len(all))]))
	}
	return list
}

// verdicts are the hashes of the archives, and what Nix makes of each: the hash
// of what it unpacked, "nothing" or "refused".
func verdicts(n *nixtest.Nix, name string, archives [][]byte) (out []string) {
	for k, b := range archives {
		verdict := "refused"
		place := fmt.Sprintf("%s/%s%d", n.Home, name, k)
		_, refused := n.Feed(b, "nix-store", "--restore", place)
		_, none := os.Lstat(place)
		switch {
		case refused != nil:
		case none != nil:
			verdict = "nothing" // it takes a node of no type, and makes none
		default:
			verdict = strings.TrimSpace(n.Run("nix-hash", "--type", "sha256", "--base32", place))
		}
		out = append(out, fmt.Sprintf("%s %s", short(b), verdict))
	}
	return out
}

func short(b []byte) string { return store.Hash(sha256.Sum256(b)).Base32()[:16] }

func compareVerdicts(t *testing.T, archives [][]byte, theirs []string) {
	t.Helper()
	if len(theirs) != len(archives) {
		t.Fatalf("%d verdicts of %d archives", len(theirs), len(archives))
	}
	taken, refused, stricter := 0, 0, 0
	for k, b := range archives {
		id, verdict, _ := strings.Cut(theirs[k], " ")
		if id != short(b) {
			t.Fatalf("the verdict %d is about %s, not %s: the mutations changed (go test -update)", k, id, short(b))
		}
		in := bytes.NewReader(b)
		_, err := read(in)
		switch {
		case err == nil && in.Len() == 0 && verdict == "refused":
			t.Errorf("Nix refuses what we take:\n%q", b)
		case err == nil && in.Len() == 0:
			taken++
			if got := store.Hash(sha256.Sum256(b)).Base32(); got != verdict {
				t.Errorf("Nix unpacks it as %s, and it is %s:\n%q", verdict, got, b)
			}
		case verdict == "refused":
			refused++
		default:
			stricter++
		}
	}
	t.Logf("%d taken by both, %d refused by both, %d refused by us alone", taken, refused, stricter)
	if taken == 0 || refused == 0 {
		t.Error("the mutations show nothing")
	}
}
