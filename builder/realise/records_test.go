// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/builder/derivation"
	"osbuild/store"
)

type observer []Event

func (o *observer) Event(e Event) { *o = append(*o, e) }

func TestFirstResultWins(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.NewLease("test")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Close()
	var seen observer
	r := &Realiser{Store: s, Lease: lease, Observer: &seen}
	sess, done := r.session(t.Context(), derivation.NewGraph(s))
	defer done()
	add := func(text string) outputs {
		info, err := s.AddText(t.Context(), lease, "d", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		return outputs{"out": info.Path}
	}
	gone, err := store.TextPath("d", []byte("gone"), nil)
	if err != nil {
		t.Fatal(err)
	}
	first, second := add("first"), add("second")
	for i, c := range []struct {
		summary  string
		recorded []byte
		want     outputs
		differs  bool
		here     bool // that it was built here is known afterwards
	}{
		{"nothing recorded", nil, second, false, true},
		{"the same", realised{Outputs: second}.encode(), second, false, true},
		{"the same from elsewhere", realised{Outputs: second, Elsewhere: true}.encode(), second, false, true},
		{"another one from elsewhere", realised{Outputs: first, Elsewhere: true}.encode(), first, true, false},
		{"another one that is there", realised{Outputs: first}.encode(), first, true, true},
		{"another one that is gone", realised{Outputs: outputs{"out": gone}}.encode(), second, true, true},
		{"a torn record", []byte("{"), second, false, true},
		{"a record of other outputs", realised{Outputs: outputs{"lib": first["out"]}}.encode(), second, false, true},
	} {
		d := &derivation.Derivation{Name: "d", Builder: "/x", Outputs: []string{"out"}}
		b := &build{s: sess, key: "k", drv: d, rkey: derivation.Key(fmt.Sprint("r", i))}
		if c.recorded != nil {
			if err := s.PutRecord(recordRealised, string(b.rkey), c.recorded); err != nil {
				t.Fatal(err)
			}
		}
		seen = nil
		got, err := sess.register(b, second, false)
		if err != nil || got["out"] != c.want["out"] {
			t.Errorf("%s: %v %v, want %v", c.summary, got, err, c.want)
		}
		if differs := len(seen) == 1 && seen[0].Kind == EventDiffers; differs != c.differs {
			t.Errorf("%s: events %v", c.summary, seen)
		}
		// Whatever was said is what the next one finds.
		if next, err := sess.realisation(b); err != nil || next["out"] != c.want["out"] {
			t.Errorf("%s: recorded %v %v, want %v", c.summary, next, err, c.want)
		}
		// The same from elsewhere changes nothing.
		if again, err := sess.register(b, c.want, true); err != nil || again["out"] != c.want["out"] {
			t.Errorf("%s: again %v %v", c.summary, again, err)
		}
		if rec, err := s.Record(recordRealised, string(b.rkey)); err != nil || strings.Contains(string(rec), "elsewhere") == c.here {
			t.Errorf("%s: recorded %s, %v", c.summary, rec, err)
		}
	}
}

func TestEachDigest(t *testing.T) {
	const d = "0123456789abcdfghijklmnpqrsvwxyz"
	for _, pad := range []int{0, 1, 31, 32, 64<<10 - 40, 64<<10 - 32, 64<<10 - 16, 64 << 10, 200 << 10} {
		for _, fill := range []string{"-", "a"} {
			text := strings.Repeat(fill, pad) + d + d + fill
			var got []int64
			err := eachDigest(&slowly{text, 1000}, map[string]string{d: ""}, func(_ string, at int64) { got = append(got, at) })
			if err != nil || fmt.Sprint(got) != fmt.Sprint([]int{pad, pad + 32}) {
				t.Errorf("%d of %q: found at %v, %v", pad, fill, got, err)
			}
		}
	}
}

// slowly gives a few bytes at a time.
type slowly struct {
	text string
	n    int
}

func (s *slowly) Read(p []byte) (int, error) {
	r := strings.NewReader(s.text)
	n, err := r.Read(p[:min(s.n, len(p))])
	s.text = s.text[n:]
	return n, err
}

func TestFullDisk(t *testing.T) {
	if !fullDisk(t.TempDir(), fmt.Errorf("cannot write: %w", unix.ENOSPC), nil) {
		t.Error("ENOSPC is not understood")
	}
	if !fullDisk(t.TempDir(), &ExitError{}, []string{"x", "cc: error: No space left on device", "y"}) {
		t.Error("what a program says is not understood")
	}
	if fullDisk(t.TempDir(), fmt.Errorf("something else"), []string{"some words"}) {
		t.Error("a disk with space counts as full")
	}
}
