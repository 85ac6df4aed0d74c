// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"context"
	"regexp"
	"testing"
)

func TestSearch(t *testing.T) {
	tests := []struct {
		summary  string
		patterns []string
		first    string   // of what is found
		also     []string // found besides
		not      []string
	}{
		{"by name", []string{"shepherd_root"}, "shepherd_root", nil, []string{"plain_file"}},
		{"by part of a name", []string{"podman"}, "rootless_podman", []string{"rootless_podman_configuration"}, []string{"account"}},
		{"by the name of a service of PID 1", []string{"cgroups2-limits"}, "rootless_podman", nil, []string{"rootless_podman_configuration"}},
		{"by the description", []string{"name server"}, "hosts", nil, nil},
		{"by what it extends", []string{"etc", "cgroups2"}, "rootless_podman", nil, []string{"etc"}},
		{"by a field", []string{"create_home"}, "user_account", nil, []string{"user_group"}},
		{"by the module", []string{"containers.star"}, "rootless_podman", []string{"rootless_podman_configuration"}, []string{"shepherd_root"}},
		{"all words match", []string{"cache", "host"}, "nscd", nil, []string{"hosts", "host_name"}},
		{"words are regular expressions", []string{"^(hosts|udev)$"}, "udev", []string{"hosts"}, []string{"host", "host_name"}},
		{"a record", []string{"user_account"}, "user_account", nil, nil},
		{"a function", []string{"plain_file"}, "plain_file", nil, nil},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			var patterns []*regexp.Regexp
			for _, p := range test.patterns {
				patterns = append(patterns, regexp.MustCompile(p))
			}
			hits, err := Search(context.Background(), patterns)
			if err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			for i, h := range hits {
				names[h.Name] = true
				if h.Relevance < 1 || i > 0 && h.Relevance > hits[i-1].Relevance {
					t.Errorf("%s with relevance %d stands at place %d", h.Name, h.Relevance, i+1)
				}
			}
			if len(hits) == 0 || hits[0].Name != test.first {
				t.Fatalf("found %v, want %s first", hits, test.first)
			}
			for _, name := range test.also {
				if !names[name] {
					t.Errorf("did not find %s", name)
				}
			}
			for _, name := range test.not {
				if names[name] {
					t.Errorf("found %s", name)
				}
			}
		})
	}
}

func TestSearchNothing(t *testing.T) {
	patterns := []*regexp.Regexp{regexp.MustCompile("podman"), regexp.MustCompile("zzzz")}
	if hits, err := Search(context.Background(), patterns); err != nil || len(hits) != 0 {
		t.Errorf("found %v, %v", hits, err)
	}
}

// What is found is shown in full.
func TestHit(t *testing.T) {
	hits, err := Search(context.Background(), []*regexp.Regexp{regexp.MustCompile("^rootless_podman$")})
	if err != nil || len(hits) != 1 {
		t.Fatalf("found %v, %v", hits, err)
	}
	want := regexp.MustCompile(`^name: rootless_podman
kind: service type
module: @osbuild//containers.star
description: .*
extends: (.*\n  )*.*shepherd_root(.*\n  )*.*
services: (.*\n  )*.*cgroups2-limits(.*\n  )*.*
relevance: [0-9]+
$`)
	if got := hits[0].String(); !want.MatchString(got) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMeant(t *testing.T) {
	for word, want := range map[string]string{
		"podmn":           `; did you mean "podman"?`,
		"sheperd_root":    `; did you mean "shepherd_root"?`,
		"cgroups2-limit":  `; did you mean "cgroups2-limits"?`,
		"something-quite": "",
	} {
		if got := Meant(context.Background(), word); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}
