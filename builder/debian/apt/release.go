// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"osbuild/builder/debian/control"
)

// release is what a release file says.
type release struct {
	origin, suite, codename   string
	date, validUntil          time.Time // zero: not said
	architectures, components []string
	byHash                    bool
	// allApart says that packages for all architectures have an index of their
	// own, and do not stand in each architecture's too.
	allApart bool
	// rank is how willingly apt takes packages of the suite: it takes a higher
	// version of a lower rank only where it is told to.
	rank  int
	files map[string]sum
}

// The ranks of suites: those like backports and experimental stand apart.
const (
	rankAsked = iota
	rankApart
	rankUsual
)

// sum is what a file has to be.
type sum struct {
	sha256 string // lower-case hexadecimal
	size   int64
}

// parseRelease reads a release file. Only SHA256 sums count: files that have
// none are as good as absent.
func parseRelease(text []byte) (*release, error) {
	var stanzas []control.Stanza
	err := control.ReadStanzas(bytes.NewReader(text), func(s control.Stanza) error {
		stanzas = append(stanzas, s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(stanzas) != 1 {
		return nil, fmt.Errorf("it has %d stanzas, not one", len(stanzas))
	}
	s := stanzas[0]
	r := &release{
		origin: s.Get("Origin"), suite: s.Get("Suite"), codename: s.Get("Codename"),
		architectures: strings.Fields(s.Get("Architectures")),
		components:    strings.Fields(s.Get("Components")),
		allApart:      s.Get("No-Support-for-Architecture-all") != "Packages",
		files:         map[string]sum{},
	}
	r.byHash, _ = parseBool(s.Get("Acquire-By-Hash"))
	r.rank = rankUsual
	if apart, _ := parseBool(s.Get("NotAutomatic")); apart {
		r.rank = rankAsked
		if upgrades, _ := parseBool(s.Get("ButAutomaticUpgrades")); upgrades {
			r.rank = rankApart
		}
	}
	r.allApart = r.allApart && slices.Contains(r.architectures, "all")
	if r.date, err = parseDate(s.Get("Date")); err != nil {
		return nil, fmt.Errorf("its Date: %w", err)
	}
	if until := s.Get("Valid-Until"); until != "" {
		if r.validUntil, err = parseDate(until); err != nil {
			return nil, fmt.Errorf("its Valid-Until: %w", err)
		}
	}
	for _, line := range s.Lines("SHA256") {
		words := strings.Fields(line)
		if len(words) != 3 {
			return nil, fmt.Errorf("%.200q is not a line of SHA256", line)
		}
		raw, err := hex.DecodeString(words[0])
		size, sizeErr := strconv.ParseInt(words[1], 10, 64)
		if err != nil || len(raw) != 32 || sizeErr != nil || size < 0 {
			return nil, fmt.Errorf("%.200q is not a line of SHA256", line)
		}
		f := sum{sha256: hex.EncodeToString(raw), size: size}
		if other, twice := r.files[words[2]]; twice && other != f {
			return nil, fmt.Errorf("%.200q has two sums", words[2])
		}
		r.files[words[2]] = f
	}
	return r, nil
}

// parseDate reads a date of a release file, which is in UTC.
func parseDate(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, errors.New("there is none")
	}
	for _, form := range []string{"Mon, _2 Jan 2006 15:04:05 -0700", "Mon, _2 Jan 2006 15:04:05 MST"} {
		t, err := time.Parse(form, s)
		if err != nil {
			continue
		}
		// An abbreviation that is not known would count as UTC.
		if zone, offset := t.Zone(); offset == 0 && zone != "" && zone != "UTC" && zone != "GMT" {
			break
		}
		return t.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%.60q is not a date in UTC", s)
}

// checkName refuses the release file of another suite, which an attacker may
// have put in the place of this one: its signature is good.
func (r *release) checkName(a *archive) error {
	if a.flat() || r.suite == "" && r.codename == "" {
		return nil
	}
	want := a.suite
	// Debian's security archive was called like bullseye/updates once, and its
	// release files are called without that, or by the newer name.
	bare := strings.TrimSuffix(want, "/updates")
	for _, is := range []string{r.suite, r.codename} {
		if is != "" && (is == want || want != bare && (is == bare || is == bare+"-security")) {
			return nil
		}
	}
	return fmt.Errorf("it is the release file of another suite: wanted %q, got Suite %q and Codename %q (name one of these in the source at %s)", want, r.suite, r.codename, a.where)
}

// checkTimes refuses a release file that is too old or from the future. It
// returns a note when the configuration alone makes it good.
func (h *Host) checkTimes(r *release, a *archive, now time.Time) (note string, err error) {
	o := a.options
	until := r.validUntil
	limit := func(own time.Duration, option string) time.Duration {
		if own > 0 {
			return own
		}
		n, _ := h.conf.number(option)
		return time.Duration(n) * time.Second
	}
	if longest := limit(o.untilMax, "Acquire::Max-ValidTime"); longest > 0 {
		if end := r.date.Add(longest); until.IsZero() || end.Before(until) {
			until = end
		}
	}
	if least := limit(o.untilMin, "Acquire::Min-ValidTime"); least > 0 && !until.IsZero() {
		if end := r.date.Add(least); end.After(until) {
			until = end
		}
	}
	if !until.IsZero() && now.After(until) {
		if said(o.checkUntil, h.conf.flag("Acquire::Check-Valid-Until", true)) {
			return "", fmt.Errorf("%w: it is of %s and was good until %s (the archive is not kept up to date, or somebody shows an old state of it, or the clock is wrong)", ErrExpired, stamp(r.date), stamp(until))
		}
		note = fmt.Sprintf("%s was good until %s", a.suite, stamp(until))
	}
	future := 10 * time.Second
	if o.dateFuture > 0 {
		future = o.dateFuture
	} else if n, ok := h.conf.number("Acquire::Max-FutureTime"); ok {
		future = time.Duration(n) * time.Second
	}
	if r.date.After(now.Add(future)) && said(o.checkDate, h.conf.flag("Acquire::Check-Date", true)) {
		return "", fmt.Errorf("it is of %s, which is in the future (is the clock right?)", stamp(r.date))
	}
	return note, nil
}

// said is what a source says about itself, or else the configuration.
func said(own *bool, otherwise bool) bool {
	if own != nil {
		return *own
	}
	return otherwise
}
