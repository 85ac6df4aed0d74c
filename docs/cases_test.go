// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// guixSections and nixSections are the parts of the two pages, in order.
var (
	guixSections = []string{
		"services.scm", "accounts.scm", "configuration.scm", "file-systems.scm", "guix-system.sh",
		"The shepherd", "containers.scm", "Virtual machines",
		"Rootless podman", "Systems in containers", "Essential services", "Ready services", "What a careless implementation misses",
	}
	nixSections = []string{
		"1 Adding", "2 Archives", "3 Texts and fixed outputs", "4 References", "5 What Nix takes from our caches",
		"6 What we take from caches of Nix", "7 Nix on our tree", "8 Closures", "9 Garbage", "10 Derivations",
		"11 Files of a cache", "12 Together and in spite of crashes", "Refusals",
	}
)

// TestGuixCases holds docs/guix-cases.md against the tests: each row names at
// least one, and each one named is there, with that subtest.
func TestGuixCases(t *testing.T) { checkPage(t, "docs/guix-cases.md", guixSections) }

// TestNixCases holds docs/nix-conformance.md against the tests.
func TestNixCases(t *testing.T) { checkPage(t, "docs/nix-conformance.md", nixSections) }

func checkPage(t *testing.T, page string, want []string) {
	t.Chdir("..")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	sections, problems := readCases(page, string(text))
	for _, p := range problems {
		t.Error(p)
	}
	if !slices.Equal(sections, want) {
		t.Errorf("the sections are %q, want %q", sections, want)
	}
	for _, p := range checkCases(page, string(text), &testIndex{packages: map[string]*testPackage{}}) {
		t.Error(p)
	}
}

// The checker itself: what it must find.
func TestCasesChecker(t *testing.T) {
	t.Chdir("..")
	index := &testIndex{packages: map[string]*testPackage{}}
	for _, tc := range []struct {
		summary, row, want string
	}{
		{"a test", "| a | `. TestLayers` |", ""},
		{"a subtest", "| a | `docs TestCasesChecker/a_subtest` |", ""},
		{"a script", "| a | `cmd/osbuild TestScripts/build_usage` |", ""},
		{"a name with a slash: a/b", "| a | `docs TestCasesChecker/a_name_with_a_slash:_a/b` |", ""},
		{"half of a name", "| a | `docs TestCasesChecker/a_test/none` |", `page.md:1: TestCasesChecker in docs runs no "a_test/none"`},
		{"two tests", "| a | `. TestLayers`, `closure/graph TestWrite/dot` |", ""},
		{"a reason", "| a | not applicable: there are no channels |", ""},
		{"a package that is not there", "| a | `builder/nothing TestX` |", "page.md:1: builder/nothing has no tests"},
		{"a test that is not there", "| a | `. TestNothing` |", "page.md:1: package . has no TestNothing"},
		{"a helper", "| a | `docs checkCases` |", "page.md:1: `docs checkCases` is not of the form PACKAGE TestName/subtest"},
		{"a subtest that is not there", "| a | `docs TestCasesChecker/none` |", `page.md:1: TestCasesChecker in docs runs no "none"`},
		{"a subtest of another test", "| a | `. TestLayers/a_subtest` |", `page.md:1: TestLayers in . runs no "a_subtest"`},
		{"a text that is no subtest's name", "| a | `docs TestGuixCases/docs` |", `page.md:1: TestGuixCases in docs runs no "docs"`},
		{"a script that is not there", "| a | `cmd/osbuild TestScripts/build_nothing` |", `page.md:1: TestScripts in cmd/osbuild runs no "build_nothing"`},
		{"no test", "| a | the tests of services |", `page.md:1: the row "a" names no test`},
		{"half a row", "| a |", "page.md:1: a row has two parts, the case and its tests"},
		{"a row twice", "| a | `. TestLayers` |\n| a | `. TestLayers` |", `page.md:2: the row "a" is there twice`},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			_, problems := readCases("page.md", tc.row)
			problems = append(problems, checkCases("page.md", tc.row, index)...)
			if got := strings.Join(problems, "\n"); got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
			}
		})
	}
}

// readCases gives the headings of the page, and rows that are none.
func readCases(page, text string) (sections, problems []string) {
	seen := map[string]bool{}
	for n, line := range strings.Split(text, "\n") {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			sections = append(sections, heading)
			clear(seen)
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| case |") {
			continue
		}
		at := fmt.Sprintf("%s:%d: ", page, n+1)
		what, tests, ok := strings.Cut(strings.Trim(line, "| "), " | ")
		switch {
		case !ok:
			problems = append(problems, at+"a row has two parts, the case and its tests")
		case seen[what]:
			problems = append(problems, at+fmt.Sprintf("the row %q is there twice", what))
		case !strings.Contains(tests, "`") && !strings.HasPrefix(tests, "not applicable: "):
			problems = append(problems, at+fmt.Sprintf("the row %q names no test", what))
		}
		seen[what] = true
	}
	return sections, problems
}

// checkCases finds the tests that rows name.
func checkCases(page, text string, index *testIndex) (problems []string) {
	span := regexp.MustCompile("`([^`]*)`")
	name := regexp.MustCompile(`^(\S+) ((?:Test|Fuzz)\w+)((?:/\S+)*)$`)
	for n, line := range strings.Split(text, "\n") {
		_, tests, ok := strings.Cut(line, " | ")
		if !ok || !strings.HasPrefix(line, "|") {
			continue
		}
		for _, m := range span.FindAllStringSubmatch(tests, -1) {
			ref := name.FindStringSubmatch(m[1])
			if ref == nil {
				problems = append(problems, fmt.Sprintf("%s:%d: %s is not of the form PACKAGE TestName/subtest", page, n+1, m[0]))
			} else if p := index.find(ref[1], ref[2], ref[3]); p != "" {
				problems = append(problems, fmt.Sprintf("%s:%d: %s", page, n+1, p))
			}
		}
	}
	return problems
}

// testIndex knows the tests of packages, read from their sources.
type testIndex struct{ packages map[string]*testPackage }

// testPackage are the declarations in the tests of one folder. Of methods and
// of test files in two packages each keeps its own.
type testPackage struct {
	tests map[string]ast.Node
	decls map[string][]ast.Node
	// files are the names of what lies in testdata, without extensions.
	files map[string]bool
}

// find says what is wrong with the name of a test, or "".
func (x *testIndex) find(dir, test, sub string) string {
	p, ok := x.packages[dir]
	if !ok {
		p = readTests(dir)
		x.packages[dir] = p
	}
	if len(p.tests) == 0 {
		return dir + " has no tests"
	}
	if p.tests[test] == nil {
		return fmt.Sprintf("package %s has no %s", dir, test)
	}
	if sub == "" {
		return ""
	}
	if !madeOf(sub[1:], p.subtests(test)) {
		return fmt.Sprintf("%s in %s runs no %q", test, dir, sub[1:])
	}
	return ""
}

// madeOf says whether a path is made of names, which may hold slashes.
func madeOf(path string, names map[string]bool) bool {
	if names[path] {
		return true
	}
	for i, r := range path {
		if r == '/' && names[path[:i]] && madeOf(path[i+1:], names) {
			return true
		}
	}
	return false
}

func readTests(dir string) *testPackage {
	p := &testPackage{tests: map[string]ast.Node{}, decls: map[string][]ast.Node{}, files: map[string]bool{}}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return p
	}
	for _, f := range files {
		// A test behind a build tag is none that `make test` runs.
		if match, err := build.Default.MatchFile(dir, filepath.Base(f)); err != nil || !match {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			continue
		}
		for _, d := range file.Decls {
			p.declare(d)
		}
	}
	_ = filepath.WalkDir(filepath.Join(dir, "testdata"), func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			p.addFile(path)
		}
		return nil
	})
	return p
}

// addFile adds a file of testdata and, of an archive, the folders in it.
func (p *testPackage) addFile(path string) {
	base, _, _ := strings.Cut(filepath.Base(path), ".")
	p.files[base] = true
	text, err := os.ReadFile(path)
	if err != nil || filepath.Ext(path) != ".txtar" {
		return
	}
	for _, m := range regexp.MustCompile(`(?m)^-- (.*)/[^/]* --$`).FindAllSubmatch(text, -1) {
		p.files[subtestName(string(m[1]))] = true
	}
}

func (p *testPackage) declare(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		p.decls[d.Name.Name] = append(p.decls[d.Name.Name], d)
		if d.Recv == nil && len(d.Type.Params.List) == 1 {
			p.tests[d.Name.Name] = d
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if v, ok := s.(*ast.ValueSpec); ok {
				for _, n := range v.Names {
					p.decls[n.Name] = append(p.decls[n.Name], v)
				}
			}
		}
	}
}

// subtests are the names that a test may give its subtests: the texts that
// stand in it, and in what it uses of its package, where something there runs
// subtests; and the files of testdata, where it reads those.
func (p *testPackage) subtests(test string) map[string]bool {
	names := map[string]bool{}
	runs, reads := false, false
	seen := map[ast.Node]bool{}
	var visit func(n ast.Node)
	visit = func(n ast.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				runs = runs || ok && n.Sel.Name == "Run" && (x.Name == "t" || x.Name == "testscript")
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
					names[subtestName(s)] = true
					reads = reads || strings.HasPrefix(s, "testdata")
				}
			case *ast.Ident:
				for _, d := range p.decls[n.Name] {
					visit(d)
				}
			}
			return true
		})
	}
	visit(p.tests[test])
	if !runs {
		return nil
	}
	if reads {
		for f := range p.files {
			names[f] = true
		}
	}
	return names
}

// subtestName is how package testing writes the name of a subtest.
func subtestName(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			b.WriteByte('_')
		case !strconv.IsPrint(r):
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
