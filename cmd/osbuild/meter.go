// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"osbuild/store/cache"
)

// meter shows how far something is that has many parts of known sizes: on a
// terminal in one line, which goes when it is over; elsewhere in a line now
// and then, so that a log tells that it goes on.
type meter struct {
	a *app
	// doing and did name what is done with the parts, and what is one. Where
	// did is empty, its owner says that it is done.
	doing, did, what string
	// loud says from how many bytes on it is worth a line that it begins, and
	// one that it is over, where there is no terminal.
	loud int64
	// now is the clock, and width that of the terminal, 0 where there is
	// none.
	now   func() time.Time
	width func() int
	// every calls a function again and again until stop is called, which
	// waits for it; nil calls nothing.
	every func(tick func()) (stop func())

	mu    sync.Mutex
	parts map[string]*part
	sum   part // of all
	// ended counts those that have ended, and whole those of them that came
	// whole.
	ended, whole int
	// begun is when the first part was known, drawn when the line was last
	// drawn, and told when a line was last printed elsewhere.
	begun, drawn, told time.Time
	samples            []sample
	begins             bool // and that was told
	// open says that there is something to tell of, and step, if it is not
	// empty, what that is instead of the parts.
	open bool
	step string
	stop func()
}

// part is one of the parts.
type part struct {
	name        string
	done, total int64
	settled     bool
	failed      bool // it has ended, and not because it was broken off
}

func (p part) whole() bool { return p.settled && !p.failed && p.done == p.total }

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sample is how much was done at a moment.
type sample struct {
	at   time.Time
	done int64
}

const (
	// redraw is how often a line changes at most, and heartbeat how often it
	// does where nothing moves.
	redraw    = 100 * time.Millisecond
	heartbeat = time.Second
	// report is how often a line is printed where there is no terminal.
	report = 10 * time.Second
	// rateFrom and rateOver bound the time over which a rate is told: not of
	// too short a one, and not of what was long ago.
	rateFrom = 2 * time.Second
	rateOver = 15 * time.Second
)

// never is how loud a meter is whose owner tells of beginning and end.
const never = math.MaxInt64

func newMeter(a *app, doing, did, what string, loud int64) *meter {
	return &meter{
		a: a, doing: doing, did: did, what: what, loud: loud,
		now: time.Now, width: a.lineWidth, every: everyHeartbeat, parts: map[string]*part{},
	}
}

// lineWidth is that of the terminal in which a line may be drawn, or 0.
func (a *app) lineWidth() int {
	if a.quiet || a.json {
		return 0
	}
	return terminalWidth(a.stderr)
}

func everyHeartbeat(tick func()) func() {
	end, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		t := time.NewTicker(heartbeat)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				tick()
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-over
	}
}

// observe is told of transfers.
func (m *meter) observe(t cache.Transfer) {
	m.update(string(t.Path), part{t.Path.Name(), t.Done, t.Total, t.Settled, t.Err != nil && !errors.Is(t.Err, context.Canceled)})
}

// update notes how far a part is.
func (m *meter) update(key string, now part) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.parts[key]
	if old == nil {
		if len(m.parts) == 0 {
			m.begin()
		}
		old = &part{}
		m.parts[key] = old
	} else if now.done == 0 && !now.settled {
		return // told once more that it will come
	}
	m.sum.done += now.done - old.done
	m.sum.total += now.total - old.total
	m.ended += one(now.settled) - one(old.settled)
	m.whole += one(now.whole()) - one(old.whole())
	*old = now
	if now.done > 0 || now.settled {
		m.announce()
	}
	m.show(redraw)
}

// steps shows how far what comes before or after the parts is.
func (m *meter) steps(doing string, done, all int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.open {
		m.begin()
	}
	m.step = fmt.Sprintf("%s %d/%d %ss", doing, done, all, m.what)
	m.show(redraw)
	if done == all {
		m.step = ""
	}
}

// announce says that it begins: all parts of one call are known by now.
func (m *meter) announce() {
	if !m.begins && m.sum.total >= m.loud && m.width() == 0 {
		m.begins = true
		m.a.say("%s %s, %s", m.doing, count(len(m.parts), m.what), size(m.sum.total))
	}
}

func (m *meter) begin() {
	m.begun, m.begins = m.now(), false
	m.drawn, m.told = m.begun, m.begun
	m.sum, m.ended, m.whole, m.samples = part{}, 0, 0, []sample{{m.begun, 0}}
	m.open = true
	if m.every != nil && m.stop == nil {
		m.stop = m.every(func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.show(heartbeat)
		})
	}
}

// show draws the line, where it has stood for a while.
func (m *meter) show(after time.Duration) {
	now := m.now()
	if len(m.parts) == 0 && m.step == "" || now.Sub(m.drawn) < after {
		return
	}
	m.drawn = now
	m.samples = append(m.samples, sample{now, m.sum.done})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= rateOver {
		m.samples = m.samples[1:]
	}
	if width := m.width(); width > 0 {
		m.a.status.show(m.a.stderr, fitLine(m.line(), width-1))
	} else if now.Sub(m.told) >= report {
		m.told = now
		m.a.say("%s", strings.Join(m.line(), ", "))
	}
}

// line says how far it is, in pieces of which the first ones matter most.
func (m *meter) line() []string {
	if m.step != "" {
		return []string{m.step}
	}
	unit, name := unitOf(m.sum.total)
	pieces := []string{
		fmt.Sprintf("%s %d/%d %ss", m.doing, m.whole, len(m.parts), m.what),
		fmt.Sprintf("%.1f/%.1f %s", float64(m.sum.done)/unit, float64(m.sum.total)/unit, name),
	}
	rate, ok := m.rate()
	if !ok {
		return pieces
	}
	pieces = append(pieces, size(int64(rate))+"/s")
	if rest := float64(m.sum.total - m.sum.done); rest > 0 && rate > 0 && rest/rate < 100*3600 {
		pieces = append(pieces, span(time.Duration(rest/rate*float64(time.Second)))+" left")
	}
	return pieces
}

// rate is how many bytes a second were done lately; it is not known at first,
// nor where a part began anew.
func (m *meter) rate() (float64, bool) {
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	passed := last.at.Sub(first.at)
	if passed < rateFrom || last.done < first.done {
		return 0, false
	}
	return float64(last.done-first.done) / passed.Seconds(), true
}

// fitLine joins as many pieces as fit, and cuts the first one where not even
// that does.
func fitLine(pieces []string, width int) string {
	for n := len(pieces); n > 1; n-- {
		if line := strings.Join(pieces[:n], ", "); len(line) <= width {
			return line
		}
	}
	return pieces[0][:min(len(pieces[0]), max(width, 0))]
}

// span writes how long something takes, roughly.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(1, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// observeAll is observe for many calls, each of which tells of all its parts
// before any of them moves: where all that are known have ended, it is over.
func (m *meter) observeAll(t cache.Transfer) {
	m.observe(t)
	m.endIf(func() bool { return m.ended == len(m.parts) })
}

// end takes the line away, tells which parts failed, and forgets them all. It
// gives how long it took.
func (m *meter) end() time.Duration {
	return m.endIf(func() bool { return true })
}

func (m *meter) endIf(over func() bool) (took time.Duration) {
	m.mu.Lock()
	if !m.open || !over() {
		m.mu.Unlock()
		return 0
	}
	m.a.status.print(m.a.stderr, "")
	took = m.now().Sub(m.begun)
	m.conclude(took)
	clear(m.parts)
	m.open, m.step = false, ""
	stop := m.stop
	m.stop = nil
	m.mu.Unlock()
	if stop != nil {
		stop() // it may wait for the lock, and then finds nothing to draw
	}
	return took
}

// conclude says how it ended, where that is worth a line.
func (m *meter) conclude(took time.Duration) {
	var bytes int64
	var failed []string
	for _, p := range m.parts {
		if p.failed {
			failed = append(failed, p.name)
		}
		if p.whole() {
			bytes += p.total
		}
	}
	switch {
	case len(failed) > 0:
		slices.Sort(failed)
		m.a.say("%s: %d of %s done; failed: %s", m.doing, m.whole, count(len(m.parts), m.what), some(failed))
	case m.did != "" && len(m.parts) > 0 && m.whole == len(m.parts) && bytes >= m.loud:
		m.a.say("%s %s, %s in %.1f s", m.did, count(m.whole, m.what), size(bytes), took.Seconds())
	}
}

// some lists the first of many names.
func some(names []string) string {
	const most = 5
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
