// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package signature_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/signature"
)

// Keys that Nix made, and with which it signed the golden texts.
const (
	nixSecret = "test-1:WzsghoKj6qSPi5WnGWcED2sfH7pyvyOWQxi+NSGTboZjENdQKx/zQQGBopqlNLKFIy4iKohib7IR00NBzFf9Mw=="
	nixPublic = "test-1:YxDXUCsf80EBgaKapTSyhSMuIiqIYm+yEdNDQcxX/TM="
)

func TestGolden(t *testing.T) {
	secret, err := signature.ParseSecret(nixSecret + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := secret.Public().String(); got != nixPublic {
		t.Errorf("public key %s, want %s", got, nixPublic)
	}
	if got := secret.Text(); got != nixSecret {
		t.Errorf("secret key written as %s", got)
	}
	trust, err := signature.ParseTrust("other-1:" + strings.Split(nixPublic, ":")[1] + " " + nixPublic)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"../narinfo/testdata/nix-a.narinfo", "../narinfo/testdata/nix-b.narinfo"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := narinfo.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		item := signature.Item(n.Info)
		if got := trust.Signers(item, n.Sigs); !slices.Equal(got, []string{"test-1"}) {
			t.Errorf("%s: the signature of Nix is not taken: %q over %q", file, got, item)
		}
		if got := secret.Sign(item); got != n.Sigs[0] {
			t.Errorf("%s: signed as %s, and by Nix as %s", file, got, n.Sigs[0])
		}
	}
}

func TestRefusals(t *testing.T) {
	secret, err := signature.Generate("mine-1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := signature.Generate("mine-1")
	if err != nil {
		t.Fatal(err)
	}
	trust := signature.Trust{secret.Public()}
	sig := secret.Sign("text")
	_, b64, _ := strings.Cut(sig, ":")
	changed := "A" + b64[1:]
	if changed == b64 {
		changed = "B" + b64[1:]
	}
	for _, c := range []struct {
		summary, text string
		sigs          []string
		want          string
	}{
		{"sound", "text", []string{sig}, "mine-1"},
		{"among others", "text", []string{"x", "a:b", other.Sign("text"), sig}, "mine-1"},
		{"another text", "texT", []string{sig}, ""},
		{"another key of that name", "text", []string{other.Sign("text")}, ""},
		{"another name", "text", []string{"mine-2:" + b64}, ""},
		{"cut", "text", []string{sig[:len(sig)-4]}, ""},
		{"changed", "text", []string{"mine-1:" + changed}, ""},
		{"none", "text", nil, ""},
	} {
		if got := strings.Join(trust.Signers(c.text, c.sigs), " "); got != c.want {
			t.Errorf("%s: %q", c.summary, got)
		}
	}
	for _, bad := range []string{"", "name", "name:", ":" + b64, "a b:" + b64, nixSecret[:60], strings.Replace(nixSecret, "Mw==", "Mg==", 1)} {
		if _, err := signature.ParseSecret(bad); err == nil {
			t.Errorf("secret key %q was taken", bad)
		}
		if _, err := signature.ParsePublic(bad); err == nil {
			t.Errorf("public key %q was taken", bad)
		}
	}
	for _, bad := range []string{"", "a:b", "a b", "a,b", "ä"} {
		if _, err := signature.Generate(bad); err == nil {
			t.Errorf("the name %q was taken", bad)
		}
	}
}

// FuzzKeys holds that a key or signature that was read is written the same,
// and that nobody signs without the secret key.
func FuzzKeys(f *testing.F) {
	f.Add(nixSecret)
	f.Add(nixPublic)
	f.Add("test-1:kWXFnT9VVeaqP7VsiUajq7QKn4PedMR3pz96OgnavXxv4JiU7Kw1mDOCT13yymm0tXdnirEESvAUKQvtdXvXDA==")
	trust, err := signature.ParseTrust(nixPublic)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := signature.ParseSecret(text); err == nil && s.Text() != strings.TrimSpace(text) {
			t.Errorf("%q became %q", text, s.Text())
		}
		if p, err := signature.ParsePublic(text); err == nil && p.String() != strings.TrimSpace(text) {
			t.Errorf("%q became %q", text, p)
		}
		if names := trust.Signers("what nobody signed", []string{text}); len(names) > 0 {
			t.Errorf("%q is taken for a signature of %s", text, names)
		}
	})
}

// FuzzSigned holds that a signature is one of its text alone, and that whatever
// stands beside it changes nothing.
func FuzzSigned(f *testing.F) {
	secret, err := signature.ParseSecret(nixSecret)
	if err != nil {
		f.Fatal(err)
	}
	trust := signature.Trust{secret.Public()}
	f.Add("1;/osbuild/store/x;sha256:y;1;", "1;/osbuild/store/x;sha256:y;12;", "test-1:AAAA")
	f.Add("", "a", "")
	f.Fuzz(func(t *testing.T, text, other, beside string) {
		sig := secret.Sign(text)
		if got := trust.Signers(text, []string{beside, sig, beside}); !slices.Equal(got, []string{"test-1"}) {
			t.Errorf("of %q beside %q: %q", text, beside, got)
		}
		if got := trust.Signers(other, []string{sig, beside}); text != other && beside != secret.Sign(other) && len(got) > 0 {
			t.Errorf("the signature of %q is one of %q", text, other)
		}
	})
}
