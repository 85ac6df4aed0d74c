// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"osbuild/store/cache/policy"
	"osbuild/store/cache/signature"
)

// keys are of some people; the last one is Anna's under another name.
var anna, bert, carl, alias = key("anna-1"), key("bert-1"), key("carl-1"), ""

func init() { alias = "anna-2:" + strings.SplitN(anna.Public().String(), ":", 2)[1] }

func key(name string) signature.Secret {
	k, err := signature.Generate(name)
	if err != nil {
		panic(err)
	}
	return k
}

// fill puts keys into a text, which names them in capitals.
func fill(text string) string {
	return strings.NewReplacer("ANNA", anna.Public().String(), "BERT", bert.Public().String(), "CARL", carl.Public().String(), "ALIAS", alias).Replace(text)
}

// withRule is a file with one rule, in its fifth line.
func withRule(rule string) string {
	return "{\n\"version\": 1,\n\"trustedKeys\": [\"ANNA\", \"BERT\", \"CARL\"],\n\"rules\": [\n" + rule + "\n]}\n"
}

func TestParse(t *testing.T) {
	const rule = `{"name": "r", "for": "items", "keys": ["anna-1", "bert-1"], "signatures": 2}`
	for _, c := range []struct {
		summary, text string
		want          string // of the error; "" for none
	}{
		{"the simple form", `{"substituters": ["https://a", "file:///b?trusted=1"], "trustedKeys": ["ANNA"]}`, ""},
		{"nothing in it", `{}`, ""},
		{"the simple form with a version", `{"version": 1}`, ""},
		{"a rule", withRule(rule), ""},
		{"rules before the keys", `{"version": 1, "rules": [` + rule + `], "trustedKeys": ["BERT", "ANNA"]}`, ""},
		{"all of a rule", withRule(`{"name": "r", "for": "content-addressed", "names": ["a*", "[b-c]?"], "keys": ["anna-1"], "signatures": 1, "closure": true}`), ""},
		{"a cache with limits", `{"substituters": [{"url": "https://a", "trusted": true, "rules": ["r"]}],` + withRule(rule)[1:], ""},

		{"nothing", "", "1:1: cannot read which caches to use: it ends too early"},
		{"no JSON", "hello", "1:1: cannot read which caches to use: invalid character 'h'"},
		{"no object", "[]", `1:1: cannot read which caches to use: a list stands where the file should (it holds {"substituters"`},
		{"torn", `{"substituters": [`, "1:19: cannot read which caches to use: it ends too early"},
		{"more", "{}\n {}", "2:2: cannot read which caches to use: more follows its end"},
		{"a comma too many", "{\"trustedKeys\": [],\n}", "2:1: cannot read which caches to use: invalid character"},
		{"deep", strings.Repeat("[", 99), "1:9: cannot read which caches to use: values lie too deep"},
		{"an unknown field", "{\n  \"substituter\": []}", `2:3: cannot read which caches to use: the file has no field "substituter"; it has rules, substituters, trustedKeys, version`},
		{"a field twice", `{"trustedKeys": [], "trustedKeys": []}`, `1:21: cannot read which caches to use: the field "trustedKeys" comes twice`},
		{"of the future", `{"version": 2}`, "1:13: cannot read which caches to use: it has the version 2"},
		{"rules without a version", `{"rules": []}`, `1:11: cannot read which caches to use: a file with rules says which version`},
		{"no rules", `{"version": 1, "rules": []}`, "1:25: cannot read which caches to use: an empty list of rules would refuse all"},
		{"rules that are none", `{"version": 1, "rules": {}}`, "1:25: cannot read which caches to use: rules should be a list, not an object"},
		{"umlauts count once", `{"trustedKeys": ["ä", 1]}`, "1:18: cannot read which caches to use: cannot read a public key"},

		{"no key", `{"trustedKeys": ["anna"]}`, "1:18: cannot read which caches to use: cannot read a public key"},
		{"a key that is a number", `{"trustedKeys": [1]}`, "a key should be a text, not a number"},
		{"a key twice", `{"trustedKeys": ["ANNA", "ANNA"]}`, "the key anna-1 comes twice"},
		{"a key under two names", `{"trustedKeys": ["ANNA", "ALIAS"]}`, "the key anna-2 is the key anna-1 under another name"},
		{"two keys of one name", `{"trustedKeys": ["ANNA", "` + key("anna-1").Public().String() + `"]}`, "two keys have the name anna-1"},

		{"a cache without URL", `{"substituters": [{"trusted": true}]}`, "1:19: cannot read which caches to use: a substituter needs a url"},
		{"a cache with an odd field", `{"substituters": [{"url": "a", "key": "b"}]}`, `1:32: cannot read which caches to use: a substituter has no field "key"; it has rules, trusted, url`},
		{"a cache limited to nothing", `{"substituters": [{"url": "a", "rules": []}]}`, "its use"},
		{"a cache limited to a rule that is not there", `{"substituters": [{"url": "a", "rules": ["s"]}],` + withRule(rule)[1:], `1:42: cannot read which caches to use: there is no rule "s"`},
		{"a cache limited to what is no written rule", `{"substituters": [{"url": "a", "rules": ["any key"]}]}`, `there is no rule "any key"`},
		{"a cache limited twice", `{"substituters": [{"url": "a", "rules": ["r", "r"]}],` + withRule(rule)[1:], `the rule "r" comes twice`},
		{"trusted as a text", `{"substituters": [{"url": "a", "trusted": "yes"}]}`, "trusted should be true or false, not a text"},

		{"an empty rule", withRule(`{}`), "5:1: cannot read which caches to use: a rule needs a name"},
		{"a rule that is none", withRule(`"r"`), "5:1: cannot read which caches to use: a text stands where a rule should"},
		{"a rule for nothing", withRule(`{"name": "r", "keys": ["anna-1"]}`), `the rule "r" does not say what it is for`},
		{"a rule for something else", withRule(`{"name": "r", "for": "builds"}`), `5:22: cannot read which caches to use: a rule is for realisations, items or content-addressed, not for "builds"`},
		{"a rule without keys", withRule(`{"name": "r", "for": "items"}`), `the rule "r" does not say which keys count`},
		{"no keys", withRule(`{"name": "r", "for": "items", "keys": []}`), `the rule "r" does not say which keys count`},
		{"an unknown key", withRule(`{"name": "r", "for": "items", "keys": ["anna-1", "dora-1"]}`), `5:50: cannot read which caches to use: trustedKeys has no key of the name "dora-1"`},
		{"a key twice in a rule", withRule(`{"name": "r", "for": "items", "keys": ["anna-1", "anna-1"], "signatures": 2}`), `5:50: cannot read which caches to use: the key "anna-1" comes twice`},
		{"more signatures than keys", withRule(`{"name": "r", "for": "items", "keys": ["anna-1", "bert-1"], "signatures": 3}`), `5:75: cannot read which caches to use: the rule "r" wants 3 signatures, and has 2 keys`},
		{"no signatures", withRule(`{"name": "r", "for": "items", "keys": ["anna-1"], "signatures": 0}`), "signatures should be a whole number of at least 1"},
		{"half a signature", withRule(`{"name": "r", "for": "items", "keys": ["anna-1"], "signatures": 1.5}`), "signatures should be a whole number of at least 1"},
		{"signatures as a text", withRule(`{"name": "r", "for": "items", "keys": ["anna-1"], "signatures": "2"}`), "signatures should be a whole number of at least 1"},
		{"a field of another tool", withRule(`{"name": "r", "for": "items", "keys": ["anna-1"], "threshold": 2}`), `5:51: cannot read which caches to use: a rule has no field "threshold"`},
		{"names that fit nothing", withRule(`{"name": "r", "for": "items", "names": [], "keys": ["anna-1"]}`), "an empty list of names fits nothing"},
		{"a pattern that fits nothing", withRule(`{"name": "r", "for": "items", "names": ["a/b"], "keys": ["anna-1"]}`), `the pattern "a/b" fits nothing: no name of an item holds '/'`},
		{"a broken pattern", withRule(`{"name": "r", "for": "items", "names": ["[a"], "keys": ["anna-1"]}`), `"[a" is no pattern`},
		{"a pattern twice", withRule(`{"name": "r", "for": "items", "names": ["a", "a"], "keys": ["anna-1"]}`), `the pattern "a" comes twice`},
		{"two rules of one name", withRule(rule + ",\n" + rule), `6:10: cannot read which caches to use: two rules have the name "r"`},
		{"a rule behind one that takes all", withRule(rule + `, {"name": "s", "for": "items", "names": ["a"], "keys": ["anna-1"]}`), `the rule "s" never decides: "r" stands before it`},
		{"a rule behind one with its patterns", withRule(`{"name": "r", "for": "items", "names": ["a", "b"], "keys": ["anna-1"]}, {"name": "s", "for": "items", "names": ["b"], "keys": ["bert-1"]}`), `the rule "s" never decides`},
		{"the closure of a build", withRule(`{"name": "r", "for": "realisations", "keys": ["anna-1"], "closure": true}`), "which have no closure"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			if c.want == "its use" {
				c.want = "are an empty list, so it is of no use"
			}
			p, err := policy.Parse("f", []byte(fill(c.text)))
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "f:") || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v", err)
			case err != nil && p != nil:
				t.Error("there is a policy beside the error")
			}
		})
	}
}

// TestDocumented holds that what the page shows is a policy.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/cache.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## The policy file\n")
	section, _, _ = strings.Cut(section, "\n## ")
	elided := regexp.MustCompile(`"([a-z.]+-1):…"`)
	shown := 0
	for k, text := range strings.Split(section, "```") {
		if k%2 == 0 {
			continue
		}
		shown++
		text = elided.ReplaceAllStringFunc(text, func(s string) string {
			return `"` + key(elided.FindStringSubmatch(s)[1]).Public().String() + `"`
		})
		if p, err := policy.Parse("docs/cache.md", []byte(text)); err != nil || len(p.Keys) == 0 || len(p.Rules) == 0 {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if shown < 2 {
		t.Errorf("%d examples", shown)
	}
}

// FuzzParse holds that no text ends the program, that each error has a place,
// and that what is read can be satisfied.
func FuzzParse(f *testing.F) {
	f.Add(`{"substituters": ["https://a", {"url": "b", "trusted": true, "rules": ["r"]}], "trustedKeys": ["anna-1:YxDXUCsf80EBgaKapTSyhSMuIiqIYm+yEdNDQcxX/TM="], "version": 1, "rules": [{"name": "r", "for": "items", "names": ["a*"], "keys": ["anna-1"], "signatures": 1, "closure": true}]}`)
	f.Add("{\n\"version\": 1.0, \"rules\": [[{\"a\": null}]]}")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := policy.Parse("f", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		names := map[string]bool{}
		for _, r := range p.Rules {
			if r.Signatures < 1 || r.Place != "" && (r.Signatures > len(r.Keys) || r.Name == "" || names[r.Name]) {
				t.Errorf("%q: %+v", text, r)
			}
			names[r.Name] = r.Place != ""
		}
		for _, c := range p.Caches {
			for _, r := range c.Rules {
				if !names[r] {
					t.Errorf("%q: a cache is limited to %q, which is not there", text, r)
				}
			}
		}
	})
}
