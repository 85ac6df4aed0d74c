// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/runner/spec"
)

// TestActions: what a service can be asked, where its configuration stands and
// whether it is transient come to the plan.
func TestActions(t *testing.T) {
	exec := made(t, "fork_exec", &ForkExec{Argv: []string{"/x"}}).(*Start)
	run := made(t, "run", &Run{Argv: []string{"/check", "-q"}, User: "web"}).(*Start)
	s := NewShepherdService()
	s.Provision, s.Start, s.Transient, s.Configuration = []string{"web"}, exec, true, "/osbuild/store/x-web.conf"
	s.Actions = []*Action{
		{Name: "check", Run: run, Doc: "Check the configuration."},
		{Name: "reload", Signal: "SIGHUP"},
	}
	for _, a := range s.Actions {
		if err := a.Validate(); err != nil {
			t.Errorf("%s: %v", a.Name, err)
		}
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	got := s.lower()
	want := []spec.Action{
		{Name: "check", Documentation: "Check the configuration.", Run: &run.Run[0]},
		{Name: "reload", Signal: "SIGHUP"},
	}
	if diff := cmp.Diff(want, got.Actions); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got.Transient || got.Configuration != s.Configuration {
		t.Errorf("transient %v, configuration %q", got.Transient, got.Configuration)
	}
}

func TestActionErrors(t *testing.T) {
	exec := made(t, "fork_exec", &ForkExec{Argv: []string{"/x"}}).(*Start)
	run := made(t, "run", &Run{Argv: []string{"/check"}}).(*Start)
	for _, tt := range []struct {
		summary string
		action  Action
		want    string
	}{
		{"neither program nor signal", Action{Name: "reload"}, "either run(...) or signal"},
		{"both", Action{Name: "reload", Run: run, Signal: "SIGHUP"}, "either run(...) or signal"},
		{"a program that keeps running", Action{Name: "reload", Run: exec}, "run(...) is needed"},
		{"a word of herd's own", Action{Name: "restart", Signal: "SIGHUP"}, `"restart" is what herd does for every service`},
		{"an option", Action{Name: "--json", Signal: "SIGHUP"}, "looks like an option"},
		{"two words", Action{Name: "re load", Signal: "SIGHUP"}, "is not a name"},
		{"no such signal", Action{Name: "reload", Signal: "HUP"}, `"HUP" is no signal`},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			if err := tt.action.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		summary string
		change  func(*ShepherdService)
		want    string
	}{
		{"a name twice", func(s *ShepherdService) {
			s.Actions = []*Action{{Name: "reload", Signal: "SIGHUP"}, {Name: "reload", Run: run}}
		}, `"reload" stands there twice`},
		{"a signal to nobody", func(s *ShepherdService) {
			s.Start, s.Actions = run, []*Action{{Name: "reload", Signal: "SIGHUP"}}
		}, "no process that keeps running"},
		{"a configuration that is no file", func(s *ShepherdService) { s.Configuration = "port 80" }, "is not a file"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			s := NewShepherdService()
			s.Provision, s.Start = []string{"web"}, exec
			tt.change(s)
			if err := s.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
