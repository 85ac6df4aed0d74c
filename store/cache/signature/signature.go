// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package signature signs what the store knows of items, and checks such
// signatures: ed25519 in Nix's notation, so that keys and signatures can be
// exchanged with Nix.
//
// It owns keys, their text (name:base64) and what exactly is signed of an
// item. It never decides whether a signature is needed. Start with
// [ParseSecret], [ParsePublic] and [Trust].
package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"osbuild/store"
)

// Secret is a key that signs.
type Secret struct {
	name string
	key  ed25519.PrivateKey
}

// Public is a key that checks signatures.
type Public struct {
	name string
	key  ed25519.PublicKey
}

// Generate makes a new key. The name is what signatures refer to it by;
// usually it says whose it is, with a number: example.org-1.
func Generate(name string) (Secret, error) {
	if err := validName(name); err != nil {
		return Secret{}, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Secret{}, fmt.Errorf("cannot make a key: %w", err)
	}
	return Secret{name, key}, nil
}

func validName(name string) error {
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == ':' || r == ',' || r >= 0x7f }) {
		return fmt.Errorf("cannot name a key %q: write letters, digits and punctuation without colon, comma and spaces, for example example.org-1", name)
	}
	return nil
}

// split takes name:base64 apart; what is a word for errors.
func split(what, text string, size int) (name string, b []byte, err error) {
	name, b64, ok := strings.Cut(text, ":")
	if !ok || validName(name) != nil {
		return "", nil, fmt.Errorf("cannot read a %s: it is not NAME:BASE64", what)
	}
	b, err = base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(b) != size {
		return "", nil, fmt.Errorf("cannot read the %s of %s: behind the colon stands no base 64 of %d bytes", what, name, size)
	}
	return name, b, nil
}

// ParseSecret reads a secret key; space around it does not count.
func ParseSecret(text string) (Secret, error) {
	name, b, err := split("secret key", strings.TrimSpace(text), ed25519.PrivateKeySize)
	if err != nil {
		return Secret{}, err
	}
	// The text holds the seed and the public key; both must belong together.
	key := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])
	if !bytes.Equal(key, b) {
		return Secret{}, fmt.Errorf("cannot read the secret key of %s: its two halves do not belong together", name)
	}
	return Secret{name, key}, nil
}

// ParsePublic reads a public key; space around it does not count.
func ParsePublic(text string) (Public, error) {
	name, b, err := split("public key", strings.TrimSpace(text), ed25519.PublicKeySize)
	if err != nil {
		return Public{}, err
	}
	return Public{name, b}, nil
}

// Name is the name of the key.
func (s Secret) Name() string { return s.name }

// Name is the name of the key.
func (p Public) Name() string { return p.name }

// Text writes the key as ParseSecret reads it.
func (s Secret) Text() string { return s.name + ":" + base64.StdEncoding.EncodeToString(s.key) }

// String writes the key as ParsePublic reads it.
func (p Public) String() string { return p.name + ":" + base64.StdEncoding.EncodeToString(p.key) }

// Same says whether two keys are one, whatever their names.
func (p Public) Same(other Public) bool { return bytes.Equal(p.key, other.key) }

// Public gives the key that checks what s signs.
func (s Secret) Public() Public {
	return Public{s.name, bytes.Clone(s.key[ed25519.SeedSize:])}
}

// Sign signs a text: name:base64.
func (s Secret) Sign(text string) string {
	return s.name + ":" + base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, []byte(text)))
}

// Item is what is signed of an item: its path, hash, size and references.
func Item(i store.Info) string {
	refs := make([]string, len(i.References))
	for k, r := range i.References {
		refs[k] = string(r)
	}
	slices.Sort(refs)
	return "1;" + string(i.Path) + ";" + i.NarHash.String() + ";" + strconv.FormatInt(i.NarSize, 10) + ";" + strings.Join(slices.Compact(refs), ",")
}

// Trust is a set of keys whose signatures count.
type Trust []Public

// ParseTrust reads public keys; text is separated by spaces or newlines.
func ParseTrust(text string) (Trust, error) {
	var t Trust
	for _, word := range strings.Fields(text) {
		p, err := ParsePublic(word)
		if err != nil {
			return nil, err
		}
		t = append(t, p)
	}
	return t, nil
}

// mostChecked bounds the signatures of one text that are looked at, so that
// nobody can make checking take long.
const mostChecked = 256

// Signers gives the names of the keys of t that signed the text. A key counts
// once, whatever names it and its signatures have.
func (t Trust) Signers(text string, sigs []string) []string {
	names, _ := t.count(text, sigs)
	slices.Sort(names)
	return names
}

// Valid gives those signatures of the text that count: one of each key.
func (t Trust) Valid(text string, sigs []string) []string {
	_, valid := t.count(text, sigs)
	return valid
}

func (t Trust) count(text string, sigs []string) (names, valid []string) {
	var counted Trust
	for _, sig := range sigs[:min(len(sigs), mostChecked)] {
		name, b, err := split("signature", sig, ed25519.SignatureSize)
		if err != nil {
			continue // of another kind of key, or garbage
		}
		for _, p := range t {
			if p.name == name && !counted.has(p) && ed25519.Verify(p.key, []byte(text), b) {
				counted = append(counted, p)
				names, valid = append(names, name), append(valid, sig)
				break
			}
		}
	}
	return names, valid
}

func (t Trust) has(p Public) bool { return slices.ContainsFunc(t, p.Same) }
