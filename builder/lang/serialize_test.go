// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"strings"
	"testing"
)

// The text of a configuration is what the serializers of its fields give.
func TestSerialize(t *testing.T) {
	const intro = `
def pair(name, value):
    return "%s=%s" % (name, value)
def shout(name, value):
    return "%s: %s\n" % (name.upper(), value)
`
	tests := []struct{ summary, text, want string }{
		{"of a field", `c = configuration("c", {"port": field(int, 80, serialize = pair)})
text = serialize(c())`, "port=80"},
		{"of a field before that of the configuration", `c = configuration("c", {"a": field(int, 1, serialize = shout), "b": field(int, 2)}, serialize = pair)
text = serialize(c())`, "A: 1\nb=2"},
		{"of the configuration", `c = configuration("c", {"a": int, "b": str}, serialize = pair)
text = serialize(c(1, "x"))`, "a=1b=x"},
		{"of a type", `c = configuration("c", {"a": int, "b": str, "c": maybe(int)}, serialize = {int: pair, str: shout})
text = serialize(c(1, "x", 3))`, "a=1B: x\nc=3"},
		{"of a list of a type", `c = configuration("c", {"a": field(list_of(str), ["x", "y"])}, serialize = {list_of(str): lambda name, value: "".join([pair(name, v) for v in value])})
text = serialize(c())`, "a=xa=y"},
		{"of a record in a record", `inner = configuration("inner", {"a": int}, serialize = pair)
c = configuration("c", {"one": inner, "rest": field(list_of(inner), [])}, serialize = {
    inner: lambda name, value: "[%s]" % serialize(value),
    list_of(inner): lambda name, value: "".join([serialize(v) for v in value]),
})
text = serialize(c((1,), [(2,), inner(3)]))`, "[a=1]a=2a=3"},
		{"one type, written by each configuration in its way", `one = configuration("one", {"a": str}, serialize = {str: pair})
two = configuration("two", {"a": str}, serialize = {str: shout})
text = serialize(one("x")) + serialize(two("x"))`, "a=xA: x\n"},
		{"a text in place of a function", `c = configuration("c", {"a": field(int, 1, serialize = "a is on\n")})
text = serialize(c())`, "a is on\n"},
		{"the empty text leaves a field out", `c = configuration("c", {"a": field(int, 1, serialize = ""), "b": field(int, 2)}, serialize = pair)
text = serialize(c())`, "b=2"},
		{"nothing but empty texts", `c = configuration("c", {"a": field(int, 1, serialize = "")})
text = serialize(c())`, ""},
		{"None for a field means that of the configuration", `c = configuration("c", {"a": field(int, 1, serialize = None)}, serialize = pair)
text = serialize(c())`, "a=1"},
		{"what may be None, given", `c = configuration("c", {"port": field(maybe(int), 42), "count": maybe(int)}, serialize = pair)
text = serialize(c(count = 43))`, "port=42count=43"},
		{"what may be None, left out", `c = configuration("c", {"port": maybe(int), "count": maybe(int)}, serialize = pair)
text = serialize(c(count = 43))`, "count=43"},
		{"what may be None, removed again", `c = configuration("c", {"port": field(maybe(int), 42), "count": maybe(int)}, serialize = pair)
text = serialize(c(port = None, count = 43))`, "count=43"},
		{"False is a value", `c = configuration("c", {"a": maybe(bool)}, serialize = pair)
text = serialize(c(a = False))`, "a=False"},
		{"what a sanitizer made", `c = configuration("c", {"a": field(int, "56", sanitize = int)}, serialize = pair)
text = serialize(c()) + serialize(c("57"))`, "a=56a=57"},
		{"after replace", `c = configuration("c", {"a": int, "b": field(int, 2)}, serialize = pair)
text = serialize(c(1).replace(b = 3))`, "a=1b=3"},
		{"in the order of the fields, not of the call", `c = configuration("c", {"a": int, "b": int}, serialize = pair)
text = serialize(c(b = 2, a = 1))`, "a=1b=2"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			e := mustEvaluate(t, intro+test.text+"\n")
			if got := get[string](t, e, "text"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A text keeps what the files in it mean.
func TestSerializeKeepsDependencies(t *testing.T) {
	e := mustEvaluate(t, `
c = configuration("c", {"page": "file"}, serialize = lambda name, value: "%s %s\n" % (name, value))
page = computed_file("page", "/bin/sh")
text = serialize(c(page))
`)
	deps, err := e.graph.Deps(get[string](t, e, "text"))
	if err != nil || len(deps) != 1 || deps[0] != get[string](t, e, "page") {
		t.Errorf("the text mentions %v (%v), want the page", deps, err)
	}
}

func TestSerializeErrors(t *testing.T) {
	tests := []struct{ summary, text, want string }{
		{
			"no serializers at all", "c = configuration(\"c\", {\"a\": int})\nx = serialize(c(1))\n",
			`system.star:2:5: cannot serialize c: it has no serializers; give configuration() or its fields one, such as serialize = pair, where pair(name, value) gives text`,
		},
		{
			"a field without one", "c = configuration(\"c\", {\"a\": field(int, 1, serialize = \"a\"), \"b\": str})\nx = serialize(c(b = \"x\"))\n",
			`system.star:2:5: cannot serialize c: field b: it has no serializer; give field(...) one, or serialize = "" to leave it out`,
		},
		{
			"a type without one", "c = configuration(\"c\", {\"a\": int, \"b\": str}, serialize = {int: \"a\"})\nx = serialize(c(1, \"x\"))\n",
			`system.star:2:5: cannot serialize c: field b: it has no serializer; give field(...) one, or serialize = "" to leave it out`,
		},
		{
			"one that gives no text", "c = configuration(\"c\", {\"a\": int}, serialize = lambda name, value: value)\nx = serialize(c(1))\n",
			`system.star:2:5: cannot serialize c: field a: the serializer gave int, want string`,
		},
		{
			"one that fails", "def bad(name, value):\n    fail(\"no\")\nc = configuration(\"c\", {\"a\": int}, serialize = bad)\nx = serialize(c(1))\n",
			"system.star:2:5: cannot serialize c: field a: fail: no\n  called from system.star:4:5",
		},
		{
			"no record", "x = serialize(\"a\")\n",
			`system.star:1:15: serialize: argument record: want a record of a configuration, got string`,
		},
		{
			"a record of osbuild", "x = serialize(user_group(\"a\"))\n",
			`system.star:1:5: cannot serialize user_group: only records that configuration() defines can say how they are written`,
		},
		{
			"neither a function nor a text", "f = field(int, 1, serialize = 5)\n",
			`system.star:1:31: field: argument serialize: want a function or a text, got int`,
		},
		{
			"for a configuration", "c = configuration(\"c\", {\"a\": int},\n    serialize = 5)\n",
			`system.star:2:17: configuration: argument serialize: want a function or a text, got int`,
		},
		{
			"for what is no type", "c = configuration(\"c\", {\"a\": int},\n    serialize = {\"float\": len})\n",
			`system.star:2:17: configuration: argument serialize: "float" is no type; types are `,
		},
		{
			"for a type, no serializer", "c = configuration(\"c\", {\"a\": int},\n    serialize = {int: 5})\n",
			`system.star:2:17: configuration: argument serialize: type int: want a function or a text, got int`,
		},
		{
			"for one type twice", "c = configuration(\"c\", {\"a\": int},\n    serialize = {str: \"a\", \"str\": \"b\"})\n",
			`system.star:2:17: configuration: argument serialize: the type string stands twice`,
		},
		// What a definition can say twice.
		{
			"duplicate serializer", "f = field(int, 1, serialize = \"a\", serialize = \"b\")\n",
			`system.star:1:36: keyword argument "serialize" is repeated`,
		},
		{
			"serializer and empty serializer", "f = field(int, 1, serialize = \"\", serialize = lambda n, v: v)\n",
			`system.star:1:35: keyword argument "serialize" is repeated`,
		},
		{
			"duplicate sanitizer", "f = field(int, 1, sanitize = int, sanitize = int)\n",
			`system.star:1:35: keyword argument "sanitize" is repeated`,
		},
		{
			"by place and by name", "f = field(int, 1, \"A.\", int, sanitize = int)\n",
			`system.star:1:30: field: argument sanitize: is given twice, by place and by name`,
		},
		{
			"by place and by name, serializer", "f = field(int, 1, \"A.\", int, \"a\", serialize = \"a\")\n",
			`system.star:1:35: field: argument serialize: is given twice, by place and by name`,
		},
		{
			"duplicate field", "c = configuration(\"c\", {\"a\": int, \"a\": str})\n",
			`system.star:1:38: duplicate key: "a"`,
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

// The sanitizer and the serializer of a field may be given together, in any
// order, or not at all.
func TestFieldOptionOrders(t *testing.T) {
	options := []string{`doc = "A number."`, `sanitize = int`, `serialize = pair`, `default = "7"`}
	var orders func(chosen, left []string)
	var all []string
	orders = func(chosen, left []string) {
		if len(left) == 0 {
			all = append(all, strings.Join(chosen, ", "))
			return
		}
		for i := range left {
			rest := append(append([]string{}, left[:i]...), left[i+1:]...)
			orders(append(append([]string{}, chosen...), left[i]), rest)
		}
	}
	orders(nil, options)
	if len(all) != 24 {
		t.Fatalf("%d orders", len(all))
	}
	for _, order := range all {
		e := mustEvaluate(t, `
def pair(name, value):
    return "%s=%d;" % (name, value)
c = configuration("c", {"a": field(int, `+order+`)})
text = serialize(c()) + serialize(c("8"))
`)
		if got := get[string](t, e, "text"); got != "a=7;a=8;" {
			t.Errorf("%s: got %q", order, got)
		}
	}
}
