// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"osbuild/builder/debian/recipe"
	"osbuild/builder/derivation"
	"osbuild/builder/realise"
)

// progress prints what the realiser does: what takes time, and what the user
// should know; with -v also the small things that osbuild makes by itself, and
// how long each took. Downloads of packages share a meter.
type progress struct {
	a     *app
	meter *meter

	mu sync.Mutex
	// totals are the sizes of downloads.
	totals map[derivation.Key]int64
	// left are those that have not come yet.
	left map[derivation.Key]string
	// fetched are downloads that were done here, fetchedBytes their bytes.
	fetched      int
	fetchedBytes int64
	// failed says that one of them failed, which stops the others.
	failed bool
}

func newProgress(a *app) *progress {
	return &progress{a: a, meter: newMeter(a, "fetching", "fetched", "package", never), totals: map[derivation.Key]int64{}, left: map[derivation.Key]string{}}
}

// terminalWidth is 0 where w is no terminal that can draw a line anew.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width == 0 {
		return 80 // some terminals do not know
	}
	return width
}

// Event implements realise.Observer.
func (p *progress) Event(e realise.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case realise.EventQueued, realise.EventProgress, realise.EventSettled:
		p.download(e)
	case realise.EventDownloaded:
		p.over()
	default:
		if text := p.text(e); text != "" {
			p.a.say("%s", text)
		}
	}
}

// text is what is said of an event, "" for nothing.
func (p *progress) text(e realise.Event) string {
	name, small := strings.CutPrefix(e.Builder, derivation.BuiltinPrefix)
	small = small && name != derivation.BuiltinFetch
	deb := e.Builder == derivation.BuiltinPrefix+recipe.BuiltinDeb
	switch e.Kind {
	case realise.EventStart:
		if !small || p.a.verbose && !deb {
			return "building " + e.Name
		}
	case realise.EventDone:
		if deb {
			p.fetched++
			p.fetchedBytes += p.totals[e.Key]
		}
		switch {
		case deb && p.a.verbose:
			return fmt.Sprintf("fetched %s, %s in %.2f s", e.Name, size(p.totals[e.Key]), e.Duration.Seconds())
		case p.a.verbose:
			return fmt.Sprintf("built %s in %.2f s", e.Name, e.Duration.Seconds())
		}
	case realise.EventFailed:
		p.failed = p.failed || deb
	case realise.EventWaiting:
		return "waiting for another build of " + e.Name
	case realise.EventFetch:
		return fmt.Sprintf("fetched %s from %s", e.Name, e.Builder)
	case realise.EventDiffers, realise.EventUnavailable, realise.EventWarning:
		return fmt.Sprintf("warning: %s: %s", e.Name, e.Detail)
	}
	return ""
}

// download notes how far a download is.
func (p *progress) download(e realise.Event) {
	now := part{name: e.Name, done: e.Done, total: e.Total, settled: e.Kind == realise.EventSettled}
	if p.totals[e.Key] = e.Total; now.done == now.total {
		delete(p.left, e.Key)
	} else {
		p.left[e.Key] = e.Name
	}
	p.meter.update(string(e.Key), now)
}

// over ends the downloads of a call.
func (p *progress) over() {
	took := p.meter.end()
	if p.fetched > 0 {
		p.a.say("fetched %s, %s in %.1f s", count(p.fetched, "package"), size(p.fetchedBytes), took.Seconds())
	}
	if p.failed {
		p.sayMissing()
	}
	p.fetched, p.fetchedBytes, p.failed = 0, 0, false
	clear(p.totals)
	clear(p.left)
}

// sayMissing tells what is still to be fetched when a download has failed.
func (p *progress) sayMissing() {
	var bytes int64
	for key := range p.left {
		bytes += p.totals[key]
	}
	if len(p.left) < 2 {
		return // the error is about it
	}
	names := slices.Sorted(maps.Values(p.left))
	p.a.say("%s still to be fetched (%s): %s", count(len(names), "package"), size(bytes), some(names))
}

// indexProgress shows how far the download of an index is, in the same way.
// Packages are left to the realiser, which knows how many there are.
func (a *app) indexProgress() func(what string, done, total int64) {
	width := a.lineWidth()
	var mu sync.Mutex
	drawn := time.Now()
	return func(what string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if width == 0 || total <= 0 || strings.HasSuffix(what, ".deb") || time.Since(drawn) < redraw {
			return
		}
		drawn = time.Now()
		unit, name := unitOf(total)
		line := fmt.Sprintf("fetching %s, %.1f/%.1f %s", what, float64(done)/unit, float64(total)/unit, name)
		a.status.show(a.stderr, line[:min(len(line), width-1)])
	}
}

// status is a line at the end of a terminal that goes when something else is
// printed.
type status struct {
	mu    sync.Mutex
	shown bool
}

func (s *status) show(w io.Writer, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = true
	fmt.Fprintf(w, "\r%s\x1b[K", line)
}

// print prints text, "" for nothing, where the line stood.
func (s *status) print(w io.Writer, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		s.shown = false
		text = "\r\x1b[K" + text
	}
	fmt.Fprint(w, text)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func unitOf(n int64) (float64, string) {
	switch {
	case n < 1<<20:
		return 1 << 10, "KiB"
	case n < 10<<30:
		return 1 << 20, "MiB"
	}
	return 1 << 30, "GiB"
}

func size(n int64) string {
	unit, name := unitOf(n)
	return fmt.Sprintf("%.1f %s", float64(n)/unit, name)
}
