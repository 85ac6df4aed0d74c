// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
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

// fresh is a source of other trees in each run.
func fresh(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// sameLines compares what we say with what Nix does.
func sameLines(t *testing.T, summary string, ours, theirs []string) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Fatalf("%s: %d, theirs %d", summary, len(ours), len(theirs))
	}
	for k := range ours {
		if ours[k] != theirs[k] {
			t.Errorf("%s %d:\nours:   %s\ntheirs: %s", summary, k, ours[k], theirs[k])
		}
	}
}

// Trees of the vectors, and of each run besides.
const (
	keptTrees  = 120
	freshTrees = 400
)

var algos = []string{"md5", "sha1", "sha256", "sha512"}

// Random trees have the path, the archive hash, the size and the content
// address that Nix gives them, in each way to add them.
func TestNixAdd(t *testing.T) {
	t.Parallel()
	n := nixtest.Find(t)
	dir := fastDir(t)
	kept := rand.New(rand.NewPCG(1, 2))
	trees := randomTrees(t, kept, dir+"/kept", keptTrees)
	addTrees(t, n, "testdata/nix/add.txt", trees)
	if n != nil {
		addTrees(t, n, "", randomTrees(t, fresh(t), dir+"/fresh", freshTrees))
	}
}

func randomTrees(t *testing.T, r *rand.Rand, dir string, count int) (trees []string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for k := range count {
		trees = append(trees, fmt.Sprintf("%s/tree%d", dir, k))
		nixtest.RandomTree(t, r, trees[k])
	}
	return trees
}

// addTrees adds all as they are, and by one algorithm each, and those that are
// files flat, too. The address of a flat one does not tell whether it may be
// run; Nix keeps that bit, and we do not, lest one path stand for two contents.
// So of an executable only path and address are compared.
func addTrees(t *testing.T, n *nixtest.Nix, vectors string, trees []string) {
	t.Helper()
	ctx := context.Background()
	s := openAt(t, fastDir(t)+"/root")
	l := lease(t, s)
	// One process of Nix takes many trees.
	type batch struct {
		args  []string
		trees []string
		add   func(tree string) (store.Info, error)
		loose map[string]bool // trees of which two items may have one path
	}
	batches := []batch{{args: []string{"--add"}, trees: trees, add: func(tree string) (store.Info, error) {
		return s.AddTree(ctx, l, filepath.Base(tree), tree, nil)
	}}}
	for k, algo := range algos {
		some := batch{args: []string{"--add-fixed", "--recursive", algo}, add: func(tree string) (store.Info, error) {
			return addFixed(s, l, tree, algo, true)
		}}
		flat := batch{args: []string{"--add-fixed", algo}, loose: map[string]bool{}, add: func(tree string) (store.Info, error) {
			return addFixed(s, l, tree, algo, false)
		}}
		for i, tree := range trees {
			if i%len(algos) == k {
				some.trees = append(some.trees, tree)
			}
			if st, err := os.Lstat(tree); err != nil {
				t.Fatal(err)
			} else if st.Mode().IsRegular() {
				flat.trees = append(flat.trees, tree)
				flat.loose[tree] = st.Mode()&0o100 != 0
			}
		}
		batches = append(batches, some, flat)
	}
	describe := func(i store.Info, loose bool) string {
		if loose {
			return string(i.Path) + " " + i.CA
		}
		return nixtest.Describe(i)
	}
	var ours []string
	for _, b := range batches {
		for _, tree := range b.trees {
			i, err := b.add(tree)
			if err != nil {
				t.Fatal(err)
			}
			ours = append(ours, describe(i, b.loose[tree]))
		}
	}
	ask := func() (theirs []string) {
		for _, b := range batches {
			for k, i := range n.Infos(n.Store(append(b.args, b.trees...)...)...) {
				theirs = append(theirs, describe(i, b.loose[b.trees[k]]))
			}
		}
		return theirs
	}
	var theirs []string
	switch {
	case vectors == "":
		theirs = ask()
	case n == nil:
		theirs = nixtest.Vectors(t, vectors, *update, nil)
	default:
		theirs = nixtest.Vectors(t, vectors, *update, ask)
	}
	sameLines(t, "item", ours, theirs)
	t.Logf("%d trees, %d items", len(trees), len(ours))
	mustVerify(t, s)
}

// addFixed also computes the path alone.
func addFixed(s *store.Store, l *store.Lease, tree, algo string, recursive bool) (store.Info, error) {
	ctx := context.Background()
	i, err := s.AddFixed(ctx, l, filepath.Base(tree), tree, algo, nil, recursive)
	if err != nil {
		return i, err
	}
	p, err := store.ComputeFixed(ctx, filepath.Base(tree), tree, algo, recursive)
	if err == nil && p != i.Path {
		err = fmt.Errorf("added as %s and computed as %s", i.Path, p)
	}
	return i, err
}

// A file of more than 4 GiB, which is only hashed: its size does not fit into
// 32 bits.
func TestNixLargeFile(t *testing.T) {
	if testing.Short() {
		t.Skip("short: 4 GiB are not hashed")
	}
	t.Parallel()
	var n *nixtest.Nix
	if *update || os.Getenv(envLong) != "" {
		n = nixtest.Find(t) // it takes as long as we do
	}
	file := filepath.Join(t.TempDir(), "large")
	const size = 4<<30 + 9
	if err := os.WriteFile(file, []byte("start"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	var ask func() []string
	if n != nil {
		ask = func() []string { return strings.Fields(n.Run("nix-hash", "--type", "sha256", "--base32", file)) }
	}
	theirs := nixtest.Vectors(t, "testdata/nix/large.txt", *update, ask)
	h, archive, err := nar.Hash(context.Background(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The magic, five words, the size, and the padding of 9 bytes.
	if got := store.Hash(h).Base32(); got != theirs[0] || archive != size+24+5*16+8+7 {
		t.Errorf("%s, %d bytes; theirs %s", got, archive, theirs[0])
	}
}

// Texts refer to any number of others, and the address counts them.
func TestNixText(t *testing.T) {
	t.Parallel()
	n := nixtest.Find(t)
	s := openAt(t, fastDir(t)+"/root")
	l := lease(t, s)
	r := rand.New(rand.NewPCG(3, 4))
	var (
		all  []store.Path
		ours []string
		expr strings.Builder
	)
	expr.WriteString("let\n")
	for k := range 60 {
		// The n-th text refers to up to n others, some of them twice.
		content, script := fmt.Sprintf("text %d\n", k), fmt.Sprintf("text %d\n", k)
		var refs []store.Path
		for range min(k, r.IntN(k/3+2)) {
			to := r.IntN(k)
			content += string(all[to]) + "/x "
			script += fmt.Sprintf("${t%d}/x ", to)
			refs = append(refs, all[to])
		}
		name := []string{"a", "b.conf", "c+d?e=f", strings.Repeat("n", 200)}[k%4]
		i, err := s.AddText(context.Background(), l, name, []byte(content), refs)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, i.Path)
		ours = append(ours, nixtest.Describe(i))
		fmt.Fprintf(&expr, "t%d = builtins.toFile %q \"%s\";\n", k, name, strings.ReplaceAll(script, "\n", `\n`))
	}
	expr.WriteString("in [")
	for k := range all {
		fmt.Fprintf(&expr, " t%d", k)
	}
	expr.WriteString(" ]")
	var ask func() []string
	if n != nil {
		ask = func() []string { return nixtest.DescribeAll(n.Infos(n.List(expr.String())...)) }
	}
	sameLines(t, "text", ours, nixtest.Vectors(t, "testdata/nix/text.txt", *update, ask))
	mustVerify(t, s)
}

// What is only computed from a hash.
func TestNixFixedPath(t *testing.T) {
	t.Parallel()
	n := nixtest.Find(t)
	var ours []string
	type query struct{ args []string }
	var queries []query
	for _, algo := range algos {
		size := map[string]int{"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}[algo]
		digest := nixtest.RandomBytes(rand.New(rand.NewPCG(5, 6)), size)
		for _, recursive := range []bool{false, true} {
			for _, name := range []string{"x", "+-._?="} {
				p, err := store.FixedPath(name, algo, digest, recursive)
				if err != nil {
					t.Fatal(err)
				}
				ours = append(ours, string(p))
				args := []string{"--print-fixed-path", algo, fmt.Sprintf("%x", digest), name}
				if recursive {
					args = slices.Insert(args, 1, "--recursive")
				}
				queries = append(queries, query{args})
			}
		}
	}
	var ask func() []string
	if n != nil {
		ask = func() (theirs []string) {
			for _, q := range queries {
				theirs = append(theirs, n.Store(q.args...)...)
			}
			return theirs
		}
	}
	sameLines(t, "path", ours, nixtest.Vectors(t, "testdata/nix/fixed.txt", *update, ask))
}
