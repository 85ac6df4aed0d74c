// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"osbuild/store"
)

// However many items are checked at once, the report is the same.
func TestVerifyJobs(t *testing.T) {
	ctx := context.Background()
	s := open(t)
	p := zoo(t, s)
	l := lease(t, s)
	var missing []store.Path
	for k := range 30 {
		last := text(t, s, l, "text", fmt.Sprint(k), p["tree"], p["output"])
		if k%10 == 0 {
			missing = append(missing, last)
			// Refers to what will be missing.
			text(t, s, l, "above", fmt.Sprint(k), last)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, gone := range missing {
		if err := os.Remove(s.Physical(gone)); err != nil {
			t.Fatal(err)
		}
	}
	place := s.Physical(p["output"]) + "/ref"
	harm(t, place, func() error { return os.WriteFile(place, []byte("spoilt"), 0o644) })
	var first store.Report
	for _, jobs := range []int{1, 2, 7, 0, 1000} {
		r, err := s.Verify(ctx, store.VerifyOptions{Contents: true, Jobs: jobs})
		if err != nil {
			t.Fatal(err)
		}
		if jobs == 1 {
			first = r
			kinds := make(map[string]int)
			for _, problem := range r.Problems {
				kinds[problem.Kind]++
			}
			if kinds[store.ProblemMissing] != 3 || kinds[store.ProblemReference] != 3 || kinds[store.ProblemContent] != 1 {
				t.Errorf("%v in %v", kinds, r.Problems)
			}
		}
		if !slices.Equal(r.Problems, first.Problems) || r.Checked != first.Checked || r.Checked != len(p)+33 {
			t.Errorf("%d jobs: checked %d, found %d; one: %d, %d", jobs, r.Checked, len(r.Problems), first.Checked, len(first.Problems))
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if r, err := s.Verify(ended, store.VerifyOptions{Contents: true, Jobs: jobs}); !errors.Is(err, context.Canceled) || r.Checked > 0 {
			t.Errorf("%d jobs, interrupted: checked %d, %v", jobs, r.Checked, err)
		}
	}
	// The first error of an item that the user named ends the check.
	if _, err := s.Verify(ctx, store.VerifyOptions{Paths: []store.Path{p["tree"], scratchA}, Jobs: 2}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an item that is not there: %v", err)
	}
}

var registered = regexp.MustCompile(`X-Registered: \S+`)

// Only what was registered since a time is checked, in that second too.
func TestVerifySince(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	now := time.Now()
	for name, at := range map[string]string{
		"old":     now.Add(-3 * time.Hour).UTC().Format(time.RFC3339),
		"young":   now.Add(-time.Hour).UTC().Format(time.RFC3339),
		"unknown": "",
	} {
		p := text(t, s, l, name, name)
		data, err := os.ReadFile(infoFile(s, p))
		if err != nil {
			t.Fatal(err)
		}
		line := "X-Registered: " + at
		if at == "" {
			line = "X-Other: 1"
		}
		if err := errors.Join(os.WriteFile(infoFile(s, p), registered.ReplaceAll(data, []byte(line)), 0o644), os.Remove(s.Physical(p))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(s.Root() + "/db/index.log"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.Root()+"/store/stray", 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		summary string
		since   time.Time
		want    []string
		stray   int
	}{
		{"all", time.Time{}, []string{"old", "unknown", "young"}, 1},
		{"a time between", now.Add(-2 * time.Hour), []string{"unknown", "young"}, 0},
		{"that very second", now.Add(-time.Hour).Truncate(time.Second).Add(999 * time.Millisecond), []string{"unknown", "young"}, 0},
		{"the second after", now.Add(-time.Hour).Truncate(time.Second).Add(time.Second), []string{"unknown"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			r, err := s.Verify(context.Background(), store.VerifyOptions{Since: tt.since, Contents: true})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range r.Problems {
				got = append(got, p.Path.Name())
			}
			if slices.Sort(got); !slices.Equal(got, tt.want) || r.Checked != len(tt.want) || len(r.Stray) != tt.stray {
				t.Errorf("found %q, %d checked, stray %q", got, r.Checked, r.Stray)
			}
		})
	}
}
