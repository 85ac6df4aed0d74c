// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// TestLimitsFile holds that entries of several services make one file, which
// an activation step puts into /etc.
func TestLimitsFile(t *testing.T) {
	env := newEnv()
	entry := func(domain, kind, item string, value any) *PAMLimitsEntry {
		return &PAMLimitsEntry{Domain: domain, Type: kind, Item: item, Value: value}
	}
	list := []*service.Service{
		given(t, PAMLimits, []any{entry("*", "both", "nofile", 100000)}),
		contribute(PAMLimits, entry("@dev", "hard", "core", "unlimited"), entry("root", "soft", "nice", -5)),
	}
	plan, err := ActivationPlan(fold(t, env, Activation, append(list, &service.Service{Type: Etc})...))
	if err != nil {
		t.Fatal(err)
	}
	file, err := env.Graph.Text("limits.conf", "*\t-\tnofile\t100000\n@dev\thard\tcore\tunlimited\nroot\tsoft\tnice\t-5\n", false, derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	var got *spec.Limits
	for _, s := range plan.Steps {
		if s.Limits != nil && s.Phase == spec.PhaseEtc {
			got = s.Limits
		}
		if s.Etc != nil && (len(s.Etc.Copies) > 0 || len(s.Etc.Yields) > 0) {
			t.Errorf("the etc step has the file too: %+v", s.Etc)
		}
	}
	if diff := cmp.Diff(&spec.Limits{From: file, To: "/etc/security/limits.conf"}, got); diff != "" {
		t.Errorf("the step (-want +got):\n%s", diff)
	}

	// The name is taken, for a file and for what would be a folder of it.
	for _, name := range []string{"security/limits.conf", "security", "security/limits.conf/x"} {
		all, err := service.InstantiateMissing(append(list, contribute(Etc, &EtcEntry{Name: name, File: "/x"})))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := service.Fold(newEnv(), all, Etc); !errors.Is(err, ErrDuplicateEtc) {
			t.Errorf("an entry %s beside it: %v", name, err)
		}
	}
}

// TestLimitedPrograms is the list of PAM services whose sessions get limits.
func TestLimitedPrograms(t *testing.T) {
	limits := contribute(PAMLimits, &PAMLimitsEntry{Domain: "*", Type: "both", Item: "nofile", Value: 1})
	for name, want := range map[string]bool{
		"login": true, "greetd": true, "su": true, "slim": true, "gdm-password": true, "sddm": true,
		"lightdm": true, "sudo": true, "sshd": true,
		"other": false, "cron": false, "su-l": false, "passwd": false,
	} {
		declared := &PAMService{Name: name, Session: []*PAMEntry{{Control: "required", Module: "pam_unix.so"}}}
		s := fold(t, newEnv(), PAM, contribute(PAM, declared), limits).([]*PAMService)[0]
		if got := strings.HasPrefix(s.text(), "session required pam_limits.so conf=/etc/security/limits.conf\n"); got != want {
			t.Errorf("%s: limits come first: %v, want %v", name, got, want)
		}
	}
}
