// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package ldso

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// cacheMagic begins the form of the cache that glibc has read since 2.2, and
// alone since 2.32.
const cacheMagic = "glibc-ld.so.cache1.1"

// littleEndian and bigEndian are the values of the header's flags.
const (
	littleEndian = 2
	bigEndian    = 3
)

// Library is an entry of the cache.
type Library struct{ Name, Path string }

// EncodeCache gives the bytes of ld.so.cache: a header of 48 bytes, entries of
// 24, then the strings, to which entries point from the start of the file.
// The loader searches by halves, so names stand in falling order; of equal
// ones the first counts.
func EncodeCache(list []Library, a ABI) []byte {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(x, y Library) int { return compareLibraries(y.Name, x.Name) })
	var order binary.AppendByteOrder = binary.LittleEndian
	endian := byte(littleEndian)
	if a.flags == abis["s390x"].flags {
		order, endian = binary.BigEndian, bigEndian
	}
	var texts bytes.Buffer
	at := map[string]uint32{}
	start := 48 + 24*len(list)
	text := func(s string) uint32 {
		if _, ok := at[s]; !ok {
			at[s] = uint32(start + texts.Len())
			texts.WriteString(s)
			texts.WriteByte(0)
		}
		return at[s]
	}
	var entries []byte
	for _, l := range list {
		entries = order.AppendUint32(entries, a.flags)
		entries = order.AppendUint32(entries, text(l.Name))
		entries = order.AppendUint32(entries, text(l.Path))
		entries = order.AppendUint32(entries, 0) // was the kernel's version
		entries = order.AppendUint64(entries, 0) // no special processor
	}
	out := []byte(cacheMagic)
	out = order.AppendUint32(out, uint32(len(list)))
	out = order.AppendUint32(out, uint32(texts.Len()))
	out = append(out, endian, 0, 0, 0)
	out = append(out, make([]byte, 16)...) // no extension
	out = append(out, entries...)
	return append(out, texts.Bytes()...)
}

// compareLibraries is the order of the loader: runs of digits count as
// numbers, and digits come after everything else.
func compareLibraries(a, b string) int {
	digit := func(s string) bool { return s != "" && '0' <= s[0] && s[0] <= '9' }
	number := func(s string) (int, string) {
		n := 0
		for ; digit(s); s = s[1:] {
			n = (n*10 + int(s[0]-'0')) & 0x7fffffff
		}
		return n, s
	}
	for a != "" {
		switch {
		case digit(a) && digit(b):
			var x, y int
			x, a = number(a)
			y, b = number(b)
			if x != y {
				return x - y
			}
		case digit(a):
			return 1
		case digit(b):
			return -1
		case b == "":
			return 1
		case a[0] != b[0]:
			return int(a[0]) - int(b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	return -len(b)
}
