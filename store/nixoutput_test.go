// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/cache/nixtest"
)

// Outputs of the vectors that are not in outputCases, and of each run besides.
const (
	keptOutputs  = 30
	freshOutputs = 20
)

// randomOutput is an output in whose files references lie as they like: glued
// to each other and to digits, cut short, across the borders of buffers, in
// links, among bytes of any value. With bare there are digests of others
// without a path around them, whole and not.
func randomOutput(r *rand.Rand, summary string, bare bool) outputCase {
	const digits = "0123456789abcdfghijklmnpqrsvwxyz"
	references := []string{
		"OUT", "OUTHASH", "OUTHASH", "DEP0", "DEP1", "DEP2", "DEP2HASH", "DEP3",
	}
	if bare {
		references = append(references, "DEP0HASH", "DEP1HASH", "DEP3HASH", "NEAR0", "NEAR1")
	}
	glue := func(n int) string {
		b := make([]byte, r.IntN(n))
		for k := range b {
			b[k] = digits[r.IntN(len(digits))]
		}
		return string(b)
	}
	content := func() string {
		var b strings.Builder
		for range 1 + r.IntN(6) {
			switch r.IntN(5) {
			case 0:
				b.WriteString(glue(70))
			case 1:
				b.Write(nixtest.RandomBytes(r, r.IntN(200)))
			case 2:
				// The next one starts near a border of 64 KiB, if all before
				// it is literal.
				border := 64 << 10 * (1 + r.IntN(3))
				if pad := border - b.Len() - r.IntN(40) + 4; pad > 0 {
					b.WriteString(strings.Repeat("x", pad))
				}
			}
			b.WriteString(references[r.IntN(len(references))])
		}
		return b.String()
	}
	files := map[string]string{}
	names := []string{"a", "b", "bin/x", "lib/so", "share/doc/t", "z"}
	for range 1 + r.IntN(4) {
		name := names[r.IntN(len(names))]
		switch r.IntN(5) {
		case 0:
			files[name] = "-> " + references[r.IntN(len(references))] + "/" + glue(40) + references[r.IntN(len(references))]
		case 1:
			files[name] = "#!" + content()
		default:
			files[name] = content()
		}
	}
	return outputCase{summary, files}
}

func randomOutputs(r *rand.Rand, count int, bare bool) (cases []outputCase) {
	for k := range count {
		cases = append(cases, randomOutput(r, fmt.Sprintf("random %d", k), bare))
	}
	return cases
}

// baseOutput is what other outputs refer to as DEP3: an output itself.
var baseOutput = outputCase{"base", map[string]string{"f": "OUT DEP0 DEP2", "l": "-> OUT/f"}}

const dep2File = "a file in a folder\n"

// writeScript writes what a builder of Nix needs for the case below dir: a
// script, and the parts of its files that are no references.
func (c outputCase) writeScript(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// The shell replaces the words.
	values := []string{"OUTHASH", "${outhash}", "OUT", "${out}"}
	vars := []string{"out"}
	for k := range 4 {
		dep := fmt.Sprintf("dep%d", k)
		vars = append(vars, dep)
		values = append(values, fmt.Sprintf("DEP%dHASH", k), "${"+dep+"hash}", fmt.Sprintf("NEAR%d", k), "${"+dep+"hash%?}", fmt.Sprintf("DEP%d", k), "${"+dep+"}")
	}
	words := make(map[string]string)
	for k := 0; k < len(values); k += 2 {
		words[values[k]] = values[k+1]
	}
	const b = "/bin/busybox "
	var script strings.Builder
	script.WriteString("set -e\n")
	for _, v := range vars {
		fmt.Fprintf(&script, "%[1]shash=${%[1]s##*/}; %[1]shash=${%[1]shash%%%%-*}\n", v)
	}
	script.WriteString(b + "mkdir -p $out\n")
	parts := 0
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		text := c.files[name]
		fmt.Fprintf(&script, b+"mkdir -p $out/%s\n", filepath.Dir(name))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			fmt.Fprintf(&script, b+"ln -s \"%s\" $out/%s\n", strings.NewReplacer(values...).Replace(target), name)
			continue
		}
		script.WriteString("{ :\n")
		for _, piece := range splitWords(text, words) {
			if v, ok := words[piece]; ok {
				fmt.Fprintf(&script, "printf %%s \"%s\"\n", v)
				continue
			}
			if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, parts), []byte(piece), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(&script, b+"cat $parts/%d\n", parts)
			parts++
		}
		fmt.Fprintf(&script, "} > $out/%s\n", name)
		if strings.HasPrefix(text, "#!") {
			fmt.Fprintf(&script, b+"chmod +x $out/%s\n", name)
		}
	}
	return os.WriteFile(dir+"/build.sh", []byte(script.String()), 0o644)
}

// splitWords cuts a text before and behind each word, the longest that fits.
func splitWords(text string, words map[string]string) (pieces []string) {
	longest := slices.SortedFunc(maps.Keys(words), func(a, b string) int { return len(b) - len(a) })
	literal := 0
	for k := 0; k < len(text); {
		n := slices.IndexFunc(longest, func(w string) bool { return strings.HasPrefix(text[k:], w) })
		if n < 0 {
			k++
			continue
		}
		if k > literal {
			pieces = append(pieces, text[literal:k])
		}
		pieces = append(pieces, longest[n])
		k += len(longest[n])
		literal = k
	}
	if literal < len(text) {
		pieces = append(pieces, text[literal:])
	}
	return pieces
}

// buildOutputs lets Nix build the cases, with paths that follow from content
// or from inputs. It returns "" and an error where its sandbox does not work.
func buildOutputs(t *testing.T, n *nixtest.Nix, dir string, cases []outputCase, addressed bool) ([]string, error) {
	t.Helper()
	if err := errors.Join(baseOutput.writeScript(filepath.Join(n.Home, dir, "base")), os.MkdirAll(filepath.Join(n.Home, dir, "dep2"), 0o755)); err != nil {
		t.Fatal(err)
	}
	n.Write(dir+"/dep2/file", dep2File)
	var expr strings.Builder
	mark := ""
	if addressed {
		mark = `__contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";`
	}
	fmt.Fprintf(&expr, `let dep0 = builtins.toFile "dep0" "dep0"; dep1 = builtins.toFile "dep1" "dep1"; dep2 = ./dep2;
  mk = parts: dep3: derivation {
    name = "out"; system = builtins.currentSystem; builder = "/bin/busybox"; inherit parts dep0 dep1 dep2 dep3;
    args = [ "sh" "${parts}/build.sh" ]; %s };
  base = mk ./base dep0;
in [
`, mark)
	for k, c := range cases {
		if err := c.writeScript(fmt.Sprintf("%s/%s/case%d", n.Home, dir, k)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&expr, "(mk ./case%d base)\n", k)
	}
	expr.WriteString("]\n")
	out, err := n.Try("nix-build", "--store", n.URI, "--no-out-link", "--option", "sandbox", "true", "--option", "sandbox-paths", "/bin/busybox", n.Write(dir+"/outputs.nix", expr.String()))
	return strings.Fields(out), err
}

// Outputs with references, to themselves too, get the path that Nix gives them
// as content-addressed derivations.
func TestNixOutputs(t *testing.T) {
	t.Parallel()
	n := sandboxed(t)
	s := openAt(t, fastDir(t)+"/root")
	l := lease(t, s)
	deps := []store.Path{text(t, s, l, "dep0", "dep0"), text(t, s, l, "dep1", "dep1"), addDep2(t, s, l)}
	compareOutputs(t, n, s, l, deps, "testdata/nix/output.txt", func(cases []outputCase, dir string) []string {
		paths, err := buildOutputs(t, n, dir, cases, true)
		if err != nil {
			t.Fatal(err)
		}
		return nixtest.DescribeAll(n.Infos(paths...))
	}, true, outputCases...)
}

// The same outputs, built by Nix with paths that follow from their inputs, get
// our paths when Nix rewrites their whole closure to content addresses. It
// makes trees of texts then, and finds only whole paths to rewrite.
func TestNixRewrittenOutputs(t *testing.T) {
	t.Parallel()
	n := sandboxed(t)
	s := openAt(t, fastDir(t)+"/root")
	l := lease(t, s)
	var deps []store.Path
	for _, name := range []string{"dep0", "dep1"} {
		i, err := s.AddTree(context.Background(), l, name, writeTree(t, map[string]string{name: name})+"/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		deps = append(deps, i.Path)
	}
	deps = append(deps, addDep2(t, s, l))
	compareOutputs(t, n, s, l, deps, "testdata/nix/rewritten.txt", func(cases []outputCase, dir string) []string {
		paths, err := buildOutputs(t, n, dir, cases, false)
		if err != nil {
			t.Fatal(err)
		}
		var result struct{ Rewrites map[string]string }
		out := n.Run("nix", append([]string{"store", "make-content-addressed", "--json", "--store", n.URI}, paths...)...)
		if err := json.Unmarshal([]byte(out), &result); err != nil {
			t.Fatal(err)
		}
		for k, p := range paths {
			paths[k] = result.Rewrites[p]
		}
		return nixtest.DescribeAll(n.Infos(paths...))
	}, false)
}

// sandboxed is a peer that can build, or nil.
func sandboxed(t *testing.T) *nixtest.Nix {
	t.Helper()
	n := nixtest.Find(t)
	if n == nil {
		return nil
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Log("SKIP-ENV: /bin/busybox is missing, so no output is built by Nix (Debian package busybox-static); the vectors stand for it")
		return nil
	}
	if _, err := buildOutputs(t, n, "probe", []outputCase{{"", map[string]string{"f": "x"}}}, true); err != nil {
		t.Logf("SKIP-ENV: Nix cannot build in its sandbox here, so the vectors stand for it: %v", err)
		return nil
	}
	return n
}

func addDep2(t *testing.T, s *store.Store, l *store.Lease) store.Path {
	t.Helper()
	i, err := s.AddTree(context.Background(), l, "dep2", writeTree(t, map[string]string{"file": dep2File}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return i.Path
}

// compareOutputs makes outputs of the vectors, and others, and compares them
// with what Nix makes of the same cases.
func compareOutputs(t *testing.T, n *nixtest.Nix, s *store.Store, l *store.Lease, deps []store.Path, vectors string, ask func(cases []outputCase, dir string) []string, bare bool, cases ...outputCase) {
	t.Helper()
	// While the base is built, its fourth dependency is its first.
	base, err := baseOutput.build(t, s, l, scratchA, append(slices.Clone(deps), deps[0])...)
	if err != nil {
		t.Fatal(err)
	}
	deps = append(deps, base.Path)
	build := func(cases []outputCase) (ours []string) {
		for _, c := range cases {
			i, err := c.build(t, s, l, scratchA, deps...)
			if err != nil {
				t.Fatalf("%s: %v", c.summary, err)
			}
			ours = append(ours, nixtest.Describe(i))
		}
		return ours
	}
	kept := slices.Concat(cases, randomOutputs(rand.New(rand.NewPCG(7, 8)), keptOutputs, bare))
	var keptAsk func() []string
	if n != nil {
		keptAsk = func() []string { return ask(kept, "kept") }
	}
	sameLines(t, "output", build(kept), nixtest.Vectors(t, vectors, *update, keptAsk))
	if n != nil {
		others := randomOutputs(fresh(t), freshOutputs, bare)
		sameLines(t, "another output", build(others), ask(others, "fresh"))
	}
	mustVerify(t, s)
}
