// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"osbuild/builder/debian/apt/apttest"
)

// TestSignedBy names the keys of an archive in every way.
func TestSignedBy(t *testing.T) {
	made := time.Now().Add(-48 * time.Hour)
	key, other := apttest.NewKey(t, made), apttest.NewKey(t, made)
	r := apttest.New(t)
	r.Key = key
	r.AddStanza("Package: a\nVersion: 1\nArchitecture: amd64")
	r.Publish()
	sub := key.Entity.Subkeys[0].PublicKey
	both := append(other.Public(), key.Public()...)
	tests := []struct {
		summary, options string
		files            map[string]string // below the root
		err              string
	}{
		{summary: "a keyring", options: "signed-by=/k/a.gpg", files: map[string]string{"k/a.gpg": string(key.Public())}},
		{summary: "an armored keyring", options: "signed-by=/k/a.asc", files: map[string]string{"k/a.asc": key.Armored()}},
		{summary: "two armored blocks", options: "signed-by=/k/a.asc", files: map[string]string{"k/a.asc": other.Armored() + "text between\n" + key.Armored()}},
		{summary: "several keys in a keyring", options: "signed-by=/k/a.gpg", files: map[string]string{"k/a.gpg": string(both)}},
		{summary: "several keyrings", options: "signed-by=/k/a.gpg,/k/b.gpg", files: map[string]string{"k/a.gpg": string(other.Public()), "k/b.gpg": string(key.Public())}},
		{summary: "another key", options: "signed-by=/k/a.gpg", files: map[string]string{"k/a.gpg": string(other.Public()), "etc/apt/trusted.gpg.d/x.gpg": string(key.Public())}, err: "is not among those that may sign .*the keys are those of /k/a.gpg"},
		{summary: "no such keyring", options: "signed-by=/k/a.gpg", err: "cannot read the keys for the source at .*sources.list:1: open .*/k/a.gpg: no such file"},
		{summary: "no keyring", options: "signed-by=/k/a.gpg", files: map[string]string{"k/a.gpg": "hello"}, err: "k/a.gpg: not a keyring that can be read"},
		{summary: "an empty keyring", options: "signed-by=/k/a.gpg", files: map[string]string{"k/a.gpg": ""}, err: "/k/a.gpg holds no key"},
		{summary: "a spoiled block", options: "signed-by=/k/a.asc", files: map[string]string{"k/a.asc": beginKeys + "\n\nxx\n"}, err: "not a block of keys that can be read"},
		{summary: "neither path nor fingerprint", options: "signed-by=k/a.gpg", err: `"k/a.gpg" in Signed-By is neither an absolute path nor a fingerprint`},

		{summary: "all keys of the host", files: map[string]string{"etc/apt/trusted.gpg.d/a.gpg": string(other.Public()), "etc/apt/trusted.gpg.d/b.asc": key.Armored()}},
		{summary: "the one old file of keys", files: map[string]string{"etc/apt/trusted.gpg": string(key.Public())}},
		{summary: "a file that is no keyring among them", files: map[string]string{"etc/apt/trusted.gpg.d/a.gpg": "hello", "etc/apt/trusted.gpg.d/b.gpg": string(key.Public())}},
		{summary: "a file that does not count", files: map[string]string{"etc/apt/trusted.gpg.d/a.gpg~": string(key.Public()), "etc/apt/trusted.gpg.d/b.gpg": string(other.Public())}, err: "is not among those"},
		{summary: "no key on the host", err: "trusted.gpg.d holds no key"},

		{summary: "a fingerprint", options: "signed-by=" + key.Fingerprint(), files: map[string]string{"etc/apt/trusted.gpg": string(both)}},
		{summary: "the fingerprint of the very key", options: "signed-by=" + strings.ToLower(key.Fingerprint()) + "!", files: map[string]string{"etc/apt/trusted.gpg": string(both)}},
		{summary: "another fingerprint", options: "signed-by=" + other.Fingerprint(), files: map[string]string{"etc/apt/trusted.gpg": string(both)}, err: "is not the one that Signed-By names"},
		{summary: "the fingerprint of a subkey that did not sign", options: "signed-by=" + fingerprint(sub.Fingerprint), files: map[string]string{"etc/apt/trusted.gpg": string(both)}, err: "is not the one that Signed-By names"},
		{summary: "a fingerprint and a keyring", options: "signed-by=" + other.Fingerprint() + ",/k/a.gpg", files: map[string]string{"etc/apt/trusted.gpg": string(other.Public()), "k/a.gpg": string(key.Public())}},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			root := host(t, map[string]string{"sources.list": "deb [" + test.options + "] file:" + r.Dir() + " stable main"})
			for name, text := range test.files {
				write(t, filepath.Join(root, name), []byte(text))
			}
			_, _, err := read(t, Config{Root: root}, IndexOptions{})
			if test.err == "" && err != nil || test.err != "" && !matches(err, test.err) {
				t.Errorf("the error is %v, not %q", err, test.err)
			}
		})
	}
}

// signedByAll clearsigns a release file with several keys.
func signedByAll(t *testing.T, text string, made time.Time, keys ...*packet.PrivateKey) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := clearsign.EncodeMulti(&out, keys, &packet.Config{Time: func() time.Time { return made.Add(time.Hour) }})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

// TestSignatures has more than one signature, or one by a subkey.
func TestSignatures(t *testing.T) {
	made := time.Now().Add(-48 * time.Hour)
	a, b, c := apttest.NewKey(t, made), apttest.NewKey(t, made), apttest.NewKey(t, made)
	at := &packet.Config{Time: func() time.Time { return made }, Algorithm: packet.PubKeyAlgoEdDSA}
	if err := c.Entity.AddSigningSubkey(at); err != nil {
		t.Fatal(err)
	}
	subkey := c.Entity.Subkeys[len(c.Entity.Subkeys)-1]
	// The key id of a, but not its signature.
	forged := *b.Entity.PrivateKey
	forged.KeyId, forged.Fingerprint = a.Entity.PrimaryKey.KeyId, a.Entity.PrimaryKey.Fingerprint

	tests := []struct {
		summary string
		known   []*apttest.Key
		keys    []*packet.PrivateKey
		signer  *openpgp.Entity
		err     string
	}{
		{summary: "one of two is known", known: []*apttest.Key{b}, keys: []*packet.PrivateKey{a.Entity.PrivateKey, b.Entity.PrivateKey}, signer: b.Entity},
		{summary: "both are known", known: []*apttest.Key{b, a}, keys: []*packet.PrivateKey{a.Entity.PrivateKey, b.Entity.PrivateKey}, signer: a.Entity},
		{summary: "none is known", known: []*apttest.Key{c}, keys: []*packet.PrivateKey{a.Entity.PrivateKey, b.Entity.PrivateKey}, err: "is not among those that may sign; the key"},
		{summary: "a subkey", known: []*apttest.Key{c}, keys: []*packet.PrivateKey{subkey.PrivateKey}, signer: c.Entity},
		{summary: "a good one and a forged one", known: []*apttest.Key{a, b}, keys: []*packet.PrivateKey{b.Entity.PrivateKey, &forged}, err: "signature"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			r := apttest.New(t)
			r.AddStanza("Package: a\nVersion: 1\nArchitecture: amd64")
			r.Publish()
			text, err := os.ReadFile(r.Path("dists/stable/Release"))
			if err != nil {
				t.Fatal(err)
			}
			r.Write(inRelease, signedByAll(t, string(text), made, test.keys...))
			var ring []byte
			for _, k := range test.known {
				ring = append(ring, k.Public()...)
			}
			write(t, filepath.Join(r.Root(), "etc/apt/trusted.gpg"), ring)
			source(t, r, "a.list", "deb file:"+r.Dir()+" stable main")
			_, s, err := read(t, Config{Root: r.Root()}, IndexOptions{})
			switch {
			case test.err != "":
				if !matches(err, test.err) {
					t.Errorf("the error is %v", err)
				}
			case err != nil:
				t.Error(err)
			case s.Suites[0].Signer != fingerprint(test.signer.PrimaryKey.Fingerprint):
				t.Errorf("signed by %s", s.Suites[0].Signer)
			}
		})
	}
}

// TestKeysOnce reads the keys of all suites once.
func TestKeysOnce(t *testing.T) {
	r := published(t)
	h, err := Open(context.Background(), Config{Root: r.Root()})
	if err != nil {
		t.Fatal(err)
	}
	one, err := h.keyring(h.archives[0])
	two, again := h.keyring(h.archives[0])
	if err != nil || again != nil || one != two {
		t.Errorf("got %p and %p, %v, %v", one, two, err, again)
	}
}
