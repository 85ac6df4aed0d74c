// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"osbuild/builder/debian/control"
)

// pam makes the files /etc/pam.d/common-*, which other files of pam.d include,
// of the profiles that packages bring. Those that are off by default stay off.
var pam = class{
	name:     "pam",
	commands: map[string]command{"pam-auth-update": func(*call) status { return success }},
	finish: func(r *root) error {
		profiles, err := r.pamProfiles()
		if err != nil {
			return err
		}
		for _, s := range pamStacks {
			if err := r.pamStack(s, profiles); err != nil {
				return err
			}
		}
		return nil
	},
}

// pamStack is one of the files: its name, the kind of its lines, and the word
// by which its template speaks of it.
type pamStack struct{ file, kind, word string }

var pamStacks = []pamStack{
	{"common-account", "account", "account"},
	{"common-auth", "auth", "auth"},
	{"common-password", "password", "password"},
	{"common-session", "session", "session"},
	{"common-session-noninteractive", "session", "session_nonint"},
}

// pamProfiles are those that are on by default, the highest priority first.
func (r *root) pamProfiles() ([]control.Stanza, error) {
	dir, _, err := r.find("/usr/share/pam-configs", true)
	if err != nil {
		return nil, nil
	}
	var out []control.Stanza
	for _, name := range dir.names() {
		if dir.kids[name].kind != file {
			continue
		}
		text, err := dir.kids[name].bytes()
		if err != nil {
			return nil, err
		}
		s, err := control.ParseControl([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("cannot read the profile %s: %w", name, err)
		}
		if s.Get("Default") == "yes" {
			out = append(out, s)
		}
	}
	priority := func(s control.Stanza) int {
		n, err := strconv.Atoi(s.Get("Priority"))
		if err != nil {
			return 0
		}
		return n
	}
	slices.SortStableFunc(out, func(a, b control.Stanza) int {
		return cmp.Or(priority(b)-priority(a), strings.Compare(a.Get("Name"), b.Get("Name")))
	})
	return out, nil
}

// pamStack fills the template of a file. A file that is there already is the
// work of a package that knows better.
func (r *root) pamStack(s pamStack, profiles []control.Stanza) error {
	n, _, err := r.find("/usr/share/pam/"+s.file, true)
	if err != nil || r.has("/etc/pam.d/"+s.file) {
		return nil
	}
	template, err := n.bytes()
	if err != nil {
		return err
	}
	var out strings.Builder
	for _, line := range lines(template) {
		var block []string
		switch line {
		case "$" + s.word + "_primary":
			block = s.block("Primary", profiles)
			if len(block) == 0 {
				// Jumps over what denies.
				block = []string{"[default=1]\t\t\tpam_permit.so"}
			}
		case "$" + s.word + "_additional":
			block = s.block("Additional", profiles)
		default:
			out.WriteString(line + "\n")
			continue
		}
		for i, rule := range block {
			rule = strings.ReplaceAll(rule, "=end", "="+strconv.Itoa(len(block)-i))
			out.WriteString(s.kind + "\t" + rule + "\n")
		}
	}
	return r.create("/etc/pam.d/"+s.file, out.String())
}

// block are the rules of one kind of all profiles. The first profile may say
// other rules than it does behind others.
func (s pamStack) block(kind string, profiles []control.Stanza) []string {
	var out []string
	field := strings.ToUpper(s.kind[:1]) + s.kind[1:]
	for _, p := range profiles {
		if p.Get(field+"-Type") != kind || s.word == "session_nonint" && p.Get(field+"-Interactive-Only") == "yes" {
			continue
		}
		rules := p.Lines(field)
		if first := p.Lines(field + "-Initial"); len(out) == 0 && len(first) > 0 {
			rules = first
		}
		for _, rule := range rules {
			if rule = strings.TrimSpace(rule); rule != "" {
				out = append(out, rule)
			}
		}
	}
	return out
}
