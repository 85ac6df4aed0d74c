// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"fmt"
	"slices"
	"testing"

	"osbuild/runner/spec"
)

func TestBasic(t *testing.T) {
	for _, test := range []struct{ summary, expr, want string }{
		{"groups", `\(a\|b\)*x\{2\}`, `(a|b)*x{2}`},
		{"plain brackets", `a(b)+{c}|?`, `a\(b\)\+\{c\}\|\?`},
		{"a star first", `*a^*b`, `\*a^*b`},
		{"a star behind the start", `^*a`, `^\*a`},
		{"a bracket expression", `[^]a\(+[:space:]]*\.`, `[^]a\\(+[:space:]]*\.`},
		{"escapes of no meaning", `a\/b\-c`, `a/b-c`},
	} {
		if got := basic(test.expr); got != test.want {
			t.Errorf("%s: %s, want %s", test.summary, got, test.want)
		}
	}
}

func TestSed(t *testing.T) {
	for _, test := range []struct{ summary, program, text, want string }{
		{"the first", `s/a/b/`, "aa\na\n", "ba\nb\n"},
		{"all", `s/a/b/g`, "aa\n", "bb\n"},
		{"groups and the whole", `s|\(x\)y|<\1&>|`, "axyb\n", "a<xxy>b\n"},
		{"another separator", `s,/usr,/opt,`, "/usr/x\n", "/opt/x\n"},
		{"a protected separator", `s/\/usr\//\/opt\//`, "/usr/x\n", "/opt/x\n"},
		{"an address", `/^#/ s/a/b/`, "#a\na\n", "#b\na\n"},
		{"deleting", `/^#/d`, "#a\na\n", "a\n"},
		{"small and large", `s/PORT/x/I`, "Port\n", "x\n"},
		{"a dollar", `s/a/$1/`, "a\n", "$1\n"},
	} {
		cmd, ok := parseSed(test.program, false)
		if !ok {
			t.Errorf("%s: it is not read", test.summary)
			continue
		}
		if got := runSed([]sedCommand{cmd}, test.text); got != test.want {
			t.Errorf("%s: %q, want %q", test.summary, got, test.want)
		}
	}
	for _, program := range []string{"", "p", "s/a/b", "s/a/b/p", "1,3d", "y/a/b/", "/a", "d", "s/[/x/"} {
		if _, ok := parseSed(program, false); ok {
			t.Errorf("%q is read", program)
		}
	}
}

func TestMode(t *testing.T) {
	for _, test := range []struct {
		mode string
		was  uint32
		kind kind
		want uint32
	}{
		{"0640", 0o755, file, 0o640},
		{"4755", 0o755, file, 0o4755},
		{"1777", 0o755, folder, 0o1777},
		{"u+s", 0o755, file, 0o4755},
		{"g+s", 0o755, file, 0o2755},
		{"+t", 0o755, folder, 0o1755},
		{"o-rwx", 0o755, file, 0o750},
		{"u=rwx,g=rx,o=", 0o777, file, 0o750},
		{"go-w", 0o777, file, 0o755},
		{"a+X", 0o644, file, 0o644},
		{"a+X", 0o644, folder, 0o755},
		{"+x", 0o644, file, 0o755},
		{"ug=rw", 0o755, file, 0o665},
	} {
		change, ok := parseMode(test.mode)
		if !ok {
			t.Errorf("%s is not read", test.mode)
			continue
		}
		if got := change(spec.Owner{Mode: test.was}, &node{kind: test.kind}); got != test.want {
			t.Errorf("%s of %o is %o, want %o", test.mode, test.was, got, test.want)
		}
	}
	for _, bad := range []string{"", "9", "77777", "x", "u", "q+r", "u+q"} {
		if _, ok := parseMode(bad); ok {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestOptions(t *testing.T) {
	set, values, rest, ok := options([]string{"-am", "0755", "--owner=x", "--group", "y", "-ofirst", "file", "--", "-z"}, "ab", "mog", map[string]string{"owner": "o", "group": "g"})
	if !ok || !set['a'] || set['b'] || fmt.Sprint(values['m'], values['o'], values['g']) != "[0755] [x first] [y]" || !slices.Equal(rest, []string{"file", "-z"}) {
		t.Errorf("%v %v %q %v", set, values, rest, ok)
	}
	for _, bad := range [][]string{{"-c"}, {"--none"}, {"-m"}, {"--owner"}} {
		if _, _, _, ok := options(bad, "ab", "mo", map[string]string{"owner": "o"}); ok {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for _, test := range []struct {
		a, op, b string
		want     status
	}{
		{"1.0", "lt", "2.0", success},
		{"1.0~rc1", "lt", "1.0", success},
		{"2:1", ">>", "10", success},
		{"1", "eq", "1", success},
		{"", "lt", "1", success},
		{"", "lt-nl", "1", failure},
		{"", "gt-nl", "1", success},
		{"", "ge", "1", failure},
		{"", "eq", "", success},
		{"1", "le-nl", "2", success},
		{"1", "like", "2", unsure},
	} {
		if got := compareVersions(test.a, test.op, test.b); got != test.want {
			t.Errorf("%q %s %q: %v, want %v", test.a, test.op, test.b, got, test.want)
		}
	}
}

func TestWords(t *testing.T) {
	got := words(`u  x - "a b"c '' # "open end`)
	if want := []string{"u", "x", "-", "a bc", "", "#", "open end"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzSed(f *testing.F) {
	f.Add(`s/\(a\)*[^]b]/\1&/g`, "abc\n")
	f.Add(`/x/d`, "x")
	f.Fuzz(func(t *testing.T, program, text string) {
		for _, extended := range []bool{false, true} {
			if cmd, ok := parseSed(program, extended); ok {
				runSed([]sedCommand{cmd}, text)
			}
		}
		parseMode(program)
		words(program)
	})
}
