// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sort"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"osbuild/builder/derivation"
	"osbuild/builder/lang/value"
	"osbuild/builder/service"
)

// What a file may do. Sets are values like any other. `if` and `for` may stand
// at the top level, for checks that fail() and for lists that grow: a
// declaration is a straight text, and a function around them explains nothing.
// There is no `while`, no recursion and no second assignment of a global:
// evaluation ends, and a name means one thing in the whole file.
var fileOptions = &syntax.FileOptions{Set: true, TopLevelControl: true}

const (
	// maxFile and maxNesting keep the parser, which descends recursively,
	// far from the end of the stack whatever the text is.
	maxFile    = 1 << 20
	maxNesting = 1000
)

// loader evaluates files, each once.
type loader struct {
	ctx         context.Context
	options     Options
	registry    *value.Registry
	predeclared starlark.StringDict
	library     library
	// constructors are those that modules of the library have.
	constructors map[string]*value.Schema
	calls        callSites
	modules      map[string]*module
	// sources are the texts of files, for messages about them.
	sources map[string]string
	// warned are the places that a warning was given about.
	warned map[derivation.Position]bool
	// visible are the names of the file that the user named: what it defines
	// and what it loads.
	visible starlark.StringDict
	// own holds the service types that files made: their values are Starlark's.
	own map[*service.Type]bool
	// records holds, for those of them whose default is a record, its schema:
	// other values are of the same kind.
	records map[*service.Type]*value.Schema
	// essential are types that every system has; it is filled when somebody
	// asks.
	essential map[*service.Type]bool
}

// module is a file under evaluation (loading) or evaluated.
type module struct {
	name    string
	loading bool
	globals starlark.StringDict
	err     error
}

// thread makes a thread whose steps are counted.
func (l *loader) thread(name string) (*starlark.Thread, func()) {
	t := &starlark.Thread{
		Name: name,
		Load: l.load,
		Print: func(_ *starlark.Thread, msg string) {
			if l.options.Print != nil {
				l.options.Print(msg)
			}
		},
	}
	t.SetMaxExecutionSteps(l.options.MaxSteps)
	stop := context.AfterFunc(l.ctx, func() { t.Cancel(l.ctx.Err().Error()) })
	return t, func() { stop() }
}

// run calls f and turns whatever comes of it into an *Error. A panic is a
// fault of osbuild, but the user gets a message and not a trace.
func (l *loader) run(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = internal(p, debug.Stack())
		}
	}()
	if err := f(); err != nil {
		return l.explain(err)
	}
	return nil
}

// file evaluates the file that a user named.
func (l *loader) file(name string) (starlark.StringDict, error) {
	thread, done := l.thread(name)
	defer done()
	var globals starlark.StringDict
	err := l.run(func() error {
		src, err := readFile(name)
		if err != nil {
			return &Error{Pos: derivation.Position{File: name}, Msg: "cannot read the declaration: " + err.Error(), Cause: err}
		}
		m := &module{name: name, loading: true}
		l.modules[fileKey(name)] = m
		var f *syntax.File
		f, globals, err = l.evaluate(thread, name, src)
		m.loading = false
		if err != nil {
			return err
		}
		return l.see(thread, f, globals)
	})
	return globals, err
}

// evaluate runs the text of one file on a thread. All files of an evaluation
// share the thread: its stack is the chain of loads, its steps are the sum.
func (l *loader) evaluate(thread *starlark.Thread, name string, src []byte) (*syntax.File, starlark.StringDict, error) {
	if err := checkText(name, src); err != nil {
		return nil, nil, err
	}
	l.sources[name] = string(src)
	f, prog, err := starlark.SourceProgramOptions(fileOptions, name, src, l.predeclared.Has)
	if err != nil {
		return nil, nil, err
	}
	l.calls.add(f)
	globals, err := prog.Init(thread, l.predeclared)
	globals.Freeze()
	return f, globals, err
}

// see notes what the file that the user named defines and loads.
func (l *loader) see(thread *starlark.Thread, f *syntax.File, globals starlark.StringDict) error {
	l.visible = starlark.StringDict{}
	for _, stmt := range f.Stmts {
		load, ok := stmt.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		loaded, err := l.loadFrom(thread, f.Path, load.ModuleName())
		if err != nil {
			return err
		}
		for i, to := range load.To {
			l.visible[to.Name] = loaded[load.From[i].Name]
		}
	}
	for name, v := range globals {
		l.visible[name] = v
	}
	return nil
}

// load implements the load statement.
func (l *loader) load(thread *starlark.Thread, name string) (starlark.StringDict, error) {
	return l.loadFrom(thread, thread.CallFrame(0).Pos.Filename(), name)
}

// loadFrom gives what a file gets that loads a name.
func (l *loader) loadFrom(thread *starlark.Thread, from, name string) (starlark.StringDict, error) {
	if strings.HasPrefix(name, libraryPrefix) {
		return l.loadLibrary(thread, name)
	}
	if strings.HasPrefix(from, libraryPrefix) {
		return nil, errors.New("a module of osbuild loads no files")
	}
	file := name
	if !filepath.IsAbs(name) {
		file = filepath.Join(filepath.Dir(from), name)
	}
	return l.once(thread, fileKey(file), file, func() ([]byte, error) { return readFile(file) })
}

// once evaluates what is loaded, unless that was done before.
func (l *loader) once(thread *starlark.Thread, key, name string, read func() ([]byte, error)) (starlark.StringDict, error) {
	if m := l.modules[key]; m != nil {
		if m.loading {
			return nil, errors.New("it is being loaded already: the files load each other in a cycle")
		}
		return m.globals, m.err
	}
	src, err := read()
	if err != nil {
		return nil, err
	}
	m := &module{name: name, loading: true}
	l.modules[key] = m
	_, m.globals, m.err = l.evaluate(thread, name, src)
	if m.err != nil {
		e := l.explain(m.err)
		if len(e.Stack) == 0 {
			// The text did not run: the stack ends at the load statement.
			e.Stack = l.frames(thread.CallStack())
		}
		m.err = e
	}
	m.loading = false
	return m.globals, m.err
}

// fileKey is one for one file, however it is reached.
func fileKey(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	return name
}

// readFile reads a file of Starlark.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is %w", errNoFile)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	return os.ReadFile(name)
}

// errNoFile says what fs.ErrNotExist means here.
var errNoFile error = noFile{}

type noFile struct{}

func (noFile) Error() string        { return "no such file" }
func (noFile) Is(target error) bool { return target == fs.ErrNotExist }

// checkText refuses what would exhaust the stack of the parser. It does not
// tell strings from code: nobody writes a thousand brackets in either.
func checkText(name string, src []byte) error {
	depth, signs := 0, 0
	line, start := 1, 0
	for i, c := range src {
		switch c {
		case '(', '[', '{':
			depth++
			signs = 0
		case ')', ']', '}':
			depth = max(0, depth-1)
			signs = 0
		case '-', '+', '~':
			signs++
		case '\n':
			line, start = line+1, i+1
		case ' ', '\t', '\r', '\\':
		default:
			signs = 0
		}
		if depth > maxNesting || signs > maxNesting {
			return &Error{
				Pos: derivation.Position{File: name, Line: line, Col: i - start + 1},
				Msg: "cannot read the file: the text is nested too deep",
			}
		}
	}
	return nil
}

// internal is the error of a fault in osbuild.
func internal(p any, stack []byte) *Error {
	where := ""
	for _, line := range strings.Split(string(stack), "\n") {
		if i := strings.LastIndex(line, "/builder/"); i >= 0 && strings.Contains(line, ".go:") && !strings.Contains(line, "loader.go") {
			where, _, _ = strings.Cut(line[i+1:], " ")
			where = " at " + where
			break
		}
	}
	return &Error{Msg: fmt.Sprintf("internal error%s: %v: please report it with the declaration that caused it", where, p)}
}

// names lists what a file can use without load, sorted.
func (l *loader) names() []string {
	var names []string
	for _, d := range []starlark.StringDict{l.predeclared, starlark.Universe, l.visible} {
		names = append(names, d.Keys()...)
	}
	sort.Strings(names)
	return names
}
