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
	"regexp"
	"slices"
	"strings"
	"testing"

	"osbuild/closure"
	"osbuild/store"
	"osbuild/store/cache/nixtest"
)

// randomGraph adds texts that refer to up to five before them.
func randomGraph(t *testing.T, s *store.Store, l *store.Lease, r *rand.Rand, count int) (all []store.Path) {
	t.Helper()
	for k := range count {
		content := fmt.Sprintf("node %d", k)
		var refs []store.Path
		for range min(k, r.IntN(6)) {
			// Near ones, mostly, so that the graph is deep.
			to := r.IntN(k)
			if r.IntN(3) > 0 {
				to = max(0, k-1-r.IntN(20))
			}
			content += " " + string(all[to])
			refs = append(refs, all[to])
		}
		all = append(all, text(t, s, l, "node", content, refs...))
	}
	return all
}

// expectSet compares sets of paths.
func expectSet(t *testing.T, summary string, ours []store.Path, theirs []string) {
	t.Helper()
	var got []string
	for _, p := range ours {
		got = append(got, string(p))
	}
	slices.Sort(got)
	theirs = slices.Compact(slices.Sorted(slices.Values(theirs)))
	if !slices.Equal(got, theirs) {
		t.Errorf("%s: %d paths, theirs %d", summary, len(got), len(theirs))
	}
}

func requisites(t *testing.T, s *store.Store, paths ...store.Path) (out []store.Path) {
	t.Helper()
	infos, err := closure.Compute(s, paths...)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		out = append(out, i.Path)
	}
	return out
}

// Nix reads our store as it lies on disk: it takes what dump-db prints, finds
// the same references and closures, and nothing wrong with any content.
func TestNixLoadDB(t *testing.T) {
	n := nixtest.New(t)
	s := openAt(t, fastDir(t)+"/root")
	zoo(t, s)
	l := lease(t, s)
	randomGraph(t, s, l, rand.New(rand.NewPCG(9, 10)), 100)
	on := n.Load(s)
	on.Run("nix-store", "--store", on.URI, "--verify", "--check-contents")
	on.Run("nix", "store", "verify", "--store", on.URI, "--all", "--no-trust")
	infos, err := s.Infos()
	if err != nil {
		t.Fatal(err)
	}
	var (
		all          []string
		ours, hashes []string
		sizes        []string
		edges        []string
	)
	for _, i := range infos {
		all = append(all, string(i.Path))
		hashes = append(hashes, "sha256:"+i.NarHash.Base32())
		sizes = append(sizes, fmt.Sprint(i.NarSize))
		// An edge leads from what is needed to what needs it; none leads to
		// itself.
		for _, r := range i.References {
			if r != i.Path {
				edges = append(edges, r.Base()+" "+i.Path.Base())
			}
		}
		i.CA = "" // load-db drops it
		ours = append(ours, nixtest.Describe(i))
	}
	sameLines(t, "item", ours, nixtest.DescribeAll(on.Infos(all...)))
	sameLines(t, "hash", hashes, on.Store(append([]string{"--query", "--hash"}, all...)...))
	sameLines(t, "size", sizes, on.Store(append([]string{"--query", "--size"}, all...)...))
	var theirs []string
	for _, m := range regexp.MustCompile(`"([^"]+)" -> "([^"]+)"`).FindAllStringSubmatch(on.Run("nix-store", append([]string{"--store", on.URI, "-q", "--graph"}, all...)...), -1) {
		theirs = append(theirs, m[1]+" "+m[2])
	}
	slices.Sort(edges)
	slices.Sort(theirs)
	sameLines(t, "edge", edges, theirs)
	for k := 0; k < len(infos); k += 9 {
		p := infos[k].Path
		referrers, err := s.Referrers(p)
		if err != nil {
			t.Fatal(err)
		}
		expectSet(t, "what refers to "+string(p), referrers, on.Store("-q", "--referrers", string(p)))
		theirs := on.Store("-qR", string(p))
		expectSet(t, "the closure of "+string(p), requisites(t, s, p), theirs)
		// Why an item needs another: a chain as short as that of Nix.
		to := store.Path(theirs[0])
		chain, err := closure.Why(s, p, to)
		if err != nil || len(chain) == 0 || chain[0] != p || chain[len(chain)-1] != to {
			t.Fatalf("why %s needs %s: %q, %v", p, to, chain, err)
		}
		for k := range chain[1:] {
			if i, err := s.Info(chain[k]); err != nil || !slices.Contains(i.References, chain[k+1]) {
				t.Errorf("%s does not refer to %s, %v", chain[k], chain[k+1], err)
			}
		}
		// Nix shows the last one before a reference to itself, too.
		why := on.Run("nix", "why-depends", "--store", on.URI, string(p), string(to))
		if n := strings.Count(why, store.Dir+"/"); p != to && n != len(chain) {
			t.Errorf("why %s needs %s: a chain of %d, that of Nix has %d:\n%s", p, to, len(chain), n, why)
		}
	}
}

// Both find the same items damaged.
func TestNixDamage(t *testing.T) {
	n := nixtest.New(t)
	s := openAt(t, fastDir(t)+"/root")
	animals := zoo(t, s)
	on := n.Load(s)
	// Nix counts its modes as the archive does: only whether it may be run.
	for name, do := range map[string]func(place string) error{
		"text":             func(p string) error { return os.WriteFile(p, []byte("another"), 0o444) },
		"tree":             func(p string) error { return os.WriteFile(p+"/more", nil, 0o444) },
		"recursive-sha512": func(p string) error { return os.Chmod(p+"/f", 0o555) },
		"output":           func(p string) error { return errors.Join(os.Remove(p+"/again"), os.Symlink("elsewhere", p+"/again")) },
		"recursive-md5":    func(p string) error { return os.Remove(p + "/l") },
		"flat-sha1": func(p string) error {
			text, err := os.ReadFile(p)
			text[0] ^= 1
			return errors.Join(err, os.WriteFile(p, text, 0o444))
		},
	} {
		harm(t, s.Physical(animals[name]), func() error { return do(s.Physical(animals[name])) })
	}
	report, err := s.Verify(context.Background(), store.VerifyOptions{Contents: true})
	if err != nil {
		t.Fatal(err)
	}
	var ours []store.Path
	for _, p := range report.Problems {
		if !slices.Contains(ours, p.Path) {
			ours = append(ours, p.Path)
		}
	}
	_, err = on.Try("nix-store", "--store", on.URI, "--verify", "--check-contents")
	if err == nil {
		t.Fatal("Nix finds nothing wrong")
	}
	var theirs []string
	for _, m := range regexp.MustCompile(`path '([^']+)' was modified`).FindAllStringSubmatch(err.Error(), -1) {
		theirs = append(theirs, m[1])
	}
	expectSet(t, "damaged", ours, theirs)
	if len(ours) != 6 {
		t.Errorf("we find %q damaged", ours)
	}
	for _, p := range ours {
		if _, err := on.Try("nix-store", "--store", on.URI, "--verify-path", string(p)); err == nil {
			t.Errorf("Nix finds nothing wrong with %s", p)
		}
	}
}

// Closures of large graphs, both ways, are the same sets, and the order in
// which Nix names one is sound by our references.
func TestNixClosures(t *testing.T) {
	for _, count := range []int{2_000, 20_000} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			if count > 2_000 && os.Getenv(envLong) == "" {
				t.Skip("20,000 items: with " + envLong)
			}
			n := nixtest.New(t)
			s := openAt(t, fastDir(t)+"/root")
			l := lease(t, s)
			r := fresh(t)
			all := randomGraph(t, s, l, r, count)
			on := n.Load(s)
			for range 5 {
				p := all[count/2+r.IntN(count/2)]
				theirs := on.Store("-qR", string(p))
				expectSet(t, "the closure of "+string(p), requisites(t, s, p), theirs)
				place := make(map[store.Path]int)
				for k, q := range theirs {
					place[store.Path(q)] = k
				}
				for _, q := range theirs {
					i, err := s.Info(store.Path(q))
					if err != nil {
						t.Fatal(err)
					}
					for _, ref := range i.References {
						if place[ref] > place[i.Path] {
							t.Errorf("Nix names %s before %s, which it refers to", q, ref)
						}
					}
				}
				low := all[r.IntN(count/2)]
				expectSet(t, "all that need "+string(low), referrersClosure(t, s, low), on.Store("-q", "--referrers-closure", string(low)))
			}
		})
	}
}

// referrersClosure is what needs an item, the item included.
func referrersClosure(t *testing.T, s *store.Store, p store.Path) (out []store.Path) {
	t.Helper()
	infos, err := s.Infos()
	if err != nil {
		t.Fatal(err)
	}
	// Not by [store.Store.Referrers], which reads all infos each time.
	referrers := make(map[store.Path][]store.Path)
	for _, i := range infos {
		for _, r := range i.References {
			referrers[r] = append(referrers[r], i.Path)
		}
	}
	seen := map[store.Path]bool{p: true}
	for queue := []store.Path{p}; len(queue) > 0; queue = queue[1:] {
		out = append(out, queue[0])
		for _, r := range referrers[queue[0]] {
			if !seen[r] {
				seen[r] = true
				queue = append(queue, r)
			}
		}
	}
	return out
}

// The same graph with the same roots has the same living and the same dead.
func TestNixGC(t *testing.T) {
	n := nixtest.New(t)
	s := openAt(t, fastDir(t)+"/root")
	l, err := s.NewLease("graph")
	if err != nil {
		t.Fatal(err)
	}
	r := fresh(t)
	all := randomGraph(t, s, l, r, 300)
	lone := text(t, s, l, "lone", "nobody refers to it")
	kept := text(t, s, l, "kept", "a file keeps it")
	inside, err := s.AddTree(context.Background(), l, "inside", writeTree(t, map[string]string{"bin/x": "x"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all = append(all, lone, kept, inside.Path)
	on := n.Load(s)
	theirRoots := strings.TrimPrefix(regexp.MustCompile(`state=[^&]*`).FindString(on.URI), "state=") + "/gcroots"
	direct := func(name, target string) {
		t.Helper()
		for _, dir := range []string{s.Root() + "/roots", theirRoots} {
			err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
			if err := errors.Join(err, os.Symlink(target, filepath.Join(dir, name))); err != nil {
				t.Fatal(err)
			}
		}
	}
	indirect := func(k int, p store.Path) (ours, theirs string) {
		t.Helper()
		ours = filepath.Join(n.Home, fmt.Sprintf("root%d", k))
		on.Store("--add-root", ours+"-nix", "--indirect", "-r", string(p))
		if err := s.AddRoot(ours, p); err != nil {
			t.Fatal(err)
		}
		return ours, ours + "-nix"
	}
	pick := func() store.Path { return all[r.IntN(200)] }
	compare := func(summary string) (dead []store.Path) {
		t.Helper()
		res, err := s.GC(context.Background(), store.GCOptions{DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		expectSet(t, summary+": dead", res.Freed, on.Store("--gc", "--print-dead"))
		living := slices.DeleteFunc(slices.Clone(all), func(p store.Path) bool { return slices.Contains(res.Freed, p) })
		expectSet(t, summary+": living", living, on.Store("--gc", "--print-live"))
		return res.Freed
	}
	if dead := compare("no root"); len(dead) != len(all) {
		t.Errorf("%d of %d are dead without a root", len(dead), len(all))
	}
	direct("a", string(pick()))
	direct("deep/er/b", string(pick()))
	direct("into-an-item", string(inside.Path)+"/bin/x")
	direct("elsewhere", "/etc")
	direct("nowhere", store.Dir+"/"+strings.Repeat("0", 32)+"-gone")
	compare("direct roots")
	for k := range 3 {
		indirect(k, pick())
	}
	compare("indirect roots")
	a, b := indirect(3, lone)
	if dead := compare("another indirect root"); slices.Contains(dead, lone) {
		t.Error("an indirect root keeps nothing")
	}
	if err := errors.Join(os.Remove(a), os.Remove(b)); err != nil {
		t.Fatal(err)
	}
	if dead := compare("a stale root"); !slices.Contains(dead, lone) {
		t.Error("a root that is gone keeps an item")
	}
	for _, dir := range []string{s.Root() + "/roots", theirRoots} {
		if err := os.WriteFile(filepath.Join(dir, kept.Base()), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dead := compare("a file that is named as the item")
	if slices.Contains(dead, kept) || len(dead) == 0 {
		t.Errorf("%d are dead; %s among them: %t", len(dead), kept, slices.Contains(dead, kept))
	}
	// And that is what goes.
	res, err := s.GC(context.Background(), store.GCOptions{})
	if err != nil || len(res.Freed) != len(dead) {
		t.Errorf("%d go, %v", len(res.Freed), err)
	}
	mustVerify(t, s)
}
