// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// dependencies gives what the derivation or text behind a path depends on.
func dependencies(t *testing.T, e *evaluation, path string) []string {
	t.Helper()
	ref, ok := e.graph.Lookup(path)
	if !ok {
		t.Fatalf("%q is no item", path)
	}
	var deps []string
	if ref.Kind == derivation.KindText {
		text, _ := e.graph.TextItem(ref.Path)
		for _, r := range text.Refs {
			deps = append(deps, string(r))
		}
		return deps
	}
	d, ok := e.graph.Derivation(ref.Drv)
	if !ok {
		t.Fatalf("%q has no derivation", path)
	}
	for _, in := range d.Inputs {
		if in.Drv == "" {
			deps = append(deps, string(in.Path))
			continue
		}
		source, _ := e.graph.Derivation(in.Drv)
		deps = append(deps, derivation.Placeholder(in.Drv, in.Output, source.Name))
	}
	return deps
}

// Whatever a declaration does with the string of an item, what is made of it
// depends on the item; both for a path that is known at once and for one that
// is not.
func TestStringsCarryDependencies(t *testing.T) {
	operations := []struct{ summary, expr string }{
		{"alone", `a`},
		{"plus on the right", `"exec " + a`},
		{"plus on the left", `a + "/bin/sh"`},
		{"plus on both sides", `"exec " + a + "/bin/sh -c " + b + "/bin/ls"`},
		{"percent", `"exec %s" % a`},
		{"percent with a tuple", `"exec %s %s" % (a, b)`},
		{"percent with quotes", `"exec %r" % a`},
		{"percent with a dict", `"exec %(program)s" % {"program": a}`},
		{"format", `"exec {}".format(a)`},
		{"format by name", `"exec {program}".format(program = a)`},
		{"format with quotes", `"exec {!r}".format(a)`},
		{"join", `" ".join([a, b])`},
		{"join of a tuple", `":".join(("x", a))`},
		{"join with it", `a.join(["<", ">"])`},
		{"str", `"exec " + str(a)`},
		{"str of a list", `str([a, b])`},
		{"str of a dict", `str({a: b})`},
		{"repr", `repr(a)`},
		{"repetition", `a * 2`},
		{"strip", `("  " + a + "\n").strip()`},
		{"replace", `"exec @a@".replace("@a@", a)`},
		{"split and join", `"-".join((a + " " + b).split(" "))`},
		{"removeprefix", `("exec " + a).removeprefix("exec ")`},
		{"slice around it", `("exec " + a)[5:]`},
		{"dict value", `{"x": a}["x"]`},
		{"dict key", `[k for k in {a: 1}][0]`},
		{"conditional", `a if a != b else b`},
		{"function", `(lambda x: "<%s>" % x)(a)`},
		{"of a list by format", `"{}".format([a])`},
	}
	for _, kind := range []struct{ name, a string }{
		{"known", `plain_file("a", "text of a")`},
		{"placeholder", `file_union("a", {"x": plain_file("a", "text of a")})`},
	} {
		for _, op := range operations {
			t.Run(kind.name+"/"+op.summary, func(t *testing.T) {
				e := mustEvaluate(t, "a = "+kind.a+"\nb = plain_file(\"b\", \"text of b\")\n"+
					"result = plain_file(\"result\", "+op.expr+")\nderived = derivation(\"derived\", \"/builder\", env = {\"X\": "+op.expr+"})\n")
				a := get[string](t, e, "a")
				for _, result := range []string{"result", "derived"} {
					if deps := dependencies(t, e, get[string](t, e, result)); !slices.Contains(deps, a) {
						t.Errorf("%s of %s depends on %q, not on %q", result, op.expr, deps, a)
					}
				}
			})
		}
	}
}

func TestCutPlaceholdersAreRefused(t *testing.T) {
	tests := []struct{ summary, expr string }{
		{"front", `a[:40]`},
		{"back", `a[30:]`},
		{"middle", `a[20:40]`},
		{"without the name", `a[:-1]`},
		{"in a text", `"exec %s" % a[:40]`},
		{"split at a letter", `a.split("o")[-1] if len(a.split("o")[-1]) > 20 else a[:40]`},
		{"upper case", `a[:25] + a[25:].upper()`},
		{"joined wrong", `a[:40] + "x" + a[40:]`},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			_, err := evaluate(t, "-- system.star --\na = file_union(\"a\", {\"x\": plain_file(\"a\", \"\")})\n"+
				"x = [1,\n  plain_file(\"b\", "+test.expr+")]\n")
			if err == nil {
				t.Fatal("no error")
			}
			checkError(t, err)
			if !strings.HasPrefix(err.Error(), "system.star:3:3: cannot declare text \"b\": ") {
				t.Errorf("got %v", err)
			}
			if !errors.Is(err, derivation.ErrFragment) && !errors.Is(err, derivation.ErrUnknown) {
				t.Errorf("the error is no ErrFragment or ErrUnknown: %v", err)
			}
		})
	}
}

func TestFileLikesCompare(t *testing.T) {
	e := mustEvaluate(t, `
a = plain_file("a", "1")
same = a == plain_file("a", "1") and a + "/x" == plain_file("a", "1") + "/x"
differs = a != plain_file("a", "2")
key = {a: "found"}[plain_file("a", "1")]
ends = a.endswith("-a") and repr(a).endswith("-a\"")
`)
	if !get[bool](t, e, "same") || !get[bool](t, e, "differs") || !get[bool](t, e, "ends") || get[string](t, e, "key") != "found" {
		t.Error("file-like values do not compare by what they stand for")
	}
}

func TestFiles(t *testing.T) {
	e := mustEvaluate(t, `
sh = file_union("sh", {"bin/sh": plain_file("shell", "", executable = True)})
script = program_file("script", sh + "/bin/sh", "echo hello\n")
union = directory_union("union", [sh, sh + "/bin"])
copied = file_union("copied", {"etc/a": plain_file("a", ""), "b": sh + "/bin/sh"}, copy = True)
made = computed_file("made", sh + "/bin/sh", args = ["-c", "cp %s $out" % script], inputs = [union + "/x"], env = {"A": "1"})
both = derivation("both", sh + "/bin/sh", args = [output("doc")], outputs = ["out", "doc"])
page = fetch("https://example.org/page.html?x=1", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
tree = unpack("tree", page, strip = 1)
token = secret("token")
`)
	script := get[string](t, e, "script")
	ref, _ := e.graph.Lookup(script)
	d, ok := e.graph.Derivation(ref.Drv)
	if !ok || !strings.HasPrefix(d.Env["text"], "#!"+get[string](t, e, "sh")+"/bin/sh\necho") || d.Env["executable"] != "1" {
		t.Errorf("program_file made %+v", d)
	}
	if deps := dependencies(t, e, get[string](t, e, "made")); !slices.Contains(deps, script) || !slices.Contains(deps, get[string](t, e, "union")) || len(deps) != 3 {
		t.Errorf("computed_file depends on %q", deps)
	}
	both := get[map[string]any](t, e, "both")
	if len(both) != 2 || both["out"] == both["doc"] || !strings.HasSuffix(both["doc"].(string), "-both-doc") {
		t.Errorf("two outputs are %v", both)
	}
	if page := get[string](t, e, "page"); !strings.HasSuffix(page, "-page.html") {
		t.Errorf("fetch names the item %q", page)
	}
	if token := get[string](t, e, "token"); token != "/run/secrets/token" {
		t.Errorf("secret is %q", token)
	}
}

func TestFileErrors(t *testing.T) {
	tests := []struct{ summary, text, want string }{
		{
			"text where a file is needed",
			`x = program_file("x", "sh", "")`,
			`system.star:1:23: program_file: argument interpreter: want a file, got the text "sh", which is neither a file-like value nor an absolute path`,
		},
		{
			"text in a union",
			`x = directory_union("x", items = ["/a", "b"])`,
			`system.star:1:34: directory_union: argument items: element 2: want a file, got the text "b", which is neither a file-like value nor an absolute path`,
		},
		{
			"one file in a union",
			`x = directory_union("x", plain_file("a", ""))`,
			`system.star:1:26: directory_union: argument items: want list of file, got string "/osbuild/store/`,
		},
		{
			"unknown input",
			`x = computed_file("x", "/b", inputs = ["/c"])`,
			`system.star:1:39: computed_file: argument inputs: element 1: "/c" is no item of this evaluation`,
		},
		{
			"missing hash",
			`x = fetch("https://example.org/x")`,
			`system.star:1:5: fetch: argument sha256: must be given`,
		},
		{
			"wrong hash",
			`x = fetch("https://example.org/x", "abc")`,
			`system.star:1:5: cannot declare download of "https://example.org/x": `,
		},
		{
			"missing file",
			`x = local_file("nothing")`,
			`system.star:1:16: local_file: argument path: there is no file or folder "nothing"`,
		},
		{
			"no toolchain",
			`x = go_program("x", "/src")`,
			`system.star:1:5: go_program: no Go toolchain is available to this evaluation`,
		},
		{
			"bad secret",
			`x = secret("a/b")`,
			`system.star:1:12: secret: argument name: "a/b" cannot name an item: give a short name of letters, digits and +-._?=`,
		},
		{
			"select that answers with a number",
			`x = local_file(".", "x", select = lambda p, t: 1)`,
			`system.star:1:35: local_file: argument select: want a function that gives True or False, got int for "system.star"`,
		},
		{
			"select within itself",
			"def s(p, t):\n    local_file(\".\", \"x\", select = s)\n    return True\nx = local_file(\".\", \"x\", select = s)",
			"the function s is called within itself without end",
		},
		{
			"select that fails",
			"def s(p, t):\n    fail(p)\nx = local_file(\".\", \"x\", select = s)",
			"system.star:2:5: fail: system.star",
		},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			_, err := evaluate(t, "-- system.star --\n"+test.text+"\n")
			if err == nil {
				t.Fatal("no error")
			}
			checkError(t, err)
			if !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got\n%v\nwant\n%s", err, test.want)
			}
		})
	}
}

func TestLocalFile(t *testing.T) {
	files := `
-- system.star --
load("lib/lib.star", "read", beside = "theirs")
theirs = beside
ours = local_file("data.txt")
called = read("data.txt")
tree = local_file("lib")
some = local_file("lib", select = lambda path, type: not path.endswith(".star"))
named = local_file("data.txt", name = "other")
hidden = local_file(".hidden")
-- lib/lib.star --
theirs = local_file("data.txt")
def read(name):
    return local_file(name)
-- data.txt --
ours
-- lib/data.txt --
theirs
-- .hidden --
x
`
	e := mustEvaluate(t, files)
	physical := func(name string) string {
		p := store.Path(get[string](t, e, name))
		s, ok := e.graph.SourceItem(p)
		if !ok {
			t.Fatalf("%s is no source", name)
		}
		wd, _ := os.Getwd()
		rel, _ := filepath.Rel(wd, s.Physical)
		return rel
	}
	for name, want := range map[string]string{
		"ours": "data.txt", "theirs": "lib/data.txt", "called": "lib/data.txt", "tree": "lib", "named": "data.txt",
	} {
		if got := physical(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if get[string](t, e, "tree") == get[string](t, e, "some") {
		t.Error("select took everything")
	}
	if !strings.HasSuffix(get[string](t, e, "named"), "-other") || !strings.HasSuffix(get[string](t, e, "hidden"), "-hidden") {
		t.Error("wrong names")
	}
	// The filter must give the same answers when the tree is added.
	source, _ := e.graph.SourceItem(store.Path(get[string](t, e, "some")))
	if !source.Filter("data.txt", "regular") || source.Filter("lib.star", "regular") || !source.Filter("new", "regular") {
		t.Error("the filter gives other answers later")
	}
	// Another place of the same content is the same item.
	before := get[string](t, e, "tree")
	if again := mustEvaluate(t, files); get[string](t, again, "tree") != before {
		t.Error("the path of a tree depends on where it lies")
	}
}

// A path that is not written where local_file is called may be meant beside
// another file.
func TestLocalFileWarns(t *testing.T) {
	e := mustEvaluate(t, `
-- system.star --
load("lib/lib.star", "read")
for name in ["data.txt", "data.txt"]:
    read(name)
    local_file(path = name)
names = [local_file("data.txt"), local_file("%s.txt" % "data"), local_file("data" + ".txt"), local_file(("{}.txt").format("data")), local_file("./" + "data.txt"),
    local_file(name = "x", path = "data.txt")]
args = ["data.txt"]
named = local_file(*args)
-- lib/lib.star --
def read(name):
    return local_file(name)
-- data.txt --
x
-- lib/data.txt --
y
`)
	want := []string{
		`lib/lib.star:2:12: local_file looks for "data.txt" beside lib.star, whichever file the path comes from; say so with "./" + the path`,
		`system.star:4:5: local_file looks for "data.txt" beside system.star, whichever file the path comes from; say so with "./" + the path`,
		`system.star:8:9: local_file looks for "data.txt" beside system.star, whichever file the path comes from; say so with "./" + the path`,
	}
	if !slices.Equal(e.warned, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(e.warned, "\n"), strings.Join(want, "\n"))
	}
}

func TestLocalFileRefusesSpecialFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := syscall.Mkfifo("pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := loadText(t, "\nx = local_file(\"pipe\")\n")
	if err == nil || !strings.HasPrefix(err.Error(), `system.star:2:5: cannot declare source "pipe": `) {
		t.Errorf("got %v", err)
	}
}
