// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
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
// how long each took. Downloads share one line on a terminal, which goes when
// they are over; elsewhere one line sums them up.
type progress struct {
	a *app
	// now is the clock.
	now func() time.Time
	// width is that of the terminal, 0 where there is none.
	width func() int

	mu    sync.Mutex
	queue map[derivation.Key]*download
	// fetched are downloads that were done here, fetchedBytes their bytes.
	fetched      int
	fetchedBytes int64
	// failed says that one of them failed, which stops the others.
	failed       bool
	begun, drawn time.Time
}

// download is one of a call's downloads.
type download struct {
	name        string
	done, total int64
	settled     bool
}

// redraw is how often the line of the downloads changes at most.
const redraw = 100 * time.Millisecond

func newProgress(a *app) *progress {
	return &progress{a: a, now: time.Now, width: func() int { return terminalWidth(a.stderr) }, queue: map[derivation.Key]*download{}}
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
			p.fetchedBytes += p.entry(e).total
		}
		switch {
		case deb && p.a.verbose:
			return fmt.Sprintf("fetched %s, %s in %.2f s", e.Name, size(p.entry(e).total), e.Duration.Seconds())
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

func (p *progress) entry(e realise.Event) *download {
	d := p.queue[e.Key]
	if d == nil {
		d = &download{}
		p.queue[e.Key] = d
	}
	return d
}

// download notes how far a download is, and shows it now and then.
func (p *progress) download(e realise.Event) {
	if len(p.queue) == 0 {
		p.begun = p.now()
		p.drawn = p.begun
	}
	d := p.entry(e)
	d.name, d.total = e.Name, e.Total
	if e.Kind != realise.EventQueued {
		d.done = e.Done
	}
	d.settled = e.Kind == realise.EventSettled
	now := p.now()
	if p.a.quiet || now.Sub(p.drawn) < redraw {
		return
	}
	p.drawn = now
	if width := p.width(); width > 0 {
		line := p.line()
		p.a.status.show(p.a.stderr, line[:min(len(line), width-1)])
	}
}

// line says how far the downloads are.
func (p *progress) line() string {
	var settled int
	var done, total int64
	for _, d := range p.queue {
		total += d.total
		if d.settled && d.done == d.total {
			settled++
		}
		done += d.done
	}
	unit, name := unitOf(total)
	return fmt.Sprintf("fetching %d/%d packages, %.1f/%.1f %s", settled, len(p.queue), float64(done)/unit, float64(total)/unit, name)
}

// over ends the downloads of a call.
func (p *progress) over() {
	p.a.status.print(p.a.stderr, "")
	if p.fetched > 0 {
		p.a.say("fetched %s, %s in %.1f s", count(p.fetched, "package"), size(p.fetchedBytes), p.now().Sub(p.begun).Seconds())
	}
	if p.failed {
		p.sayMissing()
	}
	p.fetched, p.fetchedBytes, p.failed = 0, 0, false
	clear(p.queue)
}

// sayMissing tells what is still to be fetched when a download has failed.
func (p *progress) sayMissing() {
	const most = 5
	var names []string
	var bytes int64
	for _, d := range p.queue {
		if d.done < d.total {
			names = append(names, d.name)
			bytes += d.total
		}
	}
	if len(names) < 2 {
		return // the error is about it
	}
	slices.Sort(names)
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	p.a.say("%s still to be fetched (%s): %s", count(len(names), "package"), size(bytes), text)
}

// indexProgress shows how far the download of an index is, in the same way.
// Packages are left to the realiser, which knows how many there are.
func (a *app) indexProgress() func(what string, done, total int64) {
	width := terminalWidth(a.stderr)
	var mu sync.Mutex
	drawn := time.Now()
	return func(what string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if width == 0 || a.quiet || total <= 0 || strings.HasSuffix(what, ".deb") || time.Since(drawn) < redraw {
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
	if n < 1<<20 {
		return 1 << 10, "KiB"
	}
	return 1 << 20, "MiB"
}

func size(n int64) string {
	unit, name := unitOf(n)
	return fmt.Sprintf("%.1f %s", float64(n)/unit, name)
}
