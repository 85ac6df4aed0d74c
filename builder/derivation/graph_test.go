// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package derivation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"osbuild/store"
)

// fakeHasher hashes the name of a tree in place of its content.
type fakeHasher struct{ calls int }

func (h *fakeHasher) HashTree(_ context.Context, src string, _ store.Filter) (store.Hash, int64, error) {
	h.calls++
	if strings.HasSuffix(src, "missing") {
		return store.Hash{}, 0, errors.New("no such file")
	}
	return sha256.Sum256([]byte(src)), 1, nil
}

// world is an evaluation with one thing of each kind.
func world(t *testing.T) (g *Graph, text, source, drv string) {
	t.Helper()
	g = NewGraph(&fakeHasher{})
	text = must(t)(g.Text("a", "plain", false, Position{}))
	source = must(t)(g.Source(t.Context(), "src", "/src", nil, "", Position{}))
	drv = must(t)(g.Derive(Derivation{Name: "d", Builder: "builtin:test", Version: 1, Outputs: []string{"out", "doc"}}))
	return g, text, source, drv
}

func must(t *testing.T) func(string, error) string {
	return func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestPlaceholdersLookLikePaths(t *testing.T) {
	g, _, source, drv := world(t)
	ref, ok := g.Lookup(drv)
	if !ok || ref.Kind != KindDerivation || ref.Output != "out" {
		t.Fatalf("%s is %+v", drv, ref)
	}
	doc := Placeholder(ref.Drv, "doc", "d")
	if want := len(store.Dir) + 1 + 32 + len("-d-doc"); len(doc) != want || !strings.HasSuffix(doc, "-d-doc") {
		t.Errorf("placeholder %q", doc)
	}
	if _, err := store.ParsePath(drv); err == nil {
		t.Errorf("the placeholder %q can be taken for a path", drv)
	}
	if _, ok := g.Lookup(source + "/x"); ok {
		t.Error("Lookup takes a path inside an item")
	}
	if ref, rest, ok := g.Split(source + "/x/y"); !ok || rest != "/x/y" || string(ref.Path) != source {
		t.Errorf("Split gives %+v %q", ref, rest)
	}
	for _, s := range []string{"", "/", "/tmp", source + "x", source[:40], "/osbuild/store/" + strings.Repeat("0", 32) + "-a"} {
		if _, _, ok := g.Split(s); ok {
			t.Errorf("Split takes %q", s)
		}
	}
	p := ScratchPath(Key(strings.Repeat("0", 64)), "d", "doc")
	if _, err := store.ParsePath(string(p)); err != nil || p.Name() != "d-doc" {
		t.Errorf("scratch path %q: %v", p, err)
	}
}

func TestDependenciesSurviveStringOperations(t *testing.T) {
	g, text, source, drv := world(t)
	ref, _ := g.Lookup(drv)
	doc := Placeholder(ref.Drv, "doc", "d")
	for _, c := range []struct {
		summary, s string
		want       []string
	}{
		{"none", "nothing here: 0123456789abcdfghijklmnpqrsvwxyz0123456789", nil},
		{"whole", drv, []string{drv}},
		{"concatenation", "x" + drv + "/bin/x", []string{drv}},
		{"format", fmt.Sprintf("exec %s -c %q", drv, text), []string{drv, text}},
		{"join", strings.Join([]string{source, drv, doc}, ":"), []string{drv, doc, source}},
		{"glued", drv + drv + text + text, []string{drv, text}},
		{"followed by letters of a name", drv + ".bak", []string{drv}},
		{"preceded by a folder", "/x" + drv, []string{drv}},
		{"base name of a known path", text[len(store.Dir)+1:], []string{text}},
		{"digest of a known path among other letters", "abc" + text[15:47] + "xyz", []string{text}},
		{"many lines", strings.Repeat("a line\n", 1000) + drv, []string{drv}},
		{"own output", Self("doc") + drv, []string{drv}},
	} {
		got, err := g.Deps(c.s)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v; want %v", c.summary, got, err, c.want)
		}
	}
}

func TestSinksRefuseFragments(t *testing.T) {
	g, _, _, drv := world(t)
	other := must(t)(g.Derive(Derivation{Name: "longer-name", Builder: "builtin:test", Version: 1}))
	strange := Placeholder(Key(strings.Repeat("0", 64)), "out", "strange")
	digest := other[len(store.Dir)+1:]
	for _, c := range []struct {
		summary, s string
		want       error
	}{
		{"end cut in the digest", drv[:30], ErrFragment},
		{"end cut behind the o", drv[:16], ErrFragment},
		{"end cut behind the digest", drv[:47], ErrFragment},
		{"end cut in the name", other[:52], ErrFragment},
		{"wrong tail", other[:47] + "-other", ErrFragment},
		{"wrong tail far behind", strings.Repeat("a line\n", 100) + other[:47] + "-other", ErrFragment},
		{"beginning cut off", drv[1:], ErrFragment},
		{"base name", digest, ErrFragment},
		{"beginning cut in the digest", other[25:], ErrFragment},
		{"middle", "x" + digest[9:26] + "x", ErrFragment},
		{"whole one beside a fragment", other + " " + other[20:], ErrFragment},
		{"unknown", strange, ErrUnknown},
		{"unknown output", Placeholder(Key(strings.Repeat("1", 64)), "lib", "d"), ErrUnknown},
	} {
		sinks := map[string]func() error{
			"text":     func() error { _, err := g.Text("t", c.s, false, Position{"f.star", 2, 3}); return err },
			"argument": func() error { return derive(g, func(d *Derivation) { d.Args = []string{"ok", c.s} }) },
			"variable": func() error { return derive(g, func(d *Derivation) { d.Env = map[string]string{"A": c.s} }) },
			"builder":  func() error { return derive(g, func(d *Derivation) { d.Builder = "/x" + c.s }) },
		}
		for sink, try := range sinks {
			err := try()
			if !errors.Is(err, c.want) {
				t.Errorf("%s in %s: error %v, want %v", c.summary, sink, err, c.want)
				continue
			}
			if !strings.HasPrefix(err.Error(), "f.star:2:3: ") {
				t.Errorf("%s in %s: no position in %v", c.summary, sink, err)
			}
		}
	}
	// Short pieces mean nothing, and are harmless.
	if deps, err := g.Deps(digest[3:15] + " " + digest[:10]); err != nil || deps != nil {
		t.Errorf("short pieces: %v %v", deps, err)
	}
}

func FuzzDeps(f *testing.F) {
	g := NewGraph(&fakeHasher{})
	text, err := g.Text("a", "plain", false, Position{})
	if err != nil {
		f.Fatal(err)
	}
	drv, err := g.Derive(Derivation{Name: "some-name", Builder: "builtin:test", Version: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("x", 0, 99, "y")
	f.Add("", 15, 47, "-x")
	f.Add(text+Self("out"), 3, 30, drv)
	f.Fuzz(func(t *testing.T, before string, from, to int, after string) {
		from, to = min(max(from, 0), len(drv)), min(max(to, 0), len(drv))
		piece := drv[from:max(from, to)]
		deps, err := g.Deps(before + piece + after)
		if _, err := g.Deps(before + after); err != nil {
			return // the rest holds fragments of its own
		}
		switch digest := min(to, 47) - max(from, 15); {
		case from == 0 && to == len(drv):
			if err != nil || !slices.Contains(deps, drv) {
				t.Errorf("whole placeholder: %v %v", deps, err)
			}
		case digest >= minFragment && !strings.Contains(before+piece+after, drv):
			if err == nil {
				t.Errorf("placeholder cut to %q: %v %v", piece, deps, err)
			}
		}
		// What is accepted can be put into a derivation, and resolved.
		if err == nil && utf8.ValidString(before+piece+after) && !strings.Contains(before+after, placeholderPrefix) {
			if _, err := g.Derive(Derivation{Name: "sink", Builder: "builtin:test", Env: map[string]string{"A": before + piece + after}}); err != nil {
				t.Error(err)
			}
		}
	})
}

func derive(g *Graph, change func(*Derivation)) error {
	d := Derivation{Name: "sink", Builder: "/bin/sh", Pos: Position{"f.star", 2, 3}}
	change(&d)
	_, err := g.Derive(d)
	return err
}

func TestOwnOutputs(t *testing.T) {
	g, _, _, _ := world(t)
	if err := derive(g, func(d *Derivation) { d.Args = []string{Self("out") + "/bin"} }); err != nil {
		t.Error(err)
	}
	if err := derive(g, func(d *Derivation) { d.Args = []string{Self("lib")} }); !errors.Is(err, ErrUnknown) {
		t.Errorf("placeholder of an output that does not exist: %v", err)
	}
	if _, err := g.Text("t", Self("out"), false, Position{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("a text's own output: %v", err)
	}
}

func TestTexts(t *testing.T) {
	g, text, source, drv := world(t)
	if want, _ := store.TextPath("a", []byte("plain"), nil); text != string(want) {
		t.Errorf("path of a plain text is %s, want %s", text, want)
	}
	// A text that mentions texts refers to them.
	in := "see " + text + " and " + source
	got := must(t)(g.Text("b", in, false, Position{"x.star", 1, 1}))
	refs := []store.Path{store.Path(text), store.Path(source)}
	slices.Sort(refs)
	if want, _ := store.TextPath("b", []byte(in), refs); got != string(want) {
		t.Errorf("path is %s, want %s", got, want)
	}
	item, ok := g.TextItem(store.Path(got))
	if !ok || !slices.Equal(item.Refs, refs) || item.Text != in {
		t.Errorf("text item %+v", item)
	}
	// Declared again: the same, and the first position stands.
	if again := must(t)(g.Text("b", in, false, Position{"y.star", 2, 2})); again != got {
		t.Errorf("the same text has the paths %s and %s", got, again)
	}
	if item, _ := g.TextItem(store.Path(got)); item.Pos.File != "x.star" {
		t.Errorf("position %s", item.Pos)
	}
	// An executable is a file of another kind.
	run := must(t)(g.Text("b", in, true, Position{}))
	h, _ := store.ExecutableHash([]byte(in))
	if want, _ := store.SourcePath("b", h, refs, false); run != string(want) {
		t.Errorf("path of an executable is %s, want %s", run, want)
	}
	// A text that mentions an output is a derivation.
	later := must(t)(g.Text("c", "run "+drv, true, Position{}))
	ref, ok := g.Lookup(later)
	d, _ := g.Derivation(ref.Drv)
	if !ok || d.Builder != "builtin:text" || d.Env["executable"] != "1" || len(d.Inputs) != 1 || d.Inputs[0].Output != "out" {
		t.Errorf("text with a placeholder: %+v", d)
	}
	// Bytes that are no text are fine as long as nothing must be replaced.
	must(t)(g.Text("bytes", "\xff\x00", false, Position{}))
	if _, err := g.Text("bytes", "\xff"+drv, false, Position{}); err == nil {
		t.Error("bytes with a placeholder are taken")
	}
}

func TestSources(t *testing.T) {
	h := &fakeHasher{}
	g := NewGraph(h)
	one := must(t)(g.Source(t.Context(), "s", "/a", nil, "", Position{}))
	if two := must(t)(g.Source(t.Context(), "s", "/a", nil, "", Position{})); one != two || h.calls != 1 {
		t.Errorf("paths %s and %s after %d hashes", one, two, h.calls)
	}
	all := func(string, string) bool { return true }
	must(t)(g.Source(t.Context(), "s", "/a", all, "all", Position{}))
	must(t)(g.Source(t.Context(), "s", "/a", all, "all", Position{}))
	if h.calls != 2 {
		t.Errorf("%d hashes for two filters", h.calls)
	}
	must(t)(g.Source(t.Context(), "s", "/a", all, "", Position{}))
	must(t)(g.Source(t.Context(), "s", "/a", all, "", Position{}))
	if h.calls != 4 {
		t.Errorf("%d hashes: a filter without a key is remembered", h.calls)
	}
	_, err := g.Source(t.Context(), "s", "/missing", nil, "", Position{"f.star", 1, 2})
	if err == nil || !strings.HasPrefix(err.Error(), "f.star:1:2: cannot declare source") {
		t.Errorf("error %v", err)
	}
}

func TestDuplicatesAreOne(t *testing.T) {
	g, _, _, drv := world(t)
	d := Derivation{Name: "x", Builder: "/bin/sh", Args: []string{drv, drv}, Inputs: []Input{}, Pos: Position{File: "first"}}
	one := must(t)(g.Derive(d))
	d.Pos.File = "second"
	if two := must(t)(g.Derive(d)); one != two {
		t.Errorf("%s and %s", one, two)
	}
	ref, _ := g.Lookup(one)
	got, _ := g.Derivation(ref.Drv)
	if len(got.Inputs) != 1 || got.Pos.File != "first" {
		t.Errorf("derivation %+v", got)
	}
	if p := must(t)(g.Derive(Derivation{Name: "x", Builder: "/b", Outputs: []string{"lib", "bin"}})); !strings.HasSuffix(p, "-x-lib") {
		t.Errorf("first output: %s", p)
	}
}

func TestResolve(t *testing.T) {
	g, text, _, drv := world(t)
	p := must(t)(g.Derive(Derivation{
		Name: "x", Builder: drv + "/bin/sh", Args: []string{Self("out"), text + drv},
		Env: map[string]string{"A": drv},
	}))
	ref, _ := g.Lookup(p)
	d, _ := g.Derivation(ref.Drv)
	if _, err := d.Resolve(nil); err == nil {
		t.Error("resolved without the input")
	}
	in, _ := g.Lookup(drv)
	real := pathOf("d")
	r, err := d.Resolve(map[Input]store.Path{{Drv: in.Drv, Output: "out"}: real})
	if err != nil {
		t.Fatal(err)
	}
	if r.Builder != string(real)+"/bin/sh" || r.Args[1] != text+string(real) || r.Env["A"] != string(real) {
		t.Errorf("resolved %+v", r)
	}
	want := []Input{{Path: real}, {Path: store.Path(text)}}
	slices.SortFunc(want, compareInputs)
	if !slices.Equal(r.Inputs, want) {
		t.Errorf("inputs %v, want %v", r.Inputs, want)
	}
	if d.Env["A"] != drv || r.Key() == d.Key() {
		t.Error("resolving changed the derivation, or not its key")
	}
	s := r.WithSelf(map[string]store.Path{"out": real})
	if s.Args[0] != string(real) || r.Args[0] != Self("out") {
		t.Errorf("with self %v", s.Args)
	}
	// Another placeholder for the same path: the resolved key is the same.
	twin := must(t)(g.Derive(Derivation{Name: "d", Builder: "builtin:test", Version: 2}))
	q := must(t)(g.Derive(Derivation{
		Name: "x", Builder: twin + "/bin/sh", Args: []string{Self("out"), text + twin},
		Env: map[string]string{"A": twin},
	}))
	ref, _ = g.Lookup(q)
	e, _ := g.Derivation(ref.Drv)
	in, _ = g.Lookup(twin)
	r2, err := e.Resolve(map[Input]store.Path{{Drv: in.Drv, Output: "out"}: real})
	if err != nil || r2.Key() != r.Key() || e.Key() == d.Key() {
		t.Errorf("resolved keys %s and %s, %v", r.Key(), r2.Key(), err)
	}
}

func TestBuiltinDeclarations(t *testing.T) {
	g, text, _, drv := world(t)
	must(t)(g.DirectoryUnion("u", []string{drv, text}, false, Position{}))
	must(t)(g.FileUnion("u", map[string]string{"a": drv, "b/c": text}, false, Position{}))
	must(t)(g.Unpack("u", drv, 1, Position{}))
	hash := strings.Repeat("0", 64)
	for url, want := range map[string]string{
		"https://example.org/a/b-1.0.tar.gz?x=/y#z": "b-1.0.tar.gz",
		"https://example.org":                       "download",
		"https://example.org/":                      "download",
		"https://example.org/.a%20b":                "a-20b",
		"file:///tmp/ä":                             "download",
	} {
		p := must(t)(g.Fetch("", url, hash, Position{}))
		ref, _ := g.Lookup(p)
		d, _ := g.Derivation(ref.Drv)
		if d.Name != want || d.Fixed.Hash != hash {
			t.Errorf("%s: name %q, want %q", url, d.Name, want)
		}
	}
	at := Position{"f.star", 1, 2}
	for summary, err := range map[string]error{
		"absolute":  second(g.FileUnion("u", map[string]string{"/a": drv}, false, at)),
		"up":        second(g.FileUnion("u", map[string]string{"../a": drv}, false, at)),
		"unclean":   second(g.FileUnion("u", map[string]string{"a//b": drv}, false, at)),
		"empty":     second(g.FileUnion("u", map[string]string{"": drv}, false, at)),
		"a and a/b": second(g.FileUnion("u", map[string]string{"a": drv, "a/b/c": text}, false, at)),
		"strip":     second(g.Unpack("u", drv, -1, at)),
		"no hash":   second(g.Fetch("", "https://example.org/x", "", at)),
		"bad hash":  second(g.Fetch("", "https://example.org/x", "abc", at)),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "f.star:1:2: ") {
			t.Errorf("%s: error %v", summary, err)
		}
	}
}

func second(_ string, err error) error { return err }

func BenchmarkScan(b *testing.B) {
	g := NewGraph(nil)
	for i := range 500 {
		if _, err := g.Derive(Derivation{Name: fmt.Sprint("d", i), Builder: "builtin:test"}); err != nil {
			b.Fatal(err)
		}
	}
	text := strings.Repeat("the quick brown fox jumps over 0123456789abcdfghijk lazy dogs\n", 16<<10)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := g.Deps(text); err != nil {
			b.Fatal(err)
		}
	}
}
