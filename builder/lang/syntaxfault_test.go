// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"strings"
	"testing"

	"go.starlark.net/syntax"
)

func TestSyntaxErrors(t *testing.T) {
	tests := []struct{ summary, text, want string }{
		{"missing parenthesis at the end", "system = operating_system(\n    host_name = \"a\",\n", "f:1:26: cannot read the file: this '(' is never closed"},
		{"missing parenthesis, several open", "x = f(1,\n  [2\n", "f:2:3: cannot read the file: this '[' is never closed"},
		{"missing bracket before the next statement", "x = [1, 2\ny = 3\n", "f:2:1: cannot read the file: got identifier, want ',', or ']' for the '[' at 1:5"},
		{"missing parenthesis before the next statement", "x = f(1,\n  2\ny = 4\n", "f:3:1: cannot read the file: got identifier, want ',', or ')' for the '(' at 1:6"},
		{"missing comma", "f(a = 1 b = 2)\n", "f:1:9: cannot read the file: got identifier, want ',', or ')' for the '(' at 1:2"},
		{"missing comma between strings", "x = [\n    \"a\"\n    \"b\",\n]\n", "f:3:5: cannot read the file: got string literal, want ',', or ']' for the '[' at 1:5"},
		{"missing bracket before a parenthesis", "f(\n  a = [g(1),\n)\n", "f:3:1: cannot read the file: got ')', want ']' for the '[' at 2:7"},
		{"wrong bracket", "x = (1]\n", "f:1:7: cannot read the file: got ']', want ')' for the '(' at 1:5"},
		{"wrong bracket of a dict", "x = {1: 2)\n", "f:1:10: cannot read the file: got ')', want '}' for the '{' at 1:5"},
		{"closed too often", "x = f(1))\n", "f:1:9: cannot read the file: unexpected ')'"},
		{"missing value", "x = \n", "f:1:5: cannot read the file: got newline, want primary expression"},
		{"missing colon", "if x\n  pass\n", "f:1:5: cannot read the file: got newline, want ':'"},
		{"value without a key", "x = {1: 2, 3}\n", "f:1:13: cannot read the file: got '}', want ':'"},
		{"two values", "x = 1 2.5\n", "f:1:7: cannot read the file: got float literal, want newline"},
		{"bracket in a string", "x = [\"(\", '[', '''(\n(''', 1\n", "f:1:5: cannot read the file: this '[' is never closed"},
		{"bracket in a comment", "x = [1, # (\n 2\n", "f:1:5: cannot read the file: this '[' is never closed"},
		{"raw string", "x = [r\"\\\\\", r'a\\'b' 1\n", "f:1:21: cannot read the file: got int literal, want ',', or ']' for the '[' at 1:5"},
		{"letters of other alphabets count once", "x = [\"äöü\", 1 y]\n", "f:1:15: cannot read the file: got identifier, want ',', or ']' for the '[' at 1:5"},
		{"unclosed string", "x = 'abc\n", "f:1:5: cannot read the file: unexpected newline in string"},
		{"wrong sign", "x = @\n", "f:1:5: cannot read the file: unexpected input character '@'"},
		{"indentation", "def f():\n    x\n  y\n", "f:3:3: cannot read the file: unindent does not match any outer indentation level"},
		{"body missing", "def f():\n", "f:2:1: cannot read the file: got end of file, want indent"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			_, err := fileOptions.Parse("f", test.text, 0)
			fault, ok := err.(syntax.Error)
			if !ok {
				t.Fatalf("the parser says %v", err)
			}
			if got := explainSyntax(fault, test.text).Error(); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// Whatever the text is, a fault lies in it.
func FuzzSyntaxErrors(f *testing.F) {
	for _, text := range []string{"x = f(1,\n  [2\n", "x = (1]\n", "x = '''(\n", "if x\n", "x = [r\"\\\", b'", "\xff(", "x = 1.2.3 4"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := fileOptions.Parse("f", text, 0)
		fault, ok := err.(syntax.Error)
		if !ok {
			return
		}
		e := explainSyntax(fault, text)
		if breaks := strings.Count(text, "\n") + strings.Count(text, "\r"); e.Pos.Line < 1 || e.Pos.Line > breaks+1 || e.Pos.Col < 1 {
			t.Errorf("%s lies outside of %q (the parser said %v)", e, text, fault)
		}
	})
}
