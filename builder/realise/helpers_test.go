// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"osbuild/builder/builtin"
	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/runner/spec"
	"osbuild/store"
)

// world is a store with a realiser, whose programs are Go functions.
type world struct {
	t     testing.TB
	root  string
	store *store.Store
	lease *store.Lease
	r     *realise.Realiser
	seen  *events
}

// programs are the builders that the executor knows, by their path.
type programs map[string]func(p *process) error

// process is one run of a program.
type process struct {
	ctx   context.Context
	build spec.Build
	env   map[string]string
	log   io.Writer
}

// out is where the program makes an output.
func (p *process) out(name string) string {
	return filepath.Join(p.build.StoreDir, filepath.Base(p.env[name]))
}

// file is where the program finds a file of an item.
func (p *process) file(logical string) string {
	for _, i := range p.build.Items {
		if rest, ok := strings.CutPrefix(logical, i.Logical); ok {
			return i.Physical + rest
		}
	}
	return "/not/visible"
}

// exit is the error with which a program ends in another way than with 0.
type exit spec.Exit

func (e exit) Error() string { return fmt.Sprint("exit ", spec.Exit(e)) }

func (all programs) Run(ctx context.Context, b spec.Build, log io.Writer) (spec.Exit, error) {
	f := all[b.Argv[0]]
	if f == nil {
		return spec.Exit{}, fmt.Errorf("there is no program %s", b.Argv[0])
	}
	p := &process{ctx, b, map[string]string{}, log}
	for _, kv := range b.Env {
		k, v, _ := strings.Cut(kv, "=")
		p.env[k] = v
	}
	switch err := f(p).(type) {
	case nil:
		return spec.Exit{}, nil
	case exit:
		return spec.Exit(err), nil
	default:
		return spec.Exit{}, err
	}
}

type events struct {
	mu   sync.Mutex
	list []realise.Event
}

func (e *events) Event(event realise.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

// take gives "kind name" of what happened since the last call, sorted.
func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for _, event := range e.list {
		list = append(list, event.Kind+" "+event.Name)
	}
	e.list = nil
	slices.Sort(list)
	return list
}

// built gives the names of what was built since the last call, sorted.
func (e *events) built() []string {
	var list []string
	for _, event := range e.take() {
		if name, ok := strings.CutPrefix(event, realise.EventDone+" "); ok {
			list = append(list, name)
		}
	}
	return list
}

func newWorld(t testing.TB, p programs) *world {
	t.Helper()
	return openWorld(t, t.TempDir(), p)
}

// openWorld opens a store as one more process would.
func openWorld(t testing.TB, root string, p programs) *world {
	t.Helper()
	s, err := store.Open(root, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.NewLease("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lease.Close()
		// An ordinary user can delete nothing from the folders of items.
		_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
	})
	seen := &events{}
	r := &realise.Realiser{
		Store: s, Lease: lease, Builtins: builtin.All(), Jobs: 2, Observer: seen,
	}
	if p != nil {
		r.Executor = p
	}
	return &world{t, root, s, lease, r, seen}
}

func (w *world) graph() *derivation.Graph { return derivation.NewGraph(w.store) }

func (w *world) realise(g *derivation.Graph, targets ...string) []store.Path {
	w.t.Helper()
	paths, err := w.r.Realise(w.t.Context(), g, targets...)
	if err != nil {
		w.t.Fatal(err)
	}
	return paths
}

// read gives the content of a file of an item.
func (w *world) read(p store.Path, file string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.store.Physical(p), file))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// verify checks the whole store, and that no build left anything behind.
func (w *world) verify() {
	w.t.Helper()
	report, err := w.store.Verify(w.t.Context(), store.VerifyOptions{Contents: true})
	if err != nil || len(report.Problems) > 0 {
		w.t.Errorf("verify: %v %v", err, report.Problems)
	}
	tmp, err := w.lease.TempDir()
	if err != nil {
		w.t.Fatal(err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		w.t.Errorf("left behind: %v %v", left, err)
	}
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

// write is a program that writes its variable "text".
func write(p *process) error {
	return os.WriteFile(p.out("out"), []byte(p.env["text"]), 0o644)
}
