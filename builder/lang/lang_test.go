// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/store"
)

// treeHasher hashes names, kinds and bytes: enough to tell trees apart.
type treeHasher struct{}

func (treeHasher) HashTree(_ context.Context, src string, f store.Filter) (store.Hash, int64, error) {
	h := sha256.New()
	err := filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(src, p)
		typ := "regular"
		switch {
		case d.IsDir():
			typ = "directory"
		case d.Type()&fs.ModeSymlink != 0:
			typ = "symlink"
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is neither a file, a folder nor a link", p)
		}
		if f != nil && rel != "." && !f(rel, typ) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		fmt.Fprintf(h, "%s %s\n", typ, rel)
		if typ == "regular" {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			h.Write(data)
		}
		return nil
	})
	var out store.Hash
	h.Sum(out[:0])
	return out, 0, err
}

// evaluation is what a test looks at.
type evaluation struct {
	*Program
	graph   *derivation.Graph
	printed []string
	warned  []string
}

// evaluate unpacks files into the current folder and loads system.star.
func evaluate(t *testing.T, archive string) (*evaluation, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, f := range txtar.Parse([]byte(archive)).Files {
		if err := os.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.Name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return loadFile("system.star")
}

func loadFile(name string) (*evaluation, error) {
	e := &evaluation{graph: derivation.NewGraph(treeHasher{})}
	var err error
	e.Program, err = Load(context.Background(), name, Options{
		Graph: e.graph,
		Env:   &service.Env{Graph: e.graph, System: "x86_64-linux"},
		Print: func(s string) { e.printed = append(e.printed, s) },
		Warn:  func(s string) { e.warned = append(e.warned, s) },
	})
	return e, err
}

// mustEvaluate evaluates the text of system.star.
func mustEvaluate(t *testing.T, text string) *evaluation {
	t.Helper()
	if !strings.HasPrefix(text, "-- ") {
		text = "-- system.star --\n" + text
	}
	e, err := evaluate(t, text)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return e
}

// get gives a value of the program that has to be a T.
func get[T any](t *testing.T, e *evaluation, name string) T {
	t.Helper()
	v, err := e.Value(name)
	if err != nil {
		t.Fatalf("Value(%q): %v", name, err)
	}
	typed, ok := v.(T)
	if !ok {
		t.Fatalf("Value(%q) is a %T: %v", name, v, v)
	}
	return typed
}

func TestLoad(t *testing.T) {
	e := mustEvaluate(t, `
-- system.star --
load("lib/a.star", "a", renamed = "c")
load("lib/../lib/a.star", again = "a")
print("a is", a)
x = a + renamed
same = a == again
words = set(["one", "two", "one"])
chosen = []
if len(words) == 2:
    chosen.append("two")
if not chosen:
    fail("no choice")
squares = {}
for i in range(3):
    squares[str(i)] = i * i
-- lib/a.star --
load("b.star", "b")
print("once")
a = "A" + b
c = "C"
-- lib/b.star --
b = "B"
`)
	if got := get[string](t, e, "x"); got != "ABC" {
		t.Errorf("x = %q", got)
	}
	if !get[bool](t, e, "same") {
		t.Error("a file loaded by two names gave two values")
	}
	if got := get[[]any](t, e, "chosen"); len(got) != 1 || got[0] != "two" {
		t.Errorf("chosen = %q", got)
	}
	if got := get[map[string]any](t, e, "squares"); got["2"] != 4 {
		t.Errorf("squares = %v", got)
	}
	if got := strings.Join(e.printed, "|"); got != "once|a is AB" {
		t.Errorf("printed %q", got)
	}
}

func TestLoadNamesFilesAsTheUserDid(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a/lib.star", "x = 1 + None\n")
	write("a/b/system.star", "load(\"../lib.star\", \"x\")\n")
	for _, name := range []string{"a/b/system.star", "./a/b/system.star"} {
		_, err := loadFile(name)
		want := filepath.Join("a", "lib.star") + ":1:7: "
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "called from "+name+":1:1") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestLoadFreezesModules(t *testing.T) {
	_, err := evaluate(t, `
-- system.star --
load("lib.star", "list")
list.append(2)
-- lib.star --
list = [1]
`)
	if err == nil || !strings.Contains(err.Error(), "system.star:2:1: append: cannot append to frozen list") {
		t.Errorf("got %v", err)
	}
}

func TestLoadIsInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	text := "def f():\n    for i in range(1000000000):\n        pass\nf()\n"
	if err := os.WriteFile("system.star", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Load(ctx, "system.star", Options{Graph: derivation.NewGraph(treeHasher{})})
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("got %v", err)
	}
}

func TestEval(t *testing.T) {
	e := mustEvaluate(t, "greeting = \"hello\"\n")
	got, err := e.Eval(`plain_file("x", greeting)`)
	if err != nil {
		t.Fatal(err)
	}
	if ref, ok := e.graph.Lookup(got.(string)); !ok || ref.Kind != derivation.KindText {
		t.Errorf("got %v, %v", got, ref)
	}
	if _, err := e.Eval("1 +"); err == nil || !strings.HasPrefix(err.Error(), "-e:1:4: ") {
		t.Errorf("a broken expression gave %v", err)
	}
	if _, err := e.Eval("greting"); err == nil || err.Error() != `-e:1:1: undefined name "greting" (did you mean greeting?)` {
		t.Errorf("a misspelt name gave %v", err)
	}
	empty, err := loadFile("")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := empty.Eval("1 + 1"); err != nil || got != 2 {
		t.Errorf("1 + 1 without a file gave %v, %v", got, err)
	}
}

func TestValueNamesWhatThereIs(t *testing.T) {
	tests := []struct{ summary, text, name, want string }{
		{"a near name", "server = 1\nclient = 2\n", "sever", `system.star: cannot find the value "sever"; did you mean "server"?`},
		{"no near name", "server = 1\n", "x", `system.star: cannot find the value "x"; the file defines server`},
		{"an empty file", "", "system", `system.star: cannot find the value "system": the file defines nothing; end it with system = ...`},
		{"no system", "server = 1\n", "system", `system.star: cannot find the value "system": end the file with system = operating_system(...), or name one of its values, as in FILE:NAME: server`},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			e := mustEvaluate(t, test.text)
			_, err := e.Value(test.name)
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

// Every error is an *Error, has a place that the user can go to, and shows no
// trace of Go.
func checkError(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("the error is a %T: %v", err, err)
		return
	}
	if strings.Contains(err.Error(), "internal error") || strings.Contains(err.Error(), "goroutine") {
		t.Errorf("a fault of osbuild came through: %v", err)
	}
}

// loadText loads a text as system.star in the current folder.
func loadText(t *testing.T, text string) (*evaluation, error) {
	t.Helper()
	if err := os.WriteFile("system.star", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return loadFile("system.star")
}

func TestPanicsBecomeErrors(t *testing.T) {
	e := mustEvaluate(t, "")
	err := e.loader.run(func() error { panic("boom") })
	if err == nil || !strings.HasPrefix(err.Error(), "internal error at builder/lang/lang_test.go:") || !strings.Contains(err.Error(), "boom: please report") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
