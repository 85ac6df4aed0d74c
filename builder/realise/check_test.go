// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
)

func TestCheck(t *testing.T) {
	// Each run of the program makes what the next of these says.
	base := func(p *process) error {
		dir := p.out("out")
		return errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(dir+"/b", 0o755),
			os.WriteFile(dir+"/a", []byte("I am "+p.env["out"]), 0o644),
			os.WriteFile(dir+"/b/c", []byte("12345"), 0o644),
			os.Symlink("a", dir+"/d"))
	}
	and := func(change func(dir string) error) func(p *process) error {
		return func(p *process) error { return errors.Join(base(p), change(p.out("out"))) }
	}
	for _, c := range []struct {
		summary      string
		second       func(p *process) error
		file, detail string
	}{
		{"the same", base, "", ""},
		{"other modes and times", and(func(dir string) error { return os.Chmod(dir+"/a", 0o600) }), "", ""},
		{"other content", and(func(dir string) error { return os.WriteFile(dir+"/b/c", []byte("12x45"), 0o644) }), "b/c", "its contents differ from byte 2 on"},
		{"longer", and(func(dir string) error { return os.WriteFile(dir+"/b/c", []byte("123456"), 0o644) }), "b/c", "from byte 5 on, and it had 5 bytes and has now 6"},
		{"executable", and(func(dir string) error { return os.Chmod(dir+"/b/c", 0o755) }), "b/c", "executable"},
		{"more", and(func(dir string) error { return os.WriteFile(dir+"/aa", nil, 0o644) }), "aa", "not there before"},
		{"fewer", and(func(dir string) error { return os.Remove(dir + "/b/c") }), "b/c", "missing now"},
		{"another target", and(func(dir string) error { return errors.Join(os.Remove(dir+"/d"), os.Symlink("b", dir+"/d")) }), "d", "pointed to a and now points to b"},
		{"another type", and(func(dir string) error { return errors.Join(os.Remove(dir+"/d"), os.Mkdir(dir+"/d", 0o755)) }), "d", "was a link and is now a folder"},
		{"all is another", func(p *process) error { return os.WriteFile(p.out("out"), nil, 0o644) }, "", "was a folder and is now a file"},
	} {
		runs := []func(*process) error{base, c.second, c.second}
		w := newWorld(t, programs{"/next": func(p *process) error {
			run := runs[0]
			runs = runs[1:]
			return run(p)
		}})
		g := w.graph()
		d := must(t)(g.Derive(derivation.Derivation{Name: "d", Builder: "/next", Pos: pos{File: "f.star", Line: 1, Col: 2}}))
		err := w.r.Check(t.Context(), g, d)
		if c.detail == "" {
			if err != nil || len(runs) != 1 {
				t.Errorf("%s: error %v, %d runs left", c.summary, err, len(runs))
			}
			w.verify()
			continue
		}
		var de *realise.DifferenceError
		if !errors.As(err, &de) || de.File != c.file || !strings.Contains(de.Detail, c.detail) || !strings.HasPrefix(err.Error(), "f.star:1:2: ") {
			t.Errorf("%s: error %v", c.summary, err)
		}
		if all, err := w.store.All(); err != nil || len(all) != 1 {
			t.Errorf("%s: in the store: %v %v", c.summary, all, err)
		}
		w.verify()
		w.r.KeepFailed = true
		if err := w.r.Check(t.Context(), g, d); !errors.As(err, &de) || de.KeptDir == "" {
			t.Errorf("%s: nothing kept: %v", c.summary, err)
		}
	}
}

func TestCheckGoesThroughInputs(t *testing.T) {
	runs := 0
	w := newWorld(t, programs{"/count": func(p *process) error {
		runs++
		return os.WriteFile(p.out("out"), fmt.Append(nil, runs), 0o644)
	}, "/fixed": write})
	g := w.graph()
	const sha = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	fixed := must(t)(g.Derive(derivation.Derivation{Name: "fixed", Builder: "/fixed", Env: map[string]string{"text": "x"}, Fixed: &derivation.Fixed{Algo: "sha256", Hash: sha}}))
	first := must(t)(g.Derive(derivation.Derivation{Name: "first", Builder: "/count", Args: []string{fixed}}))
	last := must(t)(g.Text("last", first, false, pos{}))
	err := w.r.Check(t.Context(), g, last)
	var de *realise.DifferenceError
	if !errors.As(err, &de) || de.Name != "first" || runs != 2 {
		t.Errorf("error %v after %d runs", err, runs)
	}
	if got, want := w.seen.built(), []string{"first", "fixed", "last", "last"}; !slices.Equal(got, want) {
		t.Errorf("built %v, want %v", got, want)
	}
}

func TestPlan(t *testing.T) {
	w := newWorld(t, programs{"/write": write})
	g := w.graph()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	src := must(t)(g.Source(t.Context(), "src", file, nil, "", pos{}))
	text := must(t)(g.Text("text", src, false, pos{}))
	first := must(t)(g.Derive(derivation.Derivation{Name: "first", Builder: "/write", Args: []string{text}, Pos: pos{File: "f.star", Line: 1, Col: 2}}))
	last := must(t)(g.Text("last", first+text, false, pos{}))
	show := func() string {
		plan, err := w.r.Plan(t.Context(), g, last, text)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, p := range plan.Add {
			list = append(list, "add "+p.Name())
		}
		for _, b := range plan.Build {
			list = append(list, fmt.Sprintf("build %s by %s at %q maybe %v", b.Name, b.Builder, b.Pos, b.Maybe))
		}
		return strings.Join(list, "\n")
	}
	want := `add src
add text
build first by /write at "f.star:1:2" maybe false
build last by builtin:text at "" maybe true`
	if got := show(); got != want {
		t.Errorf("plan\n%s\nwant\n%s", got, want)
	}
	if all, err := w.store.All(); err != nil || len(all) > 0 || len(w.seen.take()) > 0 {
		t.Errorf("planning changed the store: %v %v", all, err)
	}
	w.realise(g, first)
	if got, want := show(), `build last by builtin:text at "" maybe false`; got != want {
		t.Errorf("plan\n%s\nwant\n%s", got, want)
	}
	w.realise(g, last)
	if got := show(); got != "" {
		t.Errorf("plan\n%s", got)
	}
}
