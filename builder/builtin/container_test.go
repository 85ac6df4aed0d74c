// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"os"
	"testing"

	"osbuild/builder/derivation"
)

func TestContainer(t *testing.T) {
	l := newLab(t)
	const declared = `{"version":1,"hostName":"a","root":{"usr":[{"item":"/p"}],"links":[{"path":"/bin","target":"usr/bin"}],"dirs":[{"path":"/data","mode":448}]},"network":"none"}`
	for _, tc := range []struct{ summary, text, root, want string }{
		{
			"packages below what is declared", declared,
			`{"usr":[{"item":"/d","sub":"root/usr","fhs":true}],"opt":[{"item":"/d","sub":"root/opt","fhs":true}],` +
				`"links":[{"path":"/bin","target":"elsewhere"},{"path":"/lib32","target":"usr/lib32"}],` +
				`"dirs":[{"path":"/data","mode":493},{"path":"/media","mode":493}],` +
				`"trees":[{"from":"/p/etc","to":"/etc"}],"owners":[{"path":"/usr/bin/su","mode":2541}]}`,
			`{"version":1,"hostName":"a","root":{"usr":[{"item":"/p"},{"item":"/d","sub":"root/usr","fhs":true}],` +
				`"opt":[{"item":"/d","sub":"root/opt","fhs":true}],"links":[{"path":"/bin","target":"usr/bin"},{"path":"/lib32","target":"usr/lib32"}],` +
				`"dirs":[{"path":"/data","mode":448},{"path":"/media","mode":493}],"trees":[{"from":"/p/etc","to":"/etc"}],` +
				`"owners":[{"path":"/usr/bin/su","mode":2541}]},"network":"none"}` + "\n",
		},
		{"nothing to add", declared, `{}`, declared + "\n"},
	} {
		packages := l.item("packages", map[string]string{"root.json": tc.root})
		out, err := l.build(derivation.Derivation{Builder: "container", Env: map[string]string{"text": tc.text, "packages": packages}})
		if err != nil {
			t.Errorf("%s: %v", tc.summary, err)
			continue
		}
		if got, err := os.ReadFile(out); err != nil || string(got) != tc.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", tc.summary, err, got, tc.want)
		}
	}
	for summary, env := range map[string]map[string]string{
		"no root.json":   {"text": declared, "packages": l.item("empty", map[string]string{"x": ""})},
		"a damaged root": {"text": declared, "packages": l.item("bad", map[string]string{"root.json": "{"})},
		"a damaged text": {"text": "x", "packages": l.item("good", map[string]string{"root.json": "{}"})},
	} {
		if _, err := l.build(derivation.Derivation{Builder: "container", Env: env}); err == nil {
			t.Errorf("%s: no error", summary)
		}
	}
}
