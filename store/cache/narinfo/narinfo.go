// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package narinfo reads and writes the small texts of a binary cache in Nix's
// layout: what it says of itself, and what it says of an item.
//
// It owns these formats and the names of a cache's files. It never trusts:
// what a text says must be checked by who uses it. Start with [Parse].
package narinfo

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"osbuild/store"
)

// MaxSize bounds the texts that are read.
const MaxSize = 4 << 20

// maxSignatures is how many signatures one text may hold: each takes time to
// check.
const maxSignatures = 256

// Extension ends the name of an item's text, which starts with its digest.
const Extension = ".narinfo"

// Narinfo is what a cache says of an item.
type Narinfo struct {
	store.Info
	// URL is the archive's file: its name in the cache, with a query where the
	// cache's server wants one.
	URL string
	// Compression is that of the file; "none" for none.
	Compression string
	// FileHash and FileSize are those of the file, which is compressed; zero
	// where the cache does not say.
	FileHash store.Hash
	FileSize int64
}

// Name is the name of the text about an item.
func Name(p store.Path) string { return p.Digest() + Extension }

// ListingName is the name of the listing of an item's files.
func ListingName(p store.Path) string { return p.Digest() + ".ls" }

// NarName is the name of an archive with this hash (of the file) and
// compression.
func NarName(file store.Hash, extension string) string {
	return "nar/" + file.Base32() + ".nar" + extension
}

// Encode writes the text: that of an info file without what only the store of
// origin needs, and behind its first line, the path, what is of the cache.
func (n Narinfo) Encode() []byte {
	path, rest, _ := strings.Cut(string(n.Shared().Encode()), "\n")
	var b strings.Builder
	b.WriteString(path + "\n")
	line := func(key, value string) { b.WriteString(key + ": " + value + "\n") }
	line("URL", n.URL)
	line("Compression", n.Compression)
	if n.FileHash != (store.Hash{}) {
		line("FileHash", n.FileHash.String())
	}
	if n.FileSize > 0 {
		line("FileSize", strconv.FormatInt(n.FileSize, 10))
	}
	b.WriteString(rest)
	return []byte(b.String())
}

// Parse reads the text of a narinfo. Fields that it does not know are
// skipped.
func Parse(text []byte) (Narinfo, error) {
	n := Narinfo{Compression: "bzip2"} // what the format says of a text without it
	if len(text) > MaxSize {
		return Narinfo{}, fmt.Errorf("cannot read a narinfo: it has more than %d bytes", MaxSize)
	}
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return Narinfo{}, fmt.Errorf("cannot read a narinfo: its last line is torn")
	}
	// Values are shown to people, and must not steer their terminals.
	if !utf8.Valid(text) || bytes.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		return Narinfo{}, fmt.Errorf("cannot read a narinfo: it holds control characters, or is no UTF-8")
	}
	var item strings.Builder // the lines that info files have too
	seen := make(map[string]bool)
	for l := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(l, "\n"), ": ")
		var err error
		switch key {
		case "URL":
			n.URL = value
			err = checkName(value)
		case "Compression":
			n.Compression = value
		case "FileHash":
			n.FileHash, err = store.ParseHash(value)
		case "FileSize":
			n.FileSize, err = strconv.ParseInt(value, 10, 64)
			if err == nil && n.FileSize <= 0 {
				err = fmt.Errorf("the file size %q is not positive", value)
			}
		case "References":
			// Others may sort them in another way.
			refs := strings.Fields(value)
			slices.Sort(refs)
			item.WriteString("References: " + strings.Join(slices.Compact(refs), " ") + "\n")
			continue
		case "Deriver":
			if value != "unknown-deriver" {
				item.WriteString(l)
			}
			continue
		default:
			item.WriteString(l)
			continue
		}
		if err == nil && seen[key] {
			err = fmt.Errorf("it comes twice")
		}
		if err != nil {
			return Narinfo{}, fmt.Errorf("cannot read a narinfo: %s: %w", key, err)
		}
		seen[key] = true
	}
	if !seen["URL"] {
		return Narinfo{}, fmt.Errorf("cannot read a narinfo: it lacks URL")
	}
	info, err := store.DecodeInfo([]byte(item.String()))
	if err != nil {
		return Narinfo{}, fmt.Errorf("cannot read a narinfo: %w", err)
	}
	if info.Deriver != "" {
		if _, err := store.ParsePath(store.Dir + "/" + info.Deriver); err != nil {
			return Narinfo{}, fmt.Errorf("cannot read a narinfo: Deriver: %w", err)
		}
	}
	if len(info.Sigs) > maxSignatures {
		return Narinfo{}, fmt.Errorf("cannot read a narinfo: it has more than %d signatures", maxSignatures)
	}
	n.Info = info
	return n, nil
}

// checkName refuses what is no name of a file below the cache. An address of
// its own, on another host for example, is not followed. Some servers want a
// query behind it.
func checkName(url string) error {
	name, query, _ := strings.Cut(url, "?")
	switch {
	case strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`\/#`, r) }):
	case name == "", len(name) > 1024, path.IsAbs(name), path.Clean(name) != name, name == "..", strings.HasPrefix(name, "../"):
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`\:?#%`, r) }):
	default:
		return nil
	}
	return fmt.Errorf("%.200q is no name of a file in a cache", url)
}
