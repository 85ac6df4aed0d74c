// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/runner/spec"
)

func TestReport(t *testing.T) {
	services := []spec.ServiceStatus{
		{
			Name: "web", Provision: []string{"web", "http"}, Requirement: []string{"networking"}, State: spec.StateRunning, PID: 42,
			Enabled: true, AutoStart: true, Documentation: "The web server.", Respawns: 2, Configuration: "/web.conf", Transient: true,
			Replacement: true, Actions: []spec.ActionDoc{{Name: "reload", Documentation: "Read it again."}, {Name: "poke"}},
		},
		{
			Name: "prepare", Provision: []string{"prepare"}, State: spec.StateFailed, Enabled: false, OneShot: true,
			Reason: "exit status 3: no luck", Log: []string{"trying", "no \x1b[31mluck"}, Next: "mend it",
		},
		{
			Name: "limits", Provision: []string{"limits"}, State: spec.StateDone, Enabled: true, OneShot: true,
			Warnings: []string{"cannot limit cpu"},
		},
		{Name: "later", State: spec.StateStarting, Enabled: true, Reason: "it waits for " + strings.Repeat("another, ", 10) + "and itself"},
		{Name: "fine", State: spec.StateDone, Enabled: true},
	}
	for _, tt := range []struct {
		summary string
		reply   spec.Reply
		one     bool
		want    string
	}{
		{"nothing", spec.Reply{}, false, ""},
		{"a table", spec.Reply{Services: services, Activation: []spec.StepStatus{
			{Phase: "user", Name: "seed", Skipped: true, Reason: "no privilege"},
			{Phase: "etc", Name: "limits", Warning: true, Reason: "nofile is 1024"},
			{Phase: "user", Name: "broken", Reason: "exit status 1"},
		}}, false, `
activation: seed skipped: no privilege
activation: limits done with a warning: nofile is 1024
activation: broken failed: exit status 1
SERVICE  STATE                    PID  REASON
fine     done                     -    
later    starting                 -    it waits for another, another, another, another, another, another, another, ano…
limits   done                     -    warning: cannot limit cpu
prepare  failed, disabled         -    exit status 3: no luck
web      running, to be replaced  42   respawned 2 times

later (starting)
  reason:  it waits for another, another, another, another, another, another, another, another, another, another, and itself

limits (done)
  warning: cannot limit cpu

prepare (failed, disabled)
  reason:  exit status 3: no luck
  | trying
  | no \uFFFD[31mluck
  next:    mend it
`},
		{"one service", spec.Reply{Services: services[:1]}, true, `
service:      web
about:        The web server.
state:        running
process:      42
respawns:     2
provides:     web http
requires:     networking
enabled:      yes
at boot:      yes
transient:    yes: it is forgotten when it stops
replaced:     when it stops, by the definition of the present system
configured:   by /web.conf
action:       reload  Read it again.
action:       poke
`},
		{"one that failed", spec.Reply{Services: services[1:2]}, true, `
service:      prepare
state:        failed
reason:       exit status 3: no luck
log:          trying
log:          no \uFFFD[31mluck
next:         mend it
provides:     prepare
enabled:      no
at boot:      no
one-shot:     yes
`},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			var out strings.Builder
			before := slices.Clone(tt.reply.Services)
			report(&out, tt.reply, tt.one)
			want := strings.ReplaceAll(strings.TrimPrefix(tt.want, "\n"), `\uFFFD`, "\uFFFD")
			if diff := cmp.Diff(want, out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.reply.Services); diff != "" {
				t.Errorf("the reply changed:\n%s", diff)
			}
		})
	}
}

func TestReportUpgrade(t *testing.T) {
	var out strings.Builder
	reportUpgrade(&out, spec.Reply{
		Upgrade: &spec.Upgrade{
			Unloaded: []string{"old"}, Replaced: []string{"a", "b"}, Restart: []string{"web"}, Started: []string{"new"},
		},
		Services: []spec.ServiceStatus{{Name: "new", State: spec.StateFailed, Enabled: true, Reason: "no luck", Next: "mend it"}},
	})
	want := `services unloaded: old
services replaced: a, b
services started: new
services that run by their old definition: web
  ` + "`herd restart web`" + ` gives it the new one
new (failed)
  reason:  no luck
  next:    mend it
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseHerd(t *testing.T) {
	for _, tt := range []struct {
		line string
		want herdCall
	}{
		{"status", herdCall{verb: "status", req: spec.Request{Op: spec.OpStatus}}},
		{"status web --json", herdCall{verb: "status", json: true, req: spec.Request{Op: spec.OpStatus, Service: "web"}}},
		{"--json logs web", herdCall{verb: "logs", json: true, req: spec.Request{Op: spec.OpLogs, Service: "web"}}},
		{"doc web reload", herdCall{verb: "doc", word: "reload", req: spec.Request{Op: spec.OpStatus, Service: "web"}}},
		{"reload web", herdCall{verb: "reload", req: spec.Request{Op: spec.OpAction, Service: "web", Action: "reload", Args: []string{}}}},
		// What stands behind the service of an action is the action's.
		{"--json dump web --json x", herdCall{verb: "dump", json: true, req: spec.Request{
			Op: spec.OpAction, Service: "web", Action: "dump", Args: []string{"--json", "x"},
		}}},
	} {
		t.Run(tt.line, func(t *testing.T) {
			got, err := parseHerd(strings.Fields(tt.line))
			tt.want.req.ID = 1
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(herdCall{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHarmlessLines(t *testing.T) {
	got := harmlessLines("plain\ttext\r\n\x1b[2Jover\rthere \u009b31m\n\n")
	if want := "plain\ttext\n\uFFFD[2Jover\uFFFDthere \uFFFD31m\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
