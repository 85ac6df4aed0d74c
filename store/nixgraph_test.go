// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"crypto/sha256"
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

// answers are what we say, and what Nix says, of the same questions: a line
// each, with the size of a set and the hash of its sorted members.
type answers struct {
	t            *testing.T
	n            *nixtest.Nix // nil where it is absent
	ours, theirs []string
}

func (a *answers) line(summary string, words []string) string {
	words = slices.Compact(slices.Sorted(slices.Values(words)))
	return fmt.Sprintf("%s: %d %s", summary, len(words), store.Hash(sha256.Sum256([]byte(strings.Join(words, "\n")))).Base32()[:20])
}

// add compares our answer with that of Nix, which ask gets.
func (a *answers) add(summary string, ours []string, ask func() []string) {
	a.t.Helper()
	a.ours = append(a.ours, a.line(summary, ours))
	if a.n == nil {
		return
	}
	theirs := ask()
	a.theirs = append(a.theirs, a.line(summary, theirs))
	if a.line("", ours) != a.line("", theirs) {
		a.t.Errorf("%s:\nours:   %.2000q\ntheirs: %.2000q", summary, ours, theirs)
	}
}

// hold compares all answers with those that Nix gave once.
func (a *answers) hold(file string) {
	a.t.Helper()
	var ask func() []string
	if a.n != nil {
		ask = func() []string { return a.theirs }
	}
	sameLines(a.t, "answer", a.ours, nixtest.Vectors(a.t, file, *update, ask))
}

func texts(paths []store.Path) []string {
	out := make([]string, len(paths))
	for k, p := range paths {
		out[k] = string(p)
	}
	return out
}

// Nix reads our store as it lies on disk: it takes what dump-db prints, finds
// the same references and closures, and nothing wrong with any content.
func TestNixLoadDB(t *testing.T) {
	t.Parallel()
	n := nixtest.Find(t)
	loadDB(t, n, rand.New(rand.NewPCG(9, 10))).hold("testdata/nix/graph.txt")
	if n != nil {
		loadDB(t, n, fresh(t))
	}
}

func loadDB(t *testing.T, n *nixtest.Nix, r *rand.Rand) *answers {
	t.Helper()
	s := openAt(t, fastDir(t)+"/root")
	zoo(t, s)
	l := lease(t, s)
	randomGraph(t, s, l, r, 100)
	a := &answers{t: t, n: n}
	on := n
	if n != nil {
		on = n.Load(s)
		on.Run("nix-store", "--store", on.URI, "--verify", "--check-contents")
		on.Run("nix", "store", "verify", "--store", on.URI, "--all", "--no-trust")
	}
	infos, err := s.Infos()
	if err != nil {
		t.Fatal(err)
	}
	var all, described, hashes, sizes, edges []string
	for _, i := range infos {
		all = append(all, string(i.Path))
		hashes = append(hashes, "sha256:"+i.NarHash.Base32())
		sizes = append(sizes, fmt.Sprint(i.NarSize))
		// An edge leads from what is needed to what needs it; none leads to
		// itself.
		for _, ref := range i.References {
			if ref != i.Path {
				edges = append(edges, ref.Base()+" "+i.Path.Base())
			}
		}
		i.CA = "" // load-db drops it
		described = append(described, nixtest.Describe(i))
	}
	a.add("infos", described, func() []string { return nixtest.DescribeAll(on.Infos(all...)) })
	a.add("hashes", hashes, func() []string { return on.Store(append([]string{"--query", "--hash"}, all...)...) })
	a.add("sizes", sizes, func() []string { return on.Store(append([]string{"--query", "--size"}, all...)...) })
	a.add("edges", edges, func() (theirs []string) {
		for _, m := range regexp.MustCompile(`"([^"]+)" -> "([^"]+)"`).FindAllStringSubmatch(on.Run("nix-store", append([]string{"--store", on.URI, "-q", "--graph"}, all...)...), -1) {
			theirs = append(theirs, m[1]+" "+m[2])
		}
		return theirs
	})
	for k := 0; k < len(infos); k += 9 {
		p := infos[k].Path
		referrers, err := s.Referrers(p)
		if err != nil {
			t.Fatal(err)
		}
		closed := requisites(t, s, p)
		a.add("referrers "+p.Base(), texts(referrers), func() []string { return on.Store("-q", "--referrers", string(p)) })
		a.add("closure "+p.Base(), texts(closed), func() []string { return on.Store("-qR", string(p)) })
		a.add("all referrers "+p.Base(), texts(referrersClosure(t, s, p)), func() []string { return on.Store("-q", "--referrers-closure", string(p)) })
		// Why an item needs another: a chain as short as that of Nix, which
		// tells of no item why it needs itself.
		to := closed[k%len(closed)]
		if p == to {
			continue
		}
		chain, err := closure.Why(s, p, to)
		if err != nil || len(chain) == 0 || chain[0] != p || chain[len(chain)-1] != to {
			t.Fatalf("why %s needs %s: %q, %v", p, to, chain, err)
		}
		for k := range chain[1:] {
			if i, err := s.Info(chain[k]); err != nil || !slices.Contains(i.References, chain[k+1]) {
				t.Errorf("%s does not refer to %s, %v", chain[k], chain[k+1], err)
			}
		}
		a.add("why "+p.Base()+" "+to.Base(), []string{fmt.Sprint(len(chain))}, func() []string {
			return []string{fmt.Sprint(strings.Count(on.Run("nix", "why-depends", "--store", on.URI, string(p), string(to)), store.Dir+"/"))}
		})
	}
	return a
}

// Both find the same items damaged.
func TestNixDamage(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	for summary, count := range map[string]int{"2000 items": 2_000, "20000 items": 20_000} {
		t.Run(summary, func(t *testing.T) {
			if count > 2_000 && os.Getenv(envLong) == "" {
				t.Skipf("%s are for the long tests: set %s", summary, envLong)
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
	t.Parallel()
	n := nixtest.Find(t)
	collect(t, n, rand.New(rand.NewPCG(17, 18))).hold("testdata/nix/garbage.txt")
	if n != nil {
		collect(t, n, fresh(t))
	}
}

func collect(t *testing.T, n *nixtest.Nix, r *rand.Rand) *answers {
	t.Helper()
	s := openAt(t, fastDir(t)+"/root")
	l, err := s.NewLease("graph")
	if err != nil {
		t.Fatal(err)
	}
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
	a := &answers{t: t, n: n}
	on, links, places := n, fastDir(t), []string{s.Root() + "/roots"}
	if n != nil {
		on = n.Load(s)
		places = append(places, strings.TrimPrefix(regexp.MustCompile(`state=[^&]*`).FindString(on.URI), "state=")+"/gcroots")
	}
	direct := func(name, target string) {
		t.Helper()
		for _, dir := range places {
			err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
			if err := errors.Join(err, os.Symlink(target, filepath.Join(dir, name))); err != nil {
				t.Fatal(err)
			}
		}
	}
	indirect := func(name string, p store.Path) {
		t.Helper()
		if err := s.AddRoot(links+"/"+name, p); err != nil {
			t.Fatal(err)
		}
		if n != nil {
			on.Store("--add-root", links+"/"+name+"-nix", "--indirect", "-r", string(p))
		}
	}
	pick := func() store.Path { return all[r.IntN(200)] }
	compare := func(summary string) (dead []store.Path) {
		t.Helper()
		res, err := s.GC(context.Background(), store.GCOptions{DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		living := slices.DeleteFunc(slices.Clone(all), func(p store.Path) bool { return slices.Contains(res.Freed, p) })
		a.add(summary+": dead", texts(res.Freed), func() []string { return on.Store("--gc", "--print-dead") })
		a.add(summary+": living", texts(living), func() []string { return on.Store("--gc", "--print-live") })
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
		indirect(fmt.Sprint(k), pick())
	}
	compare("indirect roots")
	indirect("stale", lone)
	if dead := compare("another indirect root"); slices.Contains(dead, lone) {
		t.Error("an indirect root keeps nothing")
	}
	for _, name := range []string{"stale", "stale-nix"} {
		if err := os.Remove(links + "/" + name); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if dead := compare("a stale root"); !slices.Contains(dead, lone) {
		t.Error("a root that is gone keeps an item")
	}
	for _, dir := range places {
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
	return a
}
