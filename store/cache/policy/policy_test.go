// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"osbuild/store"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/signature"
)

func path(name string) store.Path {
	return store.Path(store.Dir + "/" + strings.Repeat("0", 32) + "-" + name)
}

func parse(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("f", []byte(fill(text)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestWhichRule holds which rule decides on what.
func TestWhichRule(t *testing.T) {
	p := parse(t, withRule(`
{"name": "kernels", "for": "items", "names": ["linux-*"], "keys": ["anna-1"]},
{"name": "imports", "for": "items", "names": ["*-import", "[a-c]?"], "keys": ["anna-1"]},
{"name": "builds", "for": "realisations", "names": ["x", "x-lib"], "keys": ["anna-1"]},
{"name": "docs", "for": "realisations", "names": ["x-*"], "keys": ["bert-1"]},
{"name": "vaults", "for": "content-addressed", "names": ["vault"], "keys": ["bert-1"]}`))
	for _, c := range []struct {
		summary, name, ca string
		want              string // the rule, "" for none, or an error
	}{
		{"the first", "linux-import", "", "kernels"},
		{"the second", "a-import", "", "imports"},
		{"another pattern of it", "b2", "", "imports"},
		{"no rule", "d2", "", `no rule of f is for items named "d2"`},
		{"not the rule of other things", "vault", "", `no rule of f is for items named "vault"`},
		{"with a content address", "linux-6", "text:x", ""},
		{"with a content address and a rule", "vault", "text:x", "vaults"},
	} {
		rule, err := p.ForItem(store.Info{Path: path(c.name), CA: c.ca})
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		case rule != nil:
			got = rule.Name
		}
		if got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %q", c.summary, got)
		}
	}
	for _, c := range []struct {
		summary string
		names   []string
		want    string
	}{
		{"one", []string{"x"}, "builds"},
		{"two of one rule", []string{"x", "x-lib"}, "builds"},
		{"of two rules", []string{"x-doc", "x"}, "builds docs"},
		{"one without a rule", []string{"x", "y"}, `no rule of f is for realisations named "y"`},
	} {
		outs := map[string]store.Path{}
		for _, name := range c.names {
			outs[name] = path(name)
		}
		rules, err := p.ForOutputs(outs)
		var names []string
		for _, r := range rules {
			names = append(names, r.Name)
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q", c.summary, got)
		}
	}
}

// TestCheck counts keys.
func TestCheck(t *testing.T) {
	const text = "what is signed"
	sign := func(keys ...signature.Secret) (sigs []string) {
		for _, k := range keys {
			sigs = append(sigs, k.Sign(text))
		}
		return sigs
	}
	annaAgain := strings.Replace(anna.Sign(text), "anna-1", "anna-2", 1)
	annaAsBert := strings.Replace(anna.Sign(text), "anna-1", "bert-1", 1)
	other := key("bert-1")
	const lacks = `the rule "r" (f:5:1) wants signatures of 2 of anna-1, bert-1 and carl-1, and of these it has `
	for _, c := range []struct {
		summary string
		sigs    []string
		want    string
	}{
		{"two of three", sign(anna, bert), ""},
		{"two others", sign(carl, bert), ""},
		{"all", sign(carl, bert, anna), ""},
		{"among others", append([]string{"x", "", "anna-1:x", other.Sign(text)}, sign(anna, bert)...), ""},
		{"one", sign(bert), lacks + "1: bert-1"},
		{"none", nil, lacks + "none"},
		{"one twice", sign(bert, bert), lacks + "1: bert-1"},
		{"one under two names", append(sign(anna), annaAgain), lacks + "1: anna-1"},
		{"one under the name of another", append(sign(anna), annaAsBert), lacks + "1: anna-1"},
		{"one and another key of a name", append(sign(anna), other.Sign(text)), lacks + "1: anna-1"},
		{"signatures of another text", []string{anna.Sign("another"), bert.Sign("another")}, lacks + "none"},
		{"very many before them", append(slices.Repeat([]string{other.Sign(text)}, 5000), sign(anna, bert)...), lacks + "none"},
	} {
		rule := parse(t, withRule(`{"name": "r", "for": "items", "keys": ["anna-1", "bert-1", "carl-1"], "signatures": 2}`)).Rules[0]
		err := rule.Check(text, c.sigs)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want || !errors.As(err, new(*policy.LackingError))) {
			t.Errorf("%s: %v", c.summary, err)
		}
	}
	// A list of keys from options may name one twice; it counts once, and one
	// is all that is wanted.
	any := policy.Any(signature.Trust{anna.Public(), anna.Public()})
	if err := any.Rules[0].Check(text, sign(anna)); err != nil {
		t.Error(err)
	}
	if err := any.Rules[0].Check(text, sign(bert)); err == nil || !strings.Contains(err.Error(), "--trusted-keys") {
		t.Error(err)
	}
	if err := policy.Any(nil).Rules[1].Check(text, sign(anna)); err == nil {
		t.Error("without keys a signature counts")
	}
	if rule, err := new(policy.Policy).ForItem(store.Info{Path: path("a")}); err == nil {
		t.Errorf("no policy believes by %v", rule)
	}
}

// TestRuleText holds how a rule says what it wants.
func TestRuleText(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{`"keys": ["anna-1"]`, "a signature of anna-1"},
		{`"keys": ["anna-1", "bert-1"]`, "a signature of anna-1 or bert-1"},
		{`"keys": ["anna-1", "bert-1", "carl-1"], "signatures": 3`, "signatures of anna-1, bert-1 and carl-1"},
		{`"keys": ["anna-1", "bert-1", "carl-1"], "signatures": 2`, "signatures of 2 of anna-1, bert-1 and carl-1"},
	} {
		p := parse(t, withRule(`{"name": "r", "for": "items", `+c.rule+`}`))
		if got := p.Rules[0].String(); !strings.HasSuffix(got, "wants "+c.want) {
			t.Errorf("%s: %q", c.rule, got)
		}
	}
}
