// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"osbuild/builder/builtin"
	"osbuild/builder/debian"
	"osbuild/builder/debian/handlers"
	"osbuild/builder/debian/items"
	"osbuild/builder/debian/lock"
	"osbuild/builder/derivation"
	"osbuild/builder/golang"
	"osbuild/builder/lang"
	"osbuild/builder/realise"
	"osbuild/builder/service"
	"osbuild/builder/system"
	"osbuild/closure/view"
	"osbuild/runner"
	"osbuild/store"
	"osbuild/store/nar"
)

// evaluation is one declaration, read: what it means as a graph of
// derivations.
type evaluation struct {
	graph    *derivation.Graph
	env      *service.Env
	program  *lang.Program
	packages *debian.Source
}

// evaluate reads a system file and hands what it means to use. Nothing is
// built, and where a declaration is wrong nothing has changed: a store that is
// not there yet is not made. Where the file names packages that its lock
// lacks, the lock is extended first, and use sees the second evaluation.
func (a *app) evaluate(ctx context.Context, file string, use func(*evaluation) error) error {
	locked, err := readLock(file)
	if err != nil {
		return err
	}
	for {
		e, err := a.evaluateWith(ctx, file, locked)
		if err != nil {
			return err
		}
		if err := use(e); err != nil || !e.packages.Stale() {
			return err
		}
		if locked, err = a.extendLock(ctx, file, e, locked); err != nil {
			return err
		}
	}
}

// evaluateWith reads a system file once, with the packages of a lock.
func (a *app) evaluateWith(ctx context.Context, file string, l *lock.Lock) (*evaluation, error) {
	h := hasher{a}
	graph := derivation.NewGraph(h)
	initItem, err := initItem(ctx, graph)
	if err != nil {
		return nil, err
	}
	packages := debian.NewSource(graph, l)
	env := &service.Env{Graph: graph, Init: initItem, System: derivation.HostSystem(), Packages: packages}
	program, err := lang.Load(ctx, file, lang.Options{
		Graph: graph,
		Env:   env,
		Toolchain: sync.OnceValues(func() (*golang.Toolchain, error) {
			return golang.HostToolchain(ctx, h)
		}),
		Print: func(text string) { a.say("%s", text) },
		Warn:  func(text string) { a.say("warning: %s", text) },
	})
	if err != nil {
		return nil, err
	}
	return &evaluation{graph: graph, env: env, program: program, packages: packages}, nil
}

// hasher hashes local files with the store's cache of what it hashed before,
// once there is a store.
type hasher struct{ a *app }

// HashTree implements derivation.Hasher.
func (h hasher) HashTree(ctx context.Context, src string, f store.Filter) (store.Hash, int64, error) {
	root, err := h.a.rootDir()
	if err != nil {
		return store.Hash{}, 0, err
	}
	if _, err := os.Stat(root); h.a.store == nil && errors.Is(err, fs.ErrNotExist) {
		sum, size, err := nar.Hash(ctx, src, nar.Filter(f))
		return sum, size, err
	}
	s, err := h.a.openStore()
	if err != nil {
		return store.Hash{}, 0, err
	}
	return s.HashTree(ctx, src, f)
}

// realiser is what builds parts of an evaluation, with a lease that keeps
// them alive until the program ends.
func (a *app) realiser(ctx context.Context) (*realise.Realiser, error) {
	s, lease, err := a.openLease()
	if err != nil {
		return nil, err
	}
	r := a.newRealiser(ctx, s, lease)
	r.Substituters, err = a.substituters(ctx, s)
	return r, err
}

// realise builds one path or placeholder of an evaluation.
func (a *app) realise(ctx context.Context, e *evaluation, path string) (store.Path, error) {
	r, err := a.realiser(ctx)
	if err != nil {
		return "", err
	}
	paths, err := r.Realise(ctx, e.graph, path)
	if err != nil {
		return "", err
	}
	return paths[0], nil
}

func (a *app) newRealiser(ctx context.Context, s *store.Store, lease *store.Lease) *realise.Realiser {
	jobs := a.jobs
	if jobs <= 0 {
		jobs = runtime.NumCPU()
	}
	return &realise.Realiser{
		Store:    s,
		Lease:    lease,
		Executor: runner.Sandbox{Hierarchy: runner.Hierarchy{View: view.Func(s)}},
		Builtins: slices.Concat(builtin.All(), items.Builtins(func() (items.Archive, error) { return a.host(ctx) }), []realise.Builtin{handlers.Builtin()}),
		Jobs:     jobs,
		Offline:  a.offline,
		Observer: newProgress(a),
	}
}

// initItem declares the item of osbuild-init, which lies beside this program
// or where OSBUILD_INIT says. It becomes an item by its bytes.
func initItem(ctx context.Context, g *derivation.Graph) (string, error) {
	path := os.Getenv("OSBUILD_INIT")
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("cannot find osbuild-init: %w", err)
		}
		path = filepath.Join(filepath.Dir(self), "osbuild-init")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("cannot find osbuild-init beside osbuild: %w; run `make build`, or set OSBUILD_INIT", err)
	}
	if err := checkStatic(path); err != nil {
		return "", fmt.Errorf("cannot use %s: %w; run `make build`, which builds it with CGO_ENABLED=0", path, err)
	}
	program, err := g.Source(ctx, "osbuild-init", path, nil, "", derivation.Position{})
	if err != nil {
		return "", err
	}
	return g.FileUnion("osbuild-init", map[string]string{"bin/osbuild-init": program}, true, derivation.Position{})
}

// checkStatic makes sure that a program needs no loader: a container has none
// for PID 1, and the kernel would only say that there is no such file.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("it is no program: %w", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("it is linked dynamically")
		}
	}
	return nil
}

// splitTarget takes FILE or FILE:NAME apart; a file whose own name holds a
// colon can still be named.
func splitTarget(arg string) (file, name string) {
	if _, err := os.Stat(arg); err == nil {
		return arg, "system"
	}
	if i := strings.LastIndexByte(arg, ':'); i > 0 && !strings.Contains(arg[i:], "/") {
		return arg[:i], arg[i+1:]
	}
	return arg, "system"
}

// buildable is what a name of a declaration stands for.
type buildable struct {
	// path is the store path or placeholder that realises it.
	path string
	// os is set for an operating system.
	os *system.OperatingSystem
}

// value finds FILE:NAME and lowers it: an operating system to its system item
// (or, with script, to its run-container script), a file-like to its own path.
func (e *evaluation) value(target, name string, script bool) (buildable, error) {
	value, err := e.program.Value(name)
	if err != nil {
		return buildable{}, err
	}
	return e.lower(target, value, script)
}

func (e *evaluation) lower(target string, value any, script bool) (buildable, error) {
	switch v := value.(type) {
	case string:
		if script {
			return buildable{}, fmt.Errorf("cannot make a container of %s: it is a file, not an operating_system", target)
		}
		if deps, err := e.graph.Deps(v); err == nil && len(deps) == 1 && deps[0] == v {
			return buildable{path: v}, nil
		}
		return buildable{}, fmt.Errorf("cannot build %s: it is a text, not a file or a system", target)
	case *system.OperatingSystem:
		if script {
			path, err := e.containerScript(v)
			return buildable{path: path, os: v}, err
		}
		sys, err := system.Lower(e.env, v)
		return buildable{path: sys.Path, os: v}, err
	}
	return buildable{}, fmt.Errorf("cannot build %s: it is neither a file nor a system", target)
}

// kindOf says in the user's words what a value is.
func kindOf(value any) string {
	switch value.(type) {
	case string:
		return "a text"
	case *system.OperatingSystem:
		return "an operating system"
	}
	return "something that is neither a file nor a system"
}
