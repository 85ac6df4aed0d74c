// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"osbuild/builder/derivation"
	"osbuild/builder/lang/value"
	"osbuild/runner/spec"
	"osbuild/store"
)

type plainFile struct {
	Name       string `star:"name,required,item" doc:"The name of the item."`
	Text       string `star:"text,required" doc:"What stands in the file. Items that the text mentions come along."`
	Executable bool   `star:"executable" doc:"Whether the file can be run."`
}

type programFile struct {
	Name        string `star:"name,required,item" doc:"The name of the item."`
	Interpreter string `star:"interpreter,required,file" doc:"The program that runs the script: a file-like value, or one plus a path in it."`
	Text        string `star:"text,required" doc:"The script, without its first line."`
}

type localFile struct {
	Path   string            `star:"path,required" doc:"A file or folder, relative to the file that calls local_file."`
	Name   *string           `star:"name,item" doc:"The name of the item; the last part of the path by default."`
	Select starlark.Callable `star:"select" doc:"select(path, type) says which parts of a folder to take: path is relative to the folder, type is \"regular\", \"directory\" or \"symlink\". All by default."`
}

type directoryUnion struct {
	Name  string   `star:"name,required,item" doc:"The name of the item."`
	Items []string `star:"items,required,file" doc:"The folders to merge. One file in two of them is an error, unless it is the same."`
}

type fileUnion struct {
	Name  string            `star:"name,required,item" doc:"The name of the item."`
	Files map[string]string `star:"files,required,file" doc:"What stands where: relative paths, and the files or folders to put there."`
	Copy  bool              `star:"copy" doc:"Whether to copy the files; links to them otherwise."`
}

type secret struct {
	Name string `star:"name,required,item" doc:"The name by which --secret NAME=FILE gives the content."`
}

func (l *loader) declareFiles() error {
	return errors.Join(
		function(l, "plain_file", "A file with a text.", plainFile{}, l.plainFile),
		function(l, "program_file", "A script that can be run.", programFile{}, l.programFile),
		function(l, "local_file", "A file or folder that lies beside the declaration, by its content.", localFile{}, l.localFile),
		function(l, "directory_union", "The merged tree of folders.", directoryUnion{}, l.directoryUnion),
		function(l, "file_union", "A tree of files, each at a path of its own.", fileUnion{}, l.fileUnion),
		function(l, "secret", "The path, in the running system, of a file that is given when it starts and never stored.", secret{}, l.secret),
	)
}

func (l *loader) plainFile(thread *starlark.Thread, a *plainFile) (starlark.Value, error) {
	return item(l.options.Graph.Text(a.Name, a.Text, a.Executable, l.caller(thread)))
}

func (l *loader) programFile(thread *starlark.Thread, a *programFile) (starlark.Value, error) {
	if strings.ContainsAny(a.Interpreter, "\n\x00") {
		return nil, value.Argument("interpreter", fmt.Errorf("a line break cannot stand in %q", a.Interpreter))
	}
	return item(l.options.Graph.Text(a.Name, "#!"+a.Interpreter+"\n"+a.Text, true, l.caller(thread)))
}

func (l *loader) directoryUnion(thread *starlark.Thread, a *directoryUnion) (starlark.Value, error) {
	return item(l.options.Graph.DirectoryUnion(a.Name, a.Items, false, l.caller(thread)))
}

func (l *loader) fileUnion(thread *starlark.Thread, a *fileUnion) (starlark.Value, error) {
	return item(l.options.Graph.FileUnion(a.Name, a.Files, a.Copy, l.caller(thread)))
}

func (l *loader) secret(_ *starlark.Thread, a *secret) (starlark.Value, error) {
	return starlark.String(path.Join(spec.SecretsDir, a.Name)), nil
}

func (l *loader) localFile(thread *starlark.Thread, a *localFile) (starlark.Value, error) {
	pos := l.caller(thread)
	physical := a.Path
	switch {
	case a.Path == "":
		return nil, value.Argument("path", errors.New("a path is needed"))
	case filepath.IsAbs(a.Path):
	case strings.HasPrefix(pos.File, libraryPrefix):
		return nil, value.Argument("path", errors.New("a module of osbuild has no files beside it"))
	case pos.File == expressionFile:
		// An expression lies nowhere: what it names lies in the current folder.
	default:
		physical = filepath.Join(filepath.Dir(pos.File), a.Path)
		if arg := l.calls.given(callPlace(thread.CallStack()), "path", 0); !saysWhere(arg) {
			l.warn(pos, fmt.Sprintf("local_file looks for %q beside %s, whichever file the path comes from; say so with \"./\" + the path", a.Path, filepath.Base(pos.File)))
		}
	}
	abs, err := filepath.Abs(physical)
	if err != nil {
		return nil, value.Argument("path", err)
	}
	if _, err := os.Lstat(abs); errors.Is(err, os.ErrNotExist) {
		return nil, value.Argument("path", fmt.Errorf("there is no file or folder %q", physical))
	}
	name := itemName(abs)
	if a.Name != nil {
		name = *a.Name
	}
	if a.Select == nil {
		return item(l.options.Graph.Source(l.ctx, name, abs, nil, "", pos))
	}
	s := &selection{loader: l, depth: depth(thread) + 1, fn: a.Select, known: map[string]bool{}}
	p, err := l.options.Graph.Source(l.ctx, name, abs, s.filter, "", pos)
	if err := s.failure(); err != nil {
		return nil, err
	}
	return item(p, err)
}

// saysWhere says whether an expression begins with a text that is written
// there: who reads it knows from which file on a path counts.
func saysWhere(e syntax.Expr) bool {
	switch e := e.(type) {
	case *syntax.Literal:
		return true
	case *syntax.ParenExpr:
		return saysWhere(e.X)
	case *syntax.BinaryExpr:
		return (e.Op == syntax.PLUS || e.Op == syntax.PERCENT) && saysWhere(e.X)
	case *syntax.CallExpr:
		// "conf/%s".format(x)
		dot, ok := e.Fn.(*syntax.DotExpr)
		return ok && saysWhere(dot.X)
	}
	return false
}

// warn tells of a likely slip, once a place.
func (l *loader) warn(pos derivation.Position, text string) {
	if l.options.Warn != nil && !l.warned[pos] {
		l.warned[pos] = true
		l.options.Warn(pos.String() + ": " + text)
	}
}

// itemName makes the name of an item of that of a file, which may have
// letters that items cannot have.
func itemName(file string) string {
	base := strings.Map(func(r rune) rune {
		if r < 0x80 && store.ValidName("x"+string(r)) == nil {
			return r
		}
		return '-'
	}, filepath.Base(file))
	if base = strings.TrimLeft(base, ".-"); base == "" {
		return "source"
	}
	return base
}

// selection asks a function which parts of a tree to take. The tree is walked
// when the file is evaluated and again when it is added to the store, so each
// answer is kept: both walks select the same.
type selection struct {
	loader *loader
	fn     starlark.Callable
	depth  int

	mu    sync.Mutex
	known map[string]bool
	err   error
}

func (s *selection) filter(rel, typ string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := typ + "\x00" + rel
	take, ok := s.known[key]
	if ok || s.err != nil {
		return take
	}
	v, err := s.loader.callWithin(s.depth, s.fn, starlark.String(rel), starlark.String(typ))
	if err != nil {
		s.err = err
		return false
	}
	b, ok := v.(starlark.Bool)
	if !ok {
		s.err = value.Argument("select", fmt.Errorf("want a function that gives True or False, got %s for %q", value.TypeName(v), rel))
		return false
	}
	s.known[key] = bool(b)
	return bool(b)
}

func (s *selection) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
