// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
)

// progress prints what the realiser does: what takes time, and what the user
// should know; with -v also the small things that osbuild makes by itself, and
// how long each took.
type progress struct{ a *app }

// Event implements realise.Observer.
func (p progress) Event(e realise.Event) {
	small := strings.HasPrefix(e.Builder, derivation.BuiltinPrefix) && e.Builder != derivation.BuiltinPrefix+derivation.BuiltinFetch
	switch e.Kind {
	case realise.EventStart:
		if !small || p.a.verbose {
			p.a.say("building %s", e.Name)
		}
	case realise.EventDone:
		if p.a.verbose {
			p.a.say("built %s in %.2f s", e.Name, e.Duration.Seconds())
		}
	case realise.EventWaiting:
		p.a.say("waiting for another build of %s", e.Name)
	case realise.EventFetch:
		p.a.say("fetched %s from %s", e.Name, e.Builder)
	case realise.EventDiffers, realise.EventUnavailable:
		p.a.say("warning: %s: %s", e.Name, e.Detail)
	}
}
