// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestKeeper(t *testing.T) {
	k := keeper{all: true}
	for _, line := range []string{"one", "", "warning:  not so good ", "warning:none", " warning: none", strings.Repeat("x", 2*tailLine), "  "} {
		k.add([]byte(line))
	}
	out := k.output()
	if want := []string{"not so good"}; !slices.Equal(out.warnings, want) {
		t.Errorf("warnings %q, want %q", out.warnings, want)
	}
	if want := strings.Repeat("x", 2*tailLine); out.last != want {
		t.Errorf("last line %q", out.last)
	}
	if want := []string{"one", "", "warning:  not so good ", "warning:none", " warning: none", strings.Repeat("x", tailLine), "  "}; !slices.Equal(out.tail, want) {
		t.Errorf("tail %q, want %q", out.tail, want)
	}
	for range 3 * maxWarnings {
		k.add([]byte("warning: again"))
	}
	if out := k.output(); len(out.warnings) != maxWarnings || len(out.tail) != tailLines {
		t.Errorf("%d warnings, %d lines", len(out.warnings), len(out.tail))
	}
}

// FuzzKeeper feeds what programs may write: what is kept stays small, and is
// what was written.
func FuzzKeeper(f *testing.F) {
	f.Add([]byte("one\ntwo\n\nwarning: three\n"))
	f.Add([]byte("warning: \xff\x00"))
	f.Add(bytes.Repeat([]byte("warning: x\n"), 200))
	f.Fuzz(func(t *testing.T, text []byte) {
		k := keeper{all: true}
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			k.add(line)
		}
		out := k.output()
		if len(out.tail) > tailLines || len(out.warnings) > maxWarnings || len(out.text) > logTail {
			t.Errorf("%d lines, %d warnings, %d bytes are kept", len(out.tail), len(out.warnings), len(out.text))
		}
		if !bytes.Contains(text, []byte(out.last)) || !strings.HasSuffix(string(text)+"\n", out.text) {
			t.Errorf("%q and %q were never written", out.last, out.text)
		}
		for _, line := range append(slices.Clone(out.tail), out.warnings...) {
			if len(line) > tailLine || !bytes.Contains(text, []byte(line)) {
				t.Errorf("%q was never written", line)
			}
		}
	})
}
