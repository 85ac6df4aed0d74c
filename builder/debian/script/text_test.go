// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"slices"
	"testing"
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

func TestOptions(t *testing.T) {
	set, values, rest, ok := Options([]string{"-am", "0755", "--owner=x", "--group", "y", "-ofirst", "file", "--", "-z"}, "ab", "mog", map[string]string{"owner": "o", "group": "g"})
	if !ok || !set['a'] || set['b'] || fmt.Sprint(values['m'], values['o'], values['g']) != "[0755] [x first] [y]" || !slices.Equal(rest, []string{"file", "-z"}) {
		t.Errorf("%v %v %q %v", set, values, rest, ok)
	}
	for _, bad := range [][]string{{"-c"}, {"--none"}, {"-m"}, {"--owner"}} {
		if _, _, _, ok := Options(bad, "ab", "mo", map[string]string{"owner": "o"}); ok {
			t.Errorf("%q is read", bad)
		}
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
	})
}
