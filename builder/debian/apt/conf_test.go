// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConf(t *testing.T) {
	tests := []struct {
		summary, text string
		want          map[string]string
		err           string
	}{{
		summary: "an option a line", text: "Acquire::http::Proxy \"http://example.org:8080/\";\nAPT::Architecture arm64;\n",
		want: map[string]string{"acquire::http::proxy": "http://example.org:8080/", "apt::architecture": "arm64"},
	}, {
		summary: "blocks", text: "Acquire\n{\n  http { Proxy \"a\"; Proxy::example.org \"DIRECT\"; };\n  Retries \"5\";\n};\nX \"1\";",
		want: map[string]string{"acquire::http::proxy": "a", "acquire::http::proxy::example.org": "DIRECT", "acquire::retries": "5", "x": "1"},
	}, {
		summary: "comments", text: "// A \"1\";\n# B \"2\";\n/* C \"3\";\n */ D \"4\"; // E \"5\";\n",
		want: map[string]string{"d": "4"},
	}, {
		summary: "a comment within a value", text: `A "http://example.org/#x";`, want: map[string]string{"a": "http://example.org/#x"},
	}, {
		summary: "lists and directives", text: "A:: \"1\";\nB { \"2\"; \"3\"; };\n#clear C;\nD {}; \n", want: map[string]string{},
	}, {
		summary: "an empty value", text: `A "";`, want: map[string]string{"a": ""},
	}, {
		summary: "an open block", text: "A {\nB {", err: "line 2: the block A::B is not closed",
	}, {
		summary: "a closed block too many", text: "\n};", err: "line 2: a closing brace too many",
	}, {
		summary: "an open quote", text: "A \"x", err: "a quote is not closed",
	}, {
		summary: "a block without a name", text: "{}", err: "a block without a name",
	}, {
		summary: "very deep", text: strings.Repeat("a {", 100), err: "too deep",
	}}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			c := &conf{values: map[string]string{}}
			err := c.parse([]byte(test.text))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("the error is %v, not %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, c.values); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestConfDump(t *testing.T) {
	c := parseDump([]byte("APT \"\";\nAPT::Architecture \"amd64\";\nA:: \"if [ \"$x\" ]; then y; fi\";\nAcquire::Check-Date \"false\";\nnonsense\n"))
	if got := c.get("apt::architecture"); got != "amd64" {
		t.Errorf("the architecture is %q", got)
	}
	if c.flag("Acquire::Check-Date", true) || !c.flag("Acquire::Check-Valid-Until", true) {
		t.Error("a flag has the wrong value")
	}
	if got := c.get("A::"); got != `if [ "$x" ]; then y; fi` {
		t.Errorf("the value with quotes is %q", got)
	}
}
