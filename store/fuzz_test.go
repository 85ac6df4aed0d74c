// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"
	"strings"
	"testing"
)

// goodDigest is that of goodInfo.
const goodDigest = "rkfr254jwp3ndfvly304psci24m54bi3"

// Whatever a killed process left in its lease, what is appended after that
// counts, and nothing is read that does not stand there.
func FuzzLease(f *testing.F) {
	f.Add(`{"pid":1,"purpose":"build","since":"2026-01-02T03:04:05Z"}` + "\n\n" + goodDigest + "-a\n")
	f.Add("{\"pid\":1,\n\n" + goodDigest[:20])
	f.Add(goodDigest + "-a")
	f.Fuzz(func(t *testing.T, text string) {
		var st leaseState
		st.parse(text)
		for _, p := range st.paths {
			if _, err := ParsePath(string(p)); err != nil || !strings.Contains(text, p.Base()) {
				t.Errorf("%q protects %q: %v", text, p, err)
			}
		}
		const next = goodDigest + "-next"
		var more leaseState
		more.parse(text + "\n" + next + "\n")
		if !slices.Contains(more.paths, Path(Dir+"/"+next)) || len(more.paths) < len(st.paths) {
			t.Errorf("behind %q nothing counts: %q", text, more.paths)
		}
	})
}

// The same of the list of what is registered and not yet durable.
func FuzzPending(f *testing.F) {
	f.Add("\nitem " + goodDigest + "-a\n\nrecord memo/key 00ff\n")
	f.Add("\nrecord memo/ke")
	f.Add("record a b\nrecord a b c\n record a\tb\n")
	f.Fuzz(func(t *testing.T, text string) {
		before := make(map[string][]string)
		pendingRecords(text, before)
		for key, hashes := range before {
			for _, h := range hashes {
				if !strings.Contains(text, key) || !strings.Contains(text, h) {
					t.Errorf("%q lists %q as %q", text, key, h)
				}
			}
		}
		after := make(map[string][]string)
		pendingRecords(text+"\nrecord memo/next 1234\n", after)
		if !slices.Contains(after["memo/next"], "1234") {
			t.Errorf("behind %q nothing counts: %q", text, after)
		}
		// A torn line may lack a part of its hash, so it must not count.
		if last := text[strings.LastIndexByte(text, '\n')+1:]; last != "" {
			whole := make(map[string][]string)
			pendingRecords(strings.TrimSuffix(text, last), whole)
			if len(whole) != len(before) {
				t.Errorf("the torn line %q counts", last)
			}
		}
	})
}

// An entry of the stat cache is taken only in the form in which it is written.
func FuzzStatCache(f *testing.F) {
	f.Add([]byte("1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s 120\n"))
	f.Add([]byte("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 120\n"))
	f.Add([]byte("1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s -1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, size, ok := parseCached(text)
		if ok && (size <= 0 || !strings.HasPrefix(string(text), h.Base32()+" ")) {
			t.Errorf("%q was read as %s, %d", text, h, size)
		}
	})
}

// A content address is anybody's text; what gives a path gives it again from
// the same address, and the path has the item's name.
func FuzzContentAddress(f *testing.F) {
	const hash = "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s"
	for _, ca := range []string{"text:sha256:" + hash, "fixed:r:sha256:" + hash, "fixed:sha256:" + hash, "fixed:md5:3y8bwfr609h3lh9ch0izcqq7fl", "fixed:r:sha1:143xibwh31h9bvxzalr0sjvbbvpa6ffs", "fixed:r:git:x", "fixed:"} {
		f.Add(ca, true, true)
		f.Add(ca, false, false)
	}
	f.Fuzz(func(t *testing.T, ca string, other, self bool) {
		p := Path(Dir + "/" + goodDigest + "-a")
		var refs []Path
		if other {
			refs = append(refs, Path(Dir+"/rd3zkkmxi5wl6yp2cvl5mvr8hpk65fsv-dep"))
		}
		if self {
			refs = append(refs, p)
		}
		got, err := pathOfCA(p, ca, refs)
		if err != nil {
			return
		}
		if _, err := ParsePath(string(got)); err != nil || got.Name() != p.Name() {
			t.Errorf("%q gives %q, %v", ca, got, err)
		}
		if !self {
			if err := CheckAddress(Info{Path: got, CA: ca, References: refs}); err != nil {
				t.Errorf("%q gives %s, and that is refused: %v", ca, got, err)
			}
		}
	})
}
