// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/runner/spec"
	"osbuild/store"
)

type pos = derivation.Position

func TestTextsAndSources(t *testing.T) {
	w := newWorld(t, nil)
	g := w.graph()
	src := filepath.Join(t.TempDir(), "site")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(src+"/index.html", []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	site := must(t)(g.Source(t.Context(), "site", src, nil, "", pos{}))
	unused := must(t)(g.Text("unused", "x", false, pos{}))
	conf := must(t)(g.Text("conf", "root "+site, false, pos{}))
	script := must(t)(g.Text("script", "#!/bin/x "+conf, true, pos{}))
	union := must(t)(g.FileUnion("etc", map[string]string{"conf": conf, "run": script}, false, pos{}))
	final := must(t)(g.Text("final", "in "+union, true, pos{}))

	paths := w.realise(g, final, conf+"/", script)
	if want := []string{"add conf", "add script", "add site", "build-done etc", "build-done final", "build-start etc", "build-start final"}; !slices.Equal(w.seen.take(), want) {
		t.Errorf("events %v", want)
	}
	if string(paths[1]) != conf || string(paths[2]) != script {
		t.Errorf("paths %v", paths)
	}
	text := w.read(paths[0], "")
	etc, ok := strings.CutPrefix(text, "in ")
	if p, err := store.ParsePath(etc); !ok || err != nil || p.Name() != "etc" {
		t.Errorf("text with its placeholder filled in: %q", text)
	}
	info, err := w.store.Info(paths[0])
	if err != nil || len(info.References) != 1 || string(info.References[0]) != etc {
		t.Errorf("references %v, %v", info.References, err)
	}
	if st, err := os.Stat(w.store.Physical(paths[0])); err != nil || st.Mode()&0o111 == 0 {
		t.Errorf("the script is not executable: %v %v", st, err)
	}
	if w.store.Valid(store.Path(unused)) {
		t.Error("a text that nothing needs was added")
	}
	// Again, as another process would: nothing at all happens.
	w2 := openWorld(t, w.root, nil)
	if again := w2.realise(g, final, conf, script); !slices.Equal(again, paths) || len(w2.seen.take()) > 0 {
		t.Errorf("again: %v", again)
	}
	w.verify()
}

func TestEarlyCutoff(t *testing.T) {
	p := programs{
		"/write": write,
		"/copy": func(p *process) error {
			data, err := os.ReadFile(p.file(p.env["in"]))
			if err != nil {
				return err
			}
			return os.WriteFile(p.out("out"), append(data, '!'), 0o644)
		},
	}
	w := newWorld(t, p)
	declare := func(comment, text string) (*derivation.Graph, string) {
		g := w.graph()
		first := must(t)(g.Derive(derivation.Derivation{Name: "first", Builder: "/write", Args: []string{comment}, Env: map[string]string{"text": text}}))
		second := must(t)(g.Derive(derivation.Derivation{Name: "second", Builder: "/copy", Env: map[string]string{"in": first}}))
		return g, must(t)(g.Derive(derivation.Derivation{Name: "third", Builder: "/copy", Env: map[string]string{"in": second}}))
	}
	for _, c := range []struct {
		summary, comment, text string
		want                   []string
	}{
		{"all is new", "a", "x", []string{"first", "second", "third"}},
		{"nothing changed", "a", "x", nil},
		{"another builder, the same output", "b", "x", []string{"first"}},
		{"remembered", "b", "x", nil},
		{"another output", "b", "y", []string{"first", "second", "third"}},
		{"back again", "a", "x", nil},
	} {
		g, target := declare(c.comment, c.text)
		paths := w.realise(g, target)
		if got := w.seen.built(); !slices.Equal(got, c.want) {
			t.Errorf("%s: built %v, want %v", c.summary, got, c.want)
		}
		if got := w.read(paths[0], ""); got != c.text+"!!" {
			t.Errorf("%s: %q", c.summary, got)
		}
	}
	w.verify()
}

func TestWhatIsGoneIsBuiltAgain(t *testing.T) {
	w := newWorld(t, programs{"/write": write})
	g := w.graph()
	d := must(t)(g.Derive(derivation.Derivation{Name: "d", Builder: "/write", Env: map[string]string{"text": "x"}}))
	p := w.realise(g, d)[0]
	if err := w.lease.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.GC(t.Context(), store.GCOptions{}); err != nil {
		t.Fatal(err)
	}
	if w.store.Valid(p) {
		t.Fatal("the collection left the item")
	}
	w = openWorld(t, w.root, programs{"/write": write})
	if again := w.realise(g, d)[0]; again != p || !slices.Equal(w.seen.built(), []string{"d"}) {
		t.Errorf("built %s, was %s", again, p)
	}
	// Records that a crash tore are as good as none.
	for _, kind := range []string{"memo", "realised"} {
		keys, err := w.store.Records(kind)
		if err != nil || len(keys) != 1 {
			t.Fatalf("%s records: %v %v", kind, keys, err)
		}
		for _, k := range keys {
			if err := w.store.PutRecord(kind, k, []byte(`{"outp`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if again := w.realise(g, d)[0]; again != p {
		t.Errorf("built %s, was %s", again, p)
	}
	w.verify()
}

func TestEnvironmentOfPrograms(t *testing.T) {
	var got spec.Build
	w := newWorld(t, programs{"/bin/x": func(p *process) error {
		got = p.build
		return os.Mkdir(p.out("out"), 0o755)
	}})
	g := w.graph()
	g.AddHost("h", "/host/tree")
	dep := must(t)(g.Text("dep", "x", false, pos{}))
	script := must(t)(g.Text("script", "uses "+dep, true, pos{}))
	d := must(t)(g.Derive(derivation.Derivation{
		Name: "d", Builder: "/bin/x", System: derivation.HostSystem(), Args: []string{script, derivation.Self("out") + "/y"},
		Env: map[string]string{"HOME": "/build", "Z": dep}, Host: []derivation.Host{{Target: "/go", Hash: "h"}},
	}))
	w.realise(g, d)
	out := strings.TrimSuffix(got.Argv[2], "/y")
	if p, err := store.ParsePath(out); err != nil || p.Name() != "d" {
		t.Errorf("scratch path %q", out)
	}
	if want := []string{"HOME=/build", "SOURCE_DATE_EPOCH=1", "TMPDIR=/build", "Z=" + dep, "out=" + out}; !slices.Equal(got.Env, want) {
		t.Errorf("environment %q", got.Env)
	}
	// The whole closure is visible, not only what is mentioned.
	var items []string
	for _, i := range got.Items {
		items = append(items, i.Logical)
	}
	if want := []string{dep, script}; !slices.Contains(items, want[0]) || !slices.Contains(items, want[1]) || len(items) != 2 {
		t.Errorf("items %v", items)
	}
	if want := []spec.Mapping{{Source: "/host/tree", Target: "/go"}}; !slices.Equal(got.Host, want) {
		t.Errorf("host trees %v", got.Host)
	}
}

func TestSeveralOutputs(t *testing.T) {
	link := func(from, to string) func(*process) error {
		return func(p *process) error {
			for _, o := range []string{"bin", "lib"} {
				if err := os.Mkdir(p.out(o), 0o755); err != nil {
					return err
				}
			}
			if err := os.Symlink(p.env[to]+"/x", p.out(from)+"/link"); err != nil {
				return err
			}
			if err := os.WriteFile(p.out(from)+"/self", []byte("I am "+p.env[from]+", beside "+p.env[to]), 0o444); err != nil {
				return err
			}
			return os.WriteFile(p.out(to)+"/self", []byte(p.env[to]), 0o444)
		}
	}
	for _, c := range []struct{ from, to string }{{"bin", "lib"}, {"lib", "bin"}} {
		w := newWorld(t, programs{"/two": link(c.from, c.to)})
		g := w.graph()
		first := must(t)(g.Derive(derivation.Derivation{Name: "two", Builder: "/two", Outputs: []string{"lib", "bin"}}))
		ref, _ := g.Lookup(first)
		paths := w.realise(g, derivation.Placeholder(ref.Drv, c.from, "two"), derivation.Placeholder(ref.Drv, c.to, "two"))
		if got, want := w.read(paths[0], "self"), fmt.Sprintf("I am %s, beside %s", paths[0], paths[1]); got != want {
			t.Errorf("%s mentions %s as %q, want %q", c.from, c.to, got, want)
		}
		if got, err := os.Readlink(filepath.Join(w.store.Physical(paths[0]), "link")); err != nil || got != string(paths[1])+"/x" {
			t.Errorf("link %q %v", got, err)
		}
		info, err := w.store.Info(paths[0])
		if err != nil || !slices.Contains(info.References, paths[1]) || !slices.Contains(info.References, paths[0]) {
			t.Errorf("references %v %v", info.References, err)
		}
		w.verify()
	}
	w := newWorld(t, programs{"/circle": func(p *process) error {
		return errors.Join(
			os.WriteFile(p.out("a"), []byte(p.env["b"]), 0o644),
			os.WriteFile(p.out("b"), []byte(p.env["a"]), 0o644),
			os.WriteFile(p.out("c"), nil, 0o644))
	}})
	g := w.graph()
	circle := must(t)(g.Derive(derivation.Derivation{Name: "circle", Builder: "/circle", Outputs: []string{"a", "b", "c"}}))
	if _, err := w.r.Realise(t.Context(), g, circle); err == nil || !strings.Contains(err.Error(), "outputs a and b refer to each other in a circle") {
		t.Errorf("circle: %v", err)
	}
	w.verify()
}

func TestOutputsOfAllKinds(t *testing.T) {
	w := newWorld(t, programs{
		"/link": func(p *process) error { return os.Symlink(p.env["to"], p.out("out")) },
		"/executable": func(p *process) error {
			return errors.Join(os.WriteFile(p.out("out"), []byte(p.env["out"]), 0o700), os.Mkdir(p.build.StoreDir+"/more", 0o700))
		},
		"/pipe": func(p *process) error { return unix.Mkfifo(p.out("out"), 0o600) },
	})
	g := w.graph()
	exe := must(t)(g.Derive(derivation.Derivation{Name: "exe", Builder: "/executable"}))
	link := must(t)(g.Derive(derivation.Derivation{Name: "link", Builder: "/link", Env: map[string]string{"to": exe}}))
	paths := w.realise(g, link, exe)
	if got, err := os.Readlink(w.store.Physical(paths[0])); err != nil || got != string(paths[1]) {
		t.Errorf("link %q %v", got, err)
	}
	if got := w.read(paths[1], ""); got != string(paths[1]) {
		t.Errorf("the executable says %q", got)
	}
	pipe := must(t)(g.Derive(derivation.Derivation{Name: "pipe", Builder: "/pipe"}))
	if _, err := w.r.Realise(t.Context(), g, pipe); err == nil {
		t.Error("a pipe became an item")
	}
	w.verify()
}

func TestFixedHashes(t *testing.T) {
	const sha = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // "x"
	var runs atomic.Int32
	w := newWorld(t, programs{"/get": func(p *process) error {
		runs.Add(1)
		return write(p)
	}})
	declare := func(arg, text string) (*derivation.Graph, string) {
		g := w.graph()
		return g, must(t)(g.Derive(derivation.Derivation{
			Name: "file", Builder: "/get", Args: []string{arg}, Env: map[string]string{"text": text},
			Fixed: &derivation.Fixed{Algo: "sha256", Hash: sha}, Pos: pos{File: "f.star", Line: 3, Col: 7},
		}))
	}
	g, bad := declare("bad", "y")
	_, err := w.r.Realise(t.Context(), g, bad)
	var mismatch *store.HashMismatchError
	if !errors.As(err, &mismatch) || !strings.HasPrefix(err.Error(), `f.star:3:7: cannot build "file": `) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"sha256-LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=", "sha256-ofzkNjhU/4iM/0uOeHXWAMJoI5BBKoz3mzfQsRFIsPo="} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	g, good := declare("good", "x")
	p := w.realise(g, good)[0]
	digest, _ := store.ParseHash(sha)
	if want, _ := store.FixedPath("file", "sha256", digest[:], false); p != want {
		t.Errorf("path %s, want %s", p, want)
	}
	// Another way to the same file, and even one that would fail, runs no more.
	g, other := declare("other", "y")
	if again := w.realise(g, other)[0]; again != p || runs.Load() != 2 {
		t.Errorf("%d runs", runs.Load())
	}
	// Such an item cannot have references.
	dep := must(t)(g.Text("dep", "x", false, pos{}))
	refs := must(t)(g.Derive(derivation.Derivation{
		Name: "refs", Builder: "/get", Env: map[string]string{"text": dep}, Fixed: &derivation.Fixed{Algo: "sha256", Hash: sha, Recursive: true},
	}))
	if _, err := w.r.Realise(t.Context(), g, refs); err == nil || !strings.Contains(err.Error(), "cannot refer to other items") {
		t.Errorf("reference in a fixed output: %v", err)
	}
	w.verify()
}

func TestTwoProcessesBuildOnce(t *testing.T) {
	root := t.TempDir()
	var runs atomic.Int32
	started, goOn := make(chan struct{}, 9), make(chan struct{})
	p := programs{"/slow": func(p *process) error {
		runs.Add(1)
		started <- struct{}{}
		<-goOn
		return os.WriteFile(p.out("out"), nil, 0o644)
	}}
	var wait sync.WaitGroup
	for range 4 {
		w := openWorld(t, root, p)
		w.r.Observer = waiting(func() { started <- struct{}{} })
		g := w.graph()
		d := must(t)(g.Derive(derivation.Derivation{Name: "slow", Builder: "/slow"}))
		wait.Go(func() {
			if _, err := w.r.Realise(t.Context(), g, d); err != nil {
				t.Error(err)
			}
		})
	}
	for range 4 {
		<-started // one that runs, three that wait
	}
	close(goOn)
	wait.Wait()
	if runs.Load() != 1 {
		t.Errorf("built %d times", runs.Load())
	}
}

type waiting func()

func (w waiting) Event(e realise.Event) {
	if e.Kind == realise.EventWaiting {
		w()
	}
}

func TestJobs(t *testing.T) {
	for _, jobs := range []int{1, 3} {
		var now, most atomic.Int32
		full := make(chan struct{})
		w := newWorld(t, programs{"/job": func(p *process) error {
			n := now.Add(1)
			defer now.Add(-1)
			if n > most.Load() {
				most.Store(n)
			}
			if n == int32(jobs) {
				select {
				case <-full:
				default:
					close(full)
				}
			}
			<-full // each waits until as many run as may
			return write(p)
		}})
		w.r.Jobs = jobs
		g := w.graph()
		var all []string
		for i := range 6 {
			all = append(all, must(t)(g.Derive(derivation.Derivation{Name: "job", Builder: "/job", Env: map[string]string{"text": fmt.Sprint(i)}})))
		}
		union := must(t)(g.Text("all", strings.Join(all, "\n"), false, pos{}))
		w.realise(g, union)
		if most.Load() != int32(jobs) {
			t.Errorf("%d builds at once, want %d", most.Load(), jobs)
		}
	}
}

func TestCancel(t *testing.T) {
	started := make(chan struct{})
	w := newWorld(t, programs{"/hang": func(p *process) error {
		// What a builder makes may be hard to delete.
		if err := os.MkdirAll(p.out("out")+"/a/b", 0o755); err != nil {
			return err
		}
		if err := os.Chmod(p.out("out")+"/a", 0o500); err != nil {
			return err
		}
		close(started)
		<-p.ctx.Done()
		return p.ctx.Err()
	}})
	g := w.graph()
	hang := must(t)(g.Derive(derivation.Derivation{Name: "hang", Builder: "/hang"}))
	after := must(t)(g.Text("after", hang, false, pos{}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	if _, err := w.r.Realise(ctx, g, after, hang); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "hang") {
		t.Errorf("error %v", err)
	}
	w.verify()
	if all, err := w.store.All(); err != nil || len(all) > 0 {
		t.Errorf("in the store: %v %v", all, err)
	}
}

func TestSourceThatChanges(t *testing.T) {
	w := newWorld(t, nil)
	g := w.graph()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	src := must(t)(g.Source(t.Context(), "f", file, nil, "", pos{File: "f.star", Line: 1, Col: 2}))
	if err := os.WriteFile(file, []byte("afterwards"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := w.r.Realise(t.Context(), g, src)
	if !errors.Is(err, realise.ErrChanged) || !strings.HasPrefix(err.Error(), "f.star:1:2: cannot add") || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := w.r.Realise(t.Context(), g, src); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestTargetsThatAreNone(t *testing.T) {
	w := newWorld(t, nil)
	g := w.graph()
	for _, target := range []string{"", "/tmp", "hello"} {
		if _, err := w.r.Realise(t.Context(), g, target); err == nil || !strings.Contains(err.Error(), "no item") {
			t.Errorf("%q: %v", target, err)
		}
		if _, err := w.r.Plan(t.Context(), g, target); err == nil {
			t.Errorf("plan of %q", target)
		}
	}
	p, err := store.TextPath("gone", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.AddItem(p)
	if _, err := w.r.Realise(t.Context(), g, string(p)); err == nil || !strings.Contains(err.Error(), "not in the store") {
		t.Errorf("item that is not there: %v", err)
	}
}

// elsewhere is a substituter that has texts.
type elsewhere struct {
	w     *world
	known func(derivation.Key) map[string]store.Path
	text  string
	err   error
}

func (e *elsewhere) Name() string { return "elsewhere" }

func (e *elsewhere) Realisation(_ context.Context, k derivation.Key) (map[string]store.Path, error) {
	return e.known(k), e.err
}

func (e *elsewhere) Fetch(ctx context.Context, l *store.Lease, p store.Path) error {
	info, err := e.w.store.AddText(ctx, l, p.Name(), []byte(e.text), nil)
	if err == nil && info.Path != p {
		return store.ErrNotFound
	}
	return err
}

func TestSubstitutes(t *testing.T) {
	have, err := store.TextPath("d", []byte("made elsewhere"), nil)
	if err != nil {
		t.Fatal(err)
	}
	lack, err := store.TextPath("d", []byte("not here"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		summary string
		known   map[string]store.Path
		err     error
		want    []string
	}{
		{"has it", map[string]store.Path{"out": have}, nil, []string{"fetch d"}},
		{"knows of it but lacks it", map[string]store.Path{"out": lack}, nil, []string{"build-done d", "build-start d"}},
		{"knows another output", map[string]store.Path{"lib": have}, nil, []string{"build-done d", "build-start d"}},
		{"lies about the name", map[string]store.Path{"out": have + "x"}, nil, []string{"build-done d", "build-start d"}},
		{"knows nothing", nil, nil, []string{"build-done d", "build-start d"}},
		{"is away", nil, io.ErrUnexpectedEOF, []string{"build-done d", "build-start d", "unavailable d"}},
	} {
		w := newWorld(t, programs{"/write": write})
		g := w.graph()
		d := must(t)(g.Derive(derivation.Derivation{Name: "d", Builder: "/write"}))
		w.r.Substituters = []realise.Substituter{&elsewhere{w, func(derivation.Key) map[string]store.Path { return c.known }, "made elsewhere", c.err}}
		w.realise(g, d)
		if got := w.seen.take(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.summary, got, c.want)
		}
		// Either way it is remembered.
		w.realise(g, d)
		if got := w.seen.take(); len(got) > 0 {
			t.Errorf("%s, again: %v", c.summary, got)
		}
	}
}

func BenchmarkTexts(b *testing.B) {
	for b.Loop() {
		w := openWorld(b, b.TempDir(), nil)
		g := w.graph()
		var all []string
		for i := range 500 {
			text, err := g.Text("text", fmt.Sprint(i), false, pos{})
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, text)
		}
		w.realise(g, all...)
	}
}

func BenchmarkBuiltins(b *testing.B) {
	for b.Loop() {
		w := openWorld(b, b.TempDir(), nil)
		g := w.graph()
		seed, err := g.FileUnion("seed", nil, false, pos{})
		if err != nil {
			b.Fatal(err)
		}
		var all []string
		for i := range 200 {
			text, err := g.Text("text", fmt.Sprint(i, seed), false, pos{})
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, text)
		}
		w.realise(g, all...)
	}
}
