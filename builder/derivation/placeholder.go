// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package derivation

import (
	"crypto/sha256"
	"fmt"

	"osbuild/store"
)

// digestLen is the length of the hash part of a store path.
const digestLen = 32

// placeholderPrefix begins every placeholder. No store path begins so, since
// the alphabet of their digests lacks the letter o.
const placeholderPrefix = store.Dir + "/o"

// Placeholder is the string that stands for an output of the derivation k,
// which is called name, until the output is known. It is as long as the path
// it stands for, and ends like it.
func Placeholder(k Key, output, name string) string {
	return store.Dir + "/" + placeholderDigest(k, output) + "-" + OutputName(name, output)
}

// Self is the string that stands for an output of the very derivation in
// whose arguments or environment it occurs. It is replaced by the path that
// the builder sees, the value of the variable of that name.
func Self(output string) string {
	return store.Dir + "/" + selfDigest(output) + "-" + output
}

func placeholderDigest(k Key, output string) string {
	return mark("output:" + string(k) + ":" + output)
}

func selfDigest(output string) string { return mark("self:" + output) }

// mark hashes s to 32 characters that begin with an o: 155 bits are left.
func mark(s string) string {
	b32 := store.Hash(sha256.Sum256([]byte("osbuild placeholder:" + s))).Base32()
	return "o" + b32[len(b32)-digestLen+1:]
}

// ScratchPath is the path at which a builder with the resolved key k makes an
// output: always the same for the same build, so that a program which lets
// its own path influence its output is as deterministic as any other.
func ScratchPath(k Key, name, output string) store.Path {
	b32 := store.Hash(sha256.Sum256(fmt.Appendf(nil, "osbuild scratch:%s:%s", k, output))).Base32()
	return store.Path(store.Dir + "/" + b32[len(b32)-digestLen:] + "-" + OutputName(name, output))
}
