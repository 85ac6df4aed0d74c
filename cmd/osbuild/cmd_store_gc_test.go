// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"osbuild/store"
)

func TestDeletion(t *testing.T) {
	const every = 4 * time.Second
	told := []store.GCProgress{
		{Done: 0, All: 8, Files: 1},
		{Done: 0, All: 8, Files: 900},
		{Done: 1, All: 8, Files: 1000},
		{Done: 2, All: 8, Files: 1001},
		{Done: 4, All: 8, Files: 5000},
		{Done: 6, All: 8, Files: 6000},
		{Done: 8, All: 8, Files: 9000},
	}
	for _, tt := range []struct {
		summary string
		width   int
		quiet   bool
		want    string
	}{
		{"no terminal", 0, false, "deleting 2/8 trees, 1001 files, about 36s left\n"},
		{"a terminal", 80, false, "\rdeleting 0/8 trees, 1 file\x1b[K\rdeleting 0/8 trees, 900 files\x1b[K\rdeleting 1/8 trees, 1000 files\x1b[K" +
			"\rdeleting 2/8 trees, 1001 files, about 36s left\x1b[K\rdeleting 4/8 trees, 5000 files, about 16s left\x1b[K\rdeleting 6/8 trees, 6000 files, about 7s left\x1b[K\r\x1b[Kdone\n"},
		{"a narrow terminal", 12, false, "\rdeleting 0/\x1b[K\rdeleting 0/\x1b[K\rdeleting 1/\x1b[K\rdeleting 2/\x1b[K\rdeleting 4/\x1b[K\rdeleting 6/\x1b[K\r\x1b[Kdone\n"},
		{"told to be quiet", 80, true, ""},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			var out bytes.Buffer
			a := newApp(nil, &out)
			a.quiet = tt.quiet
			now := time.Unix(0, 0)
			d := &deletion{a: a, now: func() time.Time { return now }, width: func() int { return tt.width }}
			for _, p := range told {
				d.tell(p)
				now = now.Add(every)
			}
			if tt.width > 0 {
				a.say("done") // what comes next stands where the line stood
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
