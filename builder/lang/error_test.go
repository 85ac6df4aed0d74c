// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"strings"
	"testing"
)

func TestErrors(t *testing.T) {
	tests := []struct {
		summary, files, want string
	}{
		{
			"syntax error",
			"x = [1, 2\ny = 3\n",
			"system.star:2:1: cannot read the file: got identifier, want ',', or ']' for the '[' at 1:5",
		},
		{
			"unclosed string",
			"x = 'abc\n",
			"system.star:1:5: cannot read the file: unexpected newline in string",
		},
		{
			"undefined names, all at once",
			"greeting = 1\nprint(greting)\nx = plainfile('a', 'b')\ny = qqqq\n",
			"system.star:2:7: undefined name \"greting\" (did you mean greeting?)\n" +
				"system.star:3:5: undefined name \"plainfile\" (did you mean plain_file?)\n" +
				"system.star:4:5: undefined name \"qqqq\"",
		},
		{
			"packages by name",
			"x = package(\"curl\")\n",
			"system.star:1:5: packages by name need a package source, and there is none here",
		},
		{
			"second assignment",
			"x = 1\nx = 2\n",
			"system.star:2:1: cannot reassign global x declared at system.star:1:1",
		},
		{
			"recursion",
			"def f(n):\n    return f(n)\nf(1)\n",
			"system.star:2:12: function f called recursively\n  called from system.star:2:12 in f\n  called from system.star:3:1",
		},
		{
			"call stack",
			"def outer():\n    return inner()\n\ndef inner():\n    return {}['key']\n\nx = 1\ny = outer()\n",
			"system.star:5:14: key \"key\" not in dict\n  called from system.star:2:12 in outer\n  called from system.star:8:5",
		},
		{
			"fault in a loaded file",
			"-- system.star --\nload(\"lib/a.star\", \"f\")\nf()\n-- lib/a.star --\ndef f():\n    fail(\"no\", \"way\")\n",
			"lib/a.star:2:5: fail: no way\n  called from system.star:2:1",
		},
		{
			"syntax error in a loaded file",
			"-- system.star --\nload(\"a.star\", \"f\")\n-- a.star --\nload(\"b.star\", \"f\")\n-- b.star --\nf = )\n",
			"b.star:1:5: cannot read the file: unexpected ')'\n  called from a.star:1:1\n  called from system.star:1:1",
		},
		{
			"missing file",
			"-- system.star --\nx = 1\nload(\"lib.star\", \"y\")\n",
			"system.star:2:1: cannot load lib.star: there is no such file",
		},
		{
			"name that a file lacks",
			"-- system.star --\nload(\"lib.star\", \"servces\")\n-- lib.star --\nservices = []\n",
			"system.star:1:1: cannot load \"servces\": lib.star has no such name; did you mean services?",
		},
		{
			"name that is nowhere",
			"-- system.star --\nload(\"lib.star\", \"zzzz\")\n-- lib.star --\nservices = []\n",
			"system.star:1:1: cannot load \"zzzz\": lib.star has no such name",
		},
		{
			"name that no module has",
			"load(\"@osbuild//base.star\", \"zzzz\")\n",
			"system.star:1:1: cannot load \"zzzz\": @osbuild//base.star has no such name; `osbuild doc @osbuild//base.star` lists what there is",
		},
		{
			"name that another module has",
			"load(\"@osbuild//base.star\", \"rootless_podman\")\n",
			"system.star:1:1: cannot load \"rootless_podman\": @osbuild//base.star has no such name; it comes with load(\"@osbuild//containers.star\", \"rootless_podman\")",
		},
		{
			"name that needs no load",
			"load(\"@osbuild//base.star\", \"user_account\")\n",
			"system.star:1:1: cannot load \"user_account\": @osbuild//base.star has no such name; every file knows it, without load",
		},
		{
			"load cycle",
			"-- system.star --\nload(\"a.star\", \"a\")\n-- a.star --\nload(\"b.star\", \"b\")\n-- b.star --\nload(\"a.star\", \"a\")\n",
			"b.star:1:1: cannot load a.star: it is being loaded already: the files load each other in a cycle\n  called from a.star:1:1\n  called from system.star:1:1",
		},
		{
			"unknown module",
			"load(\"@osbuild//bsae.star\", \"x\")\n",
			"system.star:1:1: cannot load @osbuild//bsae.star: osbuild has no such module; did you mean \"@osbuild//base.star\"?",
		},
		{
			"endless loop",
			"def f():\n    for i in range(1000000000):\n        pass\nf()\n",
			"system.star:2:5: the evaluation does not end within 50000000 steps: look for a loop that runs too often\n  called from system.star:4:1",
		},
		{
			"brackets without end",
			"x = " + strings.Repeat("(", 5000) + "\n",
			"system.star:1:1005: cannot read the file: the text is nested too deep",
		},
		{
			"wrong type of an argument",
			"x = plain_file(\"a\", text = 5)\n",
			"system.star:1:28: plain_file: argument text: want string, got int 5",
		},
		{
			"wrong type of a positional argument",
			"x = plain_file(\"a\",\n    [])\n",
			"system.star:2:5: plain_file: argument text: want string, got list",
		},
		{
			"unknown argument",
			"x = plain_file(\"a\", \"b\", exectable = True)\n",
			"system.star:1:26: plain_file: argument exectable: there is no such argument; did you mean executable?",
		},
		{
			"missing arguments",
			"x = plain_file()\n",
			"system.star:1:5: plain_file: arguments name, text: must be given",
		},
		{
			"too many arguments",
			"x = secret(\"a\", \"b\")\n",
			"system.star:1:5: secret: got 2 values, but the arguments are name",
		},
		{
			"built-in function",
			"x = len(5)\n",
			"system.star:1:5: len: value of type int has no len",
		},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			files := test.files
			if !strings.HasPrefix(files, "-- ") {
				files = "-- system.star --\n" + files
			}
			_, err := evaluate(t, files)
			if err == nil {
				t.Fatal("no error")
			}
			checkError(t, err)
			if got := err.Error(); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		"x = plain_file(\"a\", \"%s\" % local_file(\"x\"))\n",
		"load(\"@osbuild//base.star\", \"base_services\")\nsystem = operating_system(host_name = \"x\", services = base_services)\n",
		"c = configuration(\"c\", {\"a\": field(int, 1, sanitize = lambda x: x + 1), \"b\": maybe(str)})\nx = c(a = 1).replace(b = \"y\")\n",
		"t = service_type(\"t\", [extension(1, 2)])\ns = service(t, None)\n",
		"u = user_account((1, 2), group = {\"a\": []})\n",
		"x = derivation(\"a\", \"/b\", outputs = [\"x\", \"y\"], env = {\"a\": output()})\n",
		"x = modify_services([], (1, delete))\n",
		"c = configuration(\"c\", {\"a\": field(int, 1, serialize = lambda n, v: n)}, serialize = {int: \"x\"})\nx = serialize(c())\n",
	} {
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		t.Chdir(dir)
		e, err := loadText(t, text)
		if err != nil {
			checkError(t, err)
			return
		}
		if text := e.DocFile().Markdown(); text == "" {
			t.Error("no documentation")
		}
		for _, name := range e.Names() {
			if v, err := e.Value(name); err != nil {
				checkError(t, err)
			} else if v == nil {
				continue
			}
		}
	})
}
