// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/policy"
	"osbuild/store/cache/serve"
	"osbuild/store/cache/signature"
)

// TestPolicyOfUploads holds that the rules of the policy decide on uploads,
// and on each item for itself.
func TestPolicyOfUploads(t *testing.T) {
	var keys []signature.Secret
	for _, name := range []string{"anna-1", "bert-1", "carl-1"} {
		secret, err := signature.Generate(name)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, secret)
	}
	anna, bert, carl := keys[0], keys[1], keys[2]
	rules, err := policy.Parse("caches.json", fmt.Appendf(nil, `{"version": 1, "trustedKeys": [%q, %q, %q], "rules": [
{"name": "imports", "for": "items", "names": ["tree"], "keys": ["anna-1", "bert-1"], "signatures": 2},
{"name": "deps", "for": "content-addressed", "names": ["dep"], "keys": ["carl-1"]}]}`, anna.Public(), bert.Public(), carl.Public()))
	if err != nil {
		t.Fatal(err)
	}
	from := newRoot(t)
	from.closure()
	for _, c := range []struct {
		summary, name string
		plain         bool // without its content address
		signers       []signature.Secret
		code          int
		want          string
	}{
		{"no signature", "tree", true, nil, 422, `the rule "imports" (caches.json:2:1) wants signatures of anna-1 and bert-1, and of these it has none`},
		{"one of two", "tree", true, []signature.Secret{anna}, 422, "of these it has 1: anna-1"},
		{"one twice", "tree", true, []signature.Secret{anna, anna}, 422, "of these it has 1: anna-1"},
		{"the wrong one", "tree", true, []signature.Secret{anna, carl}, 422, "of these it has 1: anna-1"},
		{"both", "tree", true, []signature.Secret{anna, bert}, 201, ""},
		{"no rule is for it", "dep", true, []signature.Secret{anna, bert, carl}, 422, `no rule of caches.json is for items named "dep"`},
		{"an address that needs no signature", "tree", false, nil, 201, ""},
		{"an address that needs one", "dep", false, nil, 422, `the rule "deps"`},
		{"an address with one", "dep", false, []signature.Secret{carl}, 201, ""},
	} {
		t.Run(c.summary, func(t *testing.T) {
			to := newRoot(t)
			s := start(t, to, func(s *serve.Server) { s.Policy = rules })
			n := narinfo.Narinfo{Info: from.find(c.name), URL: "nar/x", Compression: "none"}
			for _, k := range c.signers {
				n.Sigs = append(n.Sigs, k.Sign(signature.Item(n.Info)))
			}
			if c.plain {
				n.CA = ""
			}
			var archive bytes.Buffer
			if err := from.store.DumpNAR(t.Context(), n.Path, &archive); err != nil {
				t.Fatal(err)
			}
			if code, text := put(t, s, "Bearer "+token, n.URL, archive.Bytes()); code != 201 {
				t.Fatalf("%d %s", code, text)
			}
			code, text := put(t, s, "Bearer "+token, narinfo.Name(n.Path), n.Encode())
			if code != c.code || !strings.Contains(text, c.want) {
				t.Errorf("%d %s", code, text)
			}
			if got := to.store.Valid(n.Path); got != (c.code == 201) {
				t.Errorf("valid: %v", got)
			}
			s.stop()
			to.verify()
		})
	}
}
