// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"strings"
)

// Version is a package version, [epoch:]upstream[-revision].
type Version string

// ParseVersion checks the characters and the shape of s.
func ParseVersion(s string) (Version, error) {
	bad := func(why string) (Version, error) {
		return "", fmt.Errorf("%q is not a package version: %s", s, why)
	}
	if len(s) > 256 {
		return "", fmt.Errorf("the version %.20q… has more than 256 characters", s)
	}
	epoch, upstream, revision := Version(s).split()
	if epoch != "" {
		if len(epoch) > 10 || strings.Trim(epoch, "0123456789") != "" {
			return bad("the part before the colon is not a number")
		}
	} else if strings.HasPrefix(s, ":") {
		return bad("the part before the colon is empty")
	}
	if upstream == "" {
		return bad("nothing is left of the upstream part")
	}
	if revision == "" && strings.HasSuffix(s, "-") {
		return bad("the part after the last hyphen is empty")
	}
	for i := range len(upstream) {
		if c := upstream[i]; !alnum(c) && strings.IndexByte(".+-~:", c) < 0 {
			return bad(fmt.Sprintf("it has the character %q", c))
		}
	}
	for i := range len(revision) {
		if c := revision[i]; !alnum(c) && strings.IndexByte(".+~", c) < 0 {
			return bad(fmt.Sprintf("the revision has the character %q", c))
		}
	}
	return Version(s), nil
}

// Compare orders versions as Debian policy 5.6.12 does: negative when v is
// older than w. Versions that differ only in a zero epoch, an absent or zero
// revision, or leading zeros of a number are equal.
func (v Version) Compare(w Version) int {
	if v == w {
		return 0
	}
	ve, vu, vr := v.split()
	we, wu, wr := w.split()
	if c := compareNumber(ve, we); c != 0 {
		return c
	}
	if c := comparePart(vu, wu); c != 0 {
		return c
	}
	return comparePart(vr, wr)
}

// Satisfies says whether v stands in the relation op to w: "<<", "<=", "=",
// ">=", ">>", or "" for any version.
func (v Version) Satisfies(op string, w Version) bool {
	if op == "" {
		return true
	}
	c := v.Compare(w)
	switch op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	case ">>":
		return c > 0
	}
	return false
}

func (v Version) split() (epoch, upstream, revision string) {
	upstream = string(v)
	if i := strings.IndexByte(upstream, ':'); i >= 0 {
		epoch, upstream = upstream[:i], upstream[i+1:]
	}
	if i := strings.LastIndexByte(upstream, '-'); i >= 0 {
		upstream, revision = upstream[:i], upstream[i+1:]
	}
	return epoch, upstream, revision
}

// comparePart compares stretches of other characters and of digits in turn.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !digit(a[0]) || b != "" && !digit(b[0]) {
			ca, cb := weight(a), weight(b)
			if ca != cb {
				return ca - cb
			}
			a, b = a[1:], b[1:]
		}
		i, j := digits(a), digits(b)
		if c := compareNumber(a[:i], b[:j]); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
	return 0
}

// weight orders the first character of s: a tilde before the end, the end
// (and a digit, which ends the stretch) before letters, those before others.
func weight(s string) int {
	switch {
	case s == "" || digit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case alnum(s[0]):
		return int(s[0])
	}
	return int(s[0]) + 256
}

// compareNumber compares numbers of any length; "" is 0.
func compareNumber(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func digits(s string) int {
	i := 0
	for i < len(s) && digit(s[i]) {
		i++
	}
	return i
}
