// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"fmt"
	"strings"
	"testing"
)

func TestConfiguration(t *testing.T) {
	e := mustEvaluate(t, `
inner = configuration("inner", {"a": int, "b": field(str, "x")})
conf = configuration("conf", fields = {
    "port": field(int, default = 8080, doc = "The port."),
    "name": str,
    "even": field(int, 2, sanitize = lambda v: int(v)),
    "label": maybe(str),
    "set": field(maybe(int), 42),
    "tags": field(list_of(str), []),
    "inner": field(inner, inner(1)),
    "inners": field(list_of(inner), []),
    "root": field("file", "/srv"),
    "extra": field(any, None),
    "flag": field(bool, False),
    "table": field(dict, {}),
    "hook": field(maybe("function")),
})
c = conf(name = "n")
defaults = [c.port, c.name, c.even, c.label, c.set, c.inner.a, c.root, c.extra, c.flag]
unset = [c.label == None, c.flag == False, c.flag != None]
d = conf(1, "m", even = "56", label = "l", tags = ("t", "u"), inners = [(5,), (6, "y"), inner(7)], table = {"k": [1]}, hook = len)
given = [d.port, d.name, d.even, d.label, d.tags, [i.a for i in d.inners], d.inners[1].b, d.table["k"][0], d.hook("abc")]
r = d.replace(port = 2, label = None)
replaced = [r.port, r.label, r.even, d.port]
equal = [conf(name = "n") == c, c == c.replace(), c == d, c != d, inner(1, "x") == inner(1)]
keys = {inner(1): "one"}[inner(1)]
text = str(inner(1)) + " " + str(inner(1, b = "q"))
names = dir(inner(1))
mine = ["a"]
held = conf(name = "n", tags = mine)
mine.append("b")
apart = held.tags
`)
	for name, want := range map[string]string{
		"defaults": "[8080 n 2 <nil> 42 1 /srv <nil> false]",
		"unset":    "[true true true]",
		"given":    "[1 m 56 l [t u] [5 6 7] y 1 3]",
		"replaced": "[2 <nil> 56 1]",
		"equal":    "[true true false true true]",
		"apart":    "[a]",
		"names":    "[a b replace]",
	} {
		if got := fmt.Sprint(get[[]any](t, e, name)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := get[string](t, e, "keys"); got != "one" {
		t.Errorf("a record as a key gives %q", got)
	}
	if got := get[string](t, e, "text"); got != `inner(a = 1) inner(a = 1, b = "q")` {
		t.Errorf("records print as %s", got)
	}
}

func TestConfigurationErrors(t *testing.T) {
	const conf = `conf = configuration("conf", {"port": field(int, 1), "name": str, "tags": field(list_of(str), []), "even": field(int, 2, sanitize = lambda v: int(v)), "root": maybe("file")})
`
	tests := []struct{ summary, text, want string }{
		{"wrong type", "x = conf(\n    name = \"n\",\n    port = \"8080\",\n)\n", `system.star:4:12: conf: field port: want int, got string "8080"`},
		{"wrong type by place", "x = conf(True, \"n\")\n", `system.star:2:10: conf: field port: want int, got bool True`},
		{"wrong element", "x = conf(name = \"n\", tags = [\"a\", 2])\n", `system.star:2:29: conf: field tags: element 2: want string, got int`},
		{"element instead of a list", "x = conf(name = \"n\", tags = \"a\")\n", `system.star:2:29: conf: field tags: want list of string, got string "a" (write [...] around it)`},
		{"maybe", "x = conf(name = \"n\", root = 5)\n", `system.star:2:29: conf: field root: want file or None, got int 5`},
		{"relative path", "x = conf(name = \"n\", root = \"a/b\")\n", `system.star:2:29: conf: field root: want a file, got the text "a/b", which is neither a file-like value nor an absolute path`},
		{"None where it cannot be", "x = conf(name = None)\n", `system.star:2:17: conf: field name: want string, got None`},
		{"unknown field", "x = conf(name = \"n\", prot = 5)\n", `system.star:2:22: conf: field prot: there is no such field; did you mean port?`},
		{"unknown field, nothing near", "x = conf(name = \"n\", zzzzzz = 5)\n", `system.star:2:22: conf: field zzzzzz: there is no such field; there are port, name, tags, even, root`},
		{"missing field", "def f():\n    return conf(port = 5)\nx = f()\n", "system.star:3:12: conf: field name: must be given\n  called from system.star:4:5"},
		{"twice", "x = conf(1, \"n\", port = 2)\n", `system.star:2:18: conf: field port: is given twice, by place and by name`},
		{"too many", "x = conf(1, \"n\", [], 2, None, 6)\n", `system.star:2:5: conf: got 6 values, but the fields are port, name, tags, even, root`},
		{"sanitizer that fails", "x = conf(name = \"n\", even = \"x\")\n", `system.star:2:29: conf: field even: int: invalid literal with base 10: x`},
		{"replace of an unknown field", "x = conf(name = \"n\").replace(prt = 5)\n", `system.star:2:30: conf: field prt: there is no such field; did you mean port?`},
		{"replace by a wrong value", "x = conf(name = \"n\").replace(port = [])\n", `system.star:2:37: conf: field port: want int, got list`},
		{"replace by place", "x = conf(name = \"n\").replace(5)\n", `system.star:2:5: conf.replace: name the fields: replace(field = value)`},
		{"assignment", "x = conf(name = \"n\")\nx.port = 5\n", `system.star:3:2: can't assign to .port field of conf`},
		{"unknown attribute", "x = conf(name = \"n\").prot\n", `system.star:2:21: conf has no field prot; did you mean "port"?`},
		{"order", "x = conf(name = \"n\") < conf(name = \"n\")\n", `system.star:2:22: cannot order conf values: < has no meaning for them`},
		{"wrong default", "c = configuration(\"c\", {\"a\": field(int, default = \"x\")})\n", `system.star:2:51: field: argument default: want int, got string`},
		{"no type", "c = configuration(\"c\", {\"a\": 5})\n", `system.star:2:30: cannot define c: field a: 5 is no type; types are `},
		{"unknown type", "c = configuration(\"c\", {\"a\": \"float\"})\n", `system.star:2:30: cannot define c: field a: "float" is no type; types are `},
		{"no type in field", "f = field(\"x\")\n", `system.star:2:11: field: argument type: "x" is no type; types are `},
		{"no type in list_of", "f = list_of(len)\n", `system.star:2:13: list_of: argument type: <built-in function len> is no type; types are `},
		{"field that is no name", "c = configuration(\"c\", {\"a b\": int})\n", `system.star:2:32: cannot define c: "a b" cannot name a field: wrong definition of fields`},
		{"field replace", "c = configuration(\"c\", {\"replace\": int})\n", `system.star:2:36: cannot define c: "replace" cannot name a field: wrong definition of fields`},
		{"fields as a list", "c = configuration(\"c\", [\"a\"])\n", `system.star:2:24: configuration: argument fields: want dict, got list`},
		{"constructor instead of a record", "c = configuration(\"c\", {\"a\": conf})\nx = c(conf)\n", `system.star:3:7: c: field a: want conf, got the constructor conf (call it: conf(...))`},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			_, err := evaluate(t, "-- system.star --\n"+conf+test.text)
			if err == nil {
				t.Fatal("no error")
			}
			checkError(t, err)
			if got := err.Error(); !strings.HasPrefix(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestLibraryRecords(t *testing.T) {
	e := mustEvaluate(t, `
alice = user_account("alice", group = "users", uid = 1000)
attributes = [alice.name, alice.uid, alice.create_home, alice.replace(name = "bob").name, alice.replace(uid = None).uid]
same = [alice == user_account(name = "alice", group = "users", uid = 1000), alice == alice.replace(uid = 1)]
text = str(alice)
service = shepherd_service(["a"], start = fork_exec(["/x"], ready = tcp(80), limits = [("nofile", 1, 2)]), stop = kill("SIGINT"))
started = [service.start.argv, service.start.ready.port, service.stop.signal, service.start.limits[0].hard]
`)
	for name, want := range map[string]string{
		"attributes": "[alice 1000 true bob <nil>]",
		"same":       "[true false]",
		"started":    "[[/x] 80 SIGINT 2]",
	} {
		if got := fmt.Sprint(get[[]any](t, e, name)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got, want := get[string](t, e, "text"), `user_account(name = "alice", group = "users", uid = 1000)`; got != want {
		t.Errorf("a record prints as %s, want %s", got, want)
	}
}

func TestLibraryRecordErrors(t *testing.T) {
	tests := []struct{ summary, text, want string }{
		{
			"wrong type", "u = user_account(\"alice\",\n    group = 5)\n",
			`system.star:2:13: user_account: field group: want string, got int`,
		},
		{
			"refused by its check", "u = user_account(\"alice\", \"users\",\n    home = \"home\")\n",
			`system.star:2:12: user_account: field home: "home" is not an absolute path`,
		},
		{
			"refused by its check, by place", "u = user_account(\"a b\", \"users\")\n",
			`system.star:1:18: user_account: field name: `,
		},
		{
			"number out of range", "u = user_account(\"a\", \"users\", uid = 1 << 80)\n",
			`system.star:1:38: user_account: field uid: the number 1208925819614629174706176 is out of range`,
		},
		{
			"what a constructor makes", "s = shepherd_service([\"a\"], start = \"/bin/x\")\n",
			`system.star:1:37: shepherd_service: field start: want start or None, got string "/bin/x" (`,
		},
		{
			"tuple for a record", "f = fork_exec([\"/x\"], limits = [(\"nofile\", \"x\", 2)])\n",
			`system.star:1:32: fork_exec: field limits: element 1: resource_limit: field soft: want int, got string`,
		},
		{
			"dict with wrong values", "f = fork_exec([\"/x\"], env = {\"A\": 1})\n",
			`system.star:1:29: fork_exec: field env: key "A": want string, got int`,
		},
		{
			"dict with wrong keys", "f = fork_exec([\"/x\"], env = {1: \"a\"})\n",
			`system.star:1:29: fork_exec: field env: want string keys, got int as a key`,
		},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			_, err := evaluate(t, "-- system.star --\n"+test.text)
			if err == nil {
				t.Fatal("no error")
			}
			checkError(t, err)
			if got := err.Error(); !strings.HasPrefix(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}
