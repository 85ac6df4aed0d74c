// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
)

// crowd is a downloader whose builds end only when all of them run at once.
type crowd struct{ together sync.WaitGroup }

func (*crowd) Name() string { return "crowd" }

func (*crowd) Version() int { return 1 }

func (*crowd) DownloadSize(d *derivation.Derivation) int64 { return int64(len(d.Env["text"])) }

func (c *crowd) Build(ctx context.Context, r realise.Request) error {
	c.together.Done()
	all := make(chan struct{})
	go func() { c.together.Wait(); close(all) }()
	select {
	case <-all:
	case <-ctx.Done():
		return ctx.Err()
	}
	text := r.Drv.Env["text"]
	r.Progress(1, int64(len(text)))
	if text == "bad" {
		return errors.New("no such file")
	}
	r.Warn("it says " + text)
	return os.WriteFile(r.Outs["out"], []byte(text), 0o644)
}

func TestDownloads(t *testing.T) {
	for _, test := range []struct {
		summary string
		texts   []string
		want    []string // events, sorted, but for those of the build
		err     string
	}{
		{"one after the other would never end", []string{"a", "bb", "ccc"}, []string{
			"download-progress d0 1/1", "download-progress d1 1/2", "download-progress d2 1/3",
			"download-queued d0 0/1", "download-queued d1 0/2", "download-queued d2 0/3",
			"download-settled d0 1/1", "download-settled d1 2/2", "download-settled d2 3/3",
			"downloads-over  0/0", "warning d0 it says a", "warning d1 it says bb", "warning d2 it says ccc",
		}, ""},
		{"a failure", []string{"bad"}, []string{
			"download-progress d0 1/3", "download-queued d0 0/3", "download-settled d0 0/3", "downloads-over  0/0",
		}, `cannot build "d0": no such file`},
	} {
		t.Run(test.summary, func(t *testing.T) {
			w := newWorld(t, nil)
			c := &crowd{}
			c.together.Add(len(test.texts))
			w.r.Jobs = 1
			w.r.Builtins = append(w.r.Builtins, c)
			g := w.graph()
			var all []string
			for i, text := range test.texts {
				all = append(all, must(t)(g.Derive(derivation.Derivation{
					Name: fmt.Sprint("d", i), Builder: "builtin:crowd", Version: 1, Env: map[string]string{"text": text},
				})))
			}
			for range 2 { // the second time nothing is left to do
				_, err := w.r.Realise(t.Context(), g, all...)
				if test.err == "" && err != nil || test.err != "" && (err == nil || err.Error() != test.err) {
					t.Fatal(err)
				}
				if test.err != "" {
					break
				}
			}
			var got []string
			for _, e := range w.seen.list {
				switch {
				case e.Kind == realise.EventWarning:
					got = append(got, e.Kind+" "+e.Name+" "+e.Detail)
				case strings.HasPrefix(e.Kind, "download"):
					got = append(got, fmt.Sprintf("%s %s %d/%d", e.Kind, e.Name, e.Done, e.Total))
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}
