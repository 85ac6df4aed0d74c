// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"fmt"
	"strings"
	"testing"

	"osbuild/closure/layers"
	"osbuild/closure/segment"
)

// named makes parts of texts such as "name:size".
func named(list ...string) []layers.Part {
	var out []layers.Part
	for _, text := range list {
		p := layers.Part{}
		p.Name, text, _ = strings.Cut(text, ":")
		fmt.Sscan(text, &p.Size)
		out = append(out, p)
	}
	return out
}

// text shows layers as "a | b c".
func text(list []layers.Layer) string {
	var out []string
	for _, l := range list {
		var names []string
		for _, p := range l.Parts {
			names = append(names, p.Name)
		}
		out = append(out, strings.Join(names, " "))
	}
	return strings.Join(out, " | ")
}

func TestPack(t *testing.T) {
	for _, test := range []struct {
		summary string
		parts   []layers.Part
		budget  int
		want    string
	}{
		{"none", nil, 5, ""},
		{"each its own, in order", named("c:1", "a:9", "b:5"), 3, "c | a | b"},
		{"all in one", named("c:1", "a:9", "b:5"), 1, "c a b"},
		{"no budget is a budget of one", named("c:1", "a:9"), 0, "c a"},
		{"the largest alone", named("d:1", "c:1", "a:9", "b:1"), 2, "a | d c b"},
		{"of equal ones the first by name", named("d:1", "b:1", "c:1"), 2, "b | d c"},
		{"by name, without version", named("big:9", "big2:9", "x-1.0:1", "x-2.0-1:1", "x:1"), 4, "big | big2 | x-1.0 x-2.0-1 x"},
	} {
		if got := text(layers.Pack(test.parts, test.budget)); got != test.want {
			t.Errorf("%s: %s, want %s", test.summary, got, test.want)
		}
	}
}

// closure is many parts of which the first few are large.
func closure(n int) []layers.Part {
	var out []layers.Part
	for i := range n {
		out = append(out, layers.Part{Name: fmt.Sprintf("lib%c%d-1.%d-2", 'a'+i%26, i, i%7), Size: int64(1 + 100000/(i+1))})
	}
	return out
}

// TestBudget packs many parts: within the budget, each part once, and without
// a layer that is much fuller than the others.
func TestBudget(t *testing.T) {
	for _, budget := range []int{1, 2, 3, 10, 100, 127} {
		for _, n := range []int{1, 100, 101, 401, 2000} {
			packed := layers.Pack(closure(n), budget)
			if len(packed) > budget {
				t.Errorf("%d parts, budget %d: %d layers", n, budget, len(packed))
			}
			seen := map[string]int{}
			for _, l := range packed {
				if len(l.Parts) == 0 {
					t.Errorf("%d parts, budget %d: an empty layer", n, budget)
				}
				for _, p := range l.Parts {
					seen[p.Name]++
				}
			}
			if len(seen) != n {
				t.Errorf("%d parts, budget %d: %d are packed", n, budget, len(seen))
			}
		}
	}
}

// TestStable changes one part at a time and counts the layers that change:
// that of the part, and where a part crosses the border of the large ones, one
// or two more.
func TestStable(t *testing.T) {
	before := closure(401)
	content := func(list []layers.Layer) map[string]bool {
		out := map[string]bool{}
		for _, l := range list {
			var key strings.Builder
			for _, p := range l.Parts {
				fmt.Fprintln(&key, p.Name, p.Size)
			}
			out[key.String()] = true
		}
		return out
	}
	old := content(layers.Pack(before, 100))
	changed := func(parts []layers.Part) int {
		n := 0
		for key := range content(layers.Pack(parts, 100)) {
			if !old[key] {
				n++
			}
		}
		return n
	}
	for i := range before {
		after := append([]layers.Part{}, before...)
		after[i].Name = strings.Replace(after[i].Name, "-1.", "-9.", 1)
		after[i].Size += after[i].Size / 50
		if n := changed(after); n > 3 {
			t.Errorf("a new version of %s changes %d layers", before[i].Name, n)
		}
		gone := append(append([]layers.Part{}, before[:i]...), before[i+1:]...)
		if n := changed(gone); n > 2 {
			t.Errorf("without %s %d layers change", before[i].Name, n)
		}
	}
}

func TestParents(t *testing.T) {
	dir := func(path string) segment.Entry {
		return segment.Entry{Path: path, Type: segment.Directory, Mode: 0o755}
	}
	l := layers.Layer{Parts: []layers.Part{
		{Size: 3, Parents: []segment.Entry{dir("usr"), dir("usr/bin")}},
		{Size: 4, Parents: []segment.Entry{dir("etc"), dir("usr"), dir("usr/share")}},
	}}
	var got []string
	for _, e := range l.Parents() {
		got = append(got, e.Path)
	}
	if strings.Join(got, " ") != "etc usr usr/bin usr/share" || l.Size() != 7 {
		t.Errorf("parents %v, size %d", got, l.Size())
	}
}
