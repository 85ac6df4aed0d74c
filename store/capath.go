// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"

	"osbuild/store/nar"
)

// hashAlgo returns the hash function that a fixed-output path may use.
func hashAlgo(algo string) (func() hash.Hash, error) {
	switch algo {
	case "sha256":
		return sha256.New, nil
	case "sha512":
		return sha512.New, nil
	case "sha1":
		return sha1.New, nil
	case "md5":
		return md5.New, nil
	}
	return nil, fmt.Errorf("cannot use the hash algorithm %q: choose sha256, sha512, sha1 or md5", algo)
}

// makePath derives a path from what identifies the item: its type with
// references, the hash of its content and its name.
func makePath(typ string, inner []byte, name string) (Path, error) {
	if err := ValidName(name); err != nil {
		return "", fmt.Errorf("cannot name a store item: %w", err)
	}
	sum := sha256.Sum256([]byte(typ + ":sha256:" + hex.EncodeToString(inner) + ":" + Dir + ":" + name))
	var folded [20]byte
	for i, b := range sum {
		folded[i%len(folded)] ^= b
	}
	return Path(Dir + "/" + encodeBase32(folded[:]) + "-" + name), nil
}

// withRefs appends the sorted references to a path type.
func withRefs(typ string, refs []Path) (string, error) {
	var b strings.Builder
	b.WriteString(typ)
	for _, r := range sortPaths(refs) {
		if _, err := ParsePath(string(r)); err != nil {
			return "", fmt.Errorf("cannot use a reference: %w", err)
		}
		b.WriteString(":" + string(r))
	}
	return b.String(), nil
}

// TextPath is the path of a file with this text that refers to refs.
func TextPath(name string, text []byte, refs []Path) (Path, error) {
	typ, err := withRefs("text", refs)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return makePath(typ, sum[:], name)
}

// SourcePath is the path of a tree with this NAR hash. Where the tree refers
// to itself, narHash is the hash modulo these references (see refscan), and
// self is set. The refs do not hold the path itself.
func SourcePath(name string, narHash Hash, refs []Path, self bool) (Path, error) {
	typ, err := withRefs("source", refs)
	if err != nil {
		return "", err
	}
	if self {
		typ += ":self"
	}
	return makePath(typ, narHash[:], name)
}

// FixedPath is the path of a file (flat) or tree (recursive: digest is that
// of the NAR) that is known by a hash of any algorithm and refers to nothing.
func FixedPath(name, algo string, digest []byte, recursive bool) (Path, error) {
	newHash, err := hashAlgo(algo)
	if err != nil {
		return "", err
	}
	if want := newHash().Size(); len(digest) != want {
		return "", fmt.Errorf("cannot name a store item: a %s hash has %d bytes, not %d", algo, want, len(digest))
	}
	if recursive && algo == "sha256" {
		return SourcePath(name, Hash(digest), nil, false)
	}
	inner := sha256.Sum256([]byte("fixed:out:" + fixedMethod(algo, recursive) + ":" + hex.EncodeToString(digest) + ":"))
	return makePath("output:out", inner[:], name)
}

func fixedMethod(algo string, recursive bool) string {
	if recursive {
		return "r:" + algo
	}
	return algo
}

// Content addresses, as info files spell them.

func textCA(text Hash) string { return "text:" + text.String() }

func fixedCA(algo string, digest []byte, recursive bool) string {
	return "fixed:" + fixedMethod(algo, recursive) + ":" + encodeBase32(digest)
}

func sourceCA(narHash Hash) string { return fixedCA("sha256", narHash[:], true) }

// pathOfCA derives the path that a content address and references give. refs
// may hold self, the path that is checked.
func pathOfCA(self Path, ca string, refs []Path) (Path, error) {
	others := slices.DeleteFunc(slices.Clone(refs), func(p Path) bool { return p == self })
	hasSelf := len(others) < len(refs)
	if rest, ok := strings.CutPrefix(ca, "text:sha256:"); ok {
		h, err := ParseHash(rest)
		if err != nil {
			return "", err
		}
		if hasSelf {
			return "", fmt.Errorf("a text item cannot refer to itself")
		}
		typ, err := withRefs("text", others)
		if err != nil {
			return "", err
		}
		return makePath(typ, h[:], self.Name())
	}
	rest, ok := strings.CutPrefix(ca, "fixed:")
	if !ok {
		return "", fmt.Errorf("cannot understand the content address %q", ca)
	}
	rest, recursive := strings.CutPrefix(rest, "r:")
	algo, text, _ := strings.Cut(rest, ":")
	digest, err := ParseDigest(algo, text)
	if err != nil {
		return "", err
	}
	if recursive && algo == "sha256" {
		return SourcePath(self.Name(), Hash(digest), others, hasSelf)
	}
	if len(refs) > 0 {
		return "", fmt.Errorf("an item addressed as %q cannot have references", ca)
	}
	return FixedPath(self.Name(), algo, digest, recursive)
}

// ExecutableHash returns the NAR hash and size of one executable file.
func ExecutableHash(text []byte) (Hash, int64) { return fileHash(text, true) }

// fileHash returns the NAR hash and size of one file.
func fileHash(text []byte, executable bool) (Hash, int64) {
	h := sha256.New()
	// Neither the hash nor the encoder's framing of one file can fail.
	size, _ := nar.WriteFile(h, text, executable)
	return Hash(h.Sum(nil)), size
}
