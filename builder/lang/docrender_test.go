// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"strings"
	"testing"
)

func TestMarkdown(t *testing.T) {
	e := mustEvaluate(t, `
load("@osbuild//base.star", "shepherd_root")
conf = configuration("web_configuration", doc = "How the server works.", fields = {
    "port": field(int, 8080, "The port."),
    "mode": field(maybe(str), doc = "One of \"a\" | \"b\"."),
    "root": field("file", doc = "The pages."),
})
web = service_type(
    "web", description = "Serve.", default = conf(root = "/srv"),
    extensions = [extension(shepherd_root, lambda c: [shepherd_service(["web", "http"], start = run(["/bin/web"]))])],
    extend = lambda value, more: value)
def make(a, b=2, *more, **named):
    """Make it.

    Twice:
        make(1)
    """
`)
	for name, want := range map[string]string{
		"conf": `# |web_configuration|

|||python
web_configuration(port=8080, mode=None, root)
|||

How the server works.

| field | type | default | meaning |
|---|---|---|---|
| |port| | int | |8080| | The port. |
| |mode| | string or None | |None| | One of "a" \| "b". |
| |root| | file | must be given | The pages. |
`,
		"web": `# |web|

A service type of |system.star:8:7|.

Serve.

- **value**: web_configuration
- **default**: web_configuration(root = "/srv")
- **extends**: shepherd_root
- **services**: web, http

## |web_configuration|
`,
		"make": "# |make|\n\n|||python\nmake(a, b=2, *more, **named)\n|||\n\nMake it.\n\nTwice:\n    make(1)\n",
	} {
		d, err := e.Doc(name)
		if err != nil {
			t.Fatal(err)
		}
		// A raw string of Go has no backquote; a bar stands for it, where it
		// does not stand between the cells of a table.
		want = strings.ReplaceAll(want, "|||", "```")
		for _, word := range []string{"web_configuration", "port", "mode", "root", "8080", "None", "web", "system.star:8:7", "make"} {
			want = strings.ReplaceAll(want, "|"+word+"|", "`"+word+"`")
		}
		if got := d.Markdown(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// What a default is, where it says something in a word.
func TestDefaultsThatAreShown(t *testing.T) {
	e := mustEvaluate(t, `
inner = configuration("inner", {"a": field(int, 1)})
conf = configuration("conf", fields = {
    "text": field(str, "a\nb"),
    "list": field(list_of(str), ["a", "b"]),
    "record": field(inner, inner(2)),
    "yes": field(bool, True),
    "nothing": maybe(int),
    "long": field(str, "x" * 100),
    "file": field("file", plain_file("a", "b")),
    "text_with_file": field(str, "see " + plain_file("a", "b")),
    "call": field("function", len),
    "lazy": field("function", lambda: fail("nobody may call this")),
    "kind": field(any, user_account),
})
`)
	d, err := e.Doc("conf")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"text": `"a\nb"`, "list": `["a", "b"]`, "record": "inner(a = 2)", "yes": "True", "nothing": "None",
		"long": "...", "file": "...", "text_with_file": "...", "call": "...", "lazy": "...", "kind": "...",
	}
	for _, f := range d.Fields {
		if f.Default != want[f.Name] {
			t.Errorf("%s: the default is shown as %s, want %s", f.Name, f.Default, want[f.Name])
		}
	}
	if len(d.Fields) != len(want) {
		t.Errorf("%d fields", len(d.Fields))
	}
}

func TestWrap(t *testing.T) {
	long := strings.Repeat("word ", 20)
	tests := []struct{ summary, text, first, rest, want string }{
		{"short", "a b", "", "", "a b\n"},
		{"empty", "", "x: ", "  ", ""},
		{"lead", "a", "name: ", "  ", "name: a\n"},
		{"broken", long, "x ", "  ", "x " + strings.TrimSpace(strings.Repeat("word ", 15)) + "\n  word word word word word\n"},
		{"paragraphs", "a\n\nb", "", "", "a\n\nb\n"},
		{"lines of one paragraph", "a\nb", "", "", "a b\n"},
		{"example", "a:\n    x = 1\n    y = 2\nb", "", "", "a:\n    x = 1\n    y = 2\nb\n"},
		{"a word that is too long", strings.Repeat("x", 100), "", "", strings.Repeat("x", 100) + "\n"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			if got := wrap(test.text, test.first, test.rest); got != test.want {
				t.Errorf("got\n%q\nwant\n%q", got, test.want)
			}
		})
	}
	if got, want := wrapCall("f", strings.Fields(strings.Repeat("argument=None ", 12))), `f(argument=None, argument=None, argument=None, argument=None, argument=None,
    argument=None, argument=None, argument=None, argument=None, argument=None,
    argument=None, argument=None)
`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A page about a file: types first, then the rest, then the records.
func TestMarkdownOfAFile(t *testing.T) {
	e := mustEvaluate(t, `"""What is here."""
conf = configuration("conf", {"a": field(int, 1, "A number.")}, doc = "Numbers.")
kind = service_type("kind", description = "A | B.", default = conf())
other = service_type("other", description = "More.")
def make(a, b=2):
    "Make it."
numbers = [1, 2]
_hidden = 1
`)
	want := strings.ReplaceAll(`# 'system.star'

What is here.

| type | what it is | value | contribution | produces |
|---|---|---|---|---|
| 'kind' | A \| B. | conf | - |  |
| 'other' | More. | (must be given) | - |  |

| name | what it is |
|---|---|
| 'make(a, b=2)' | Make it. |
| 'numbers' | A list: 2 elements |

## 'conf'

'''python
conf(a=1)
'''

Numbers.

| field | type | default | meaning |
|---|---|---|---|
| 'a' | int | '1' | A number. |
`, "'", "`")
	if got := e.DocFile().Markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
