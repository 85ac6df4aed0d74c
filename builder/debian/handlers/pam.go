// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
)

const (
	pamConfigDir   = "/etc/pam.d"
	pamProfileDir  = "/usr/share/pam-configs"
	pamTemplateDir = "/usr/share/pam"
	pamStateDir    = "/var/lib/pam"
)

// pam makes the files /etc/pam.d/common-* that pam-auth-update(8) makes on a
// new system: the templates of libpam-runtime, filled with the profiles of
// packages that are on by default. Nobody is asked anything.
var pam = class{
	name: "pam", commands: map[string]command{"pam-auth-update": pamAuthUpdate},
	quiet: true, finish: finishPAM,
}

// pamAuthUpdate has nothing to do before all packages are read, and a new
// system has no profile to remove. Switching profiles that are not what they
// are by default is left.
func pamAuthUpdate(c *call) script.Status {
	if slices.Contains(c.Args, "--enable") || slices.Contains(c.Args, "--disable") {
		return script.Unsure
	}
	return script.Success
}

// pamStack is one of the files: the type of its lines, the prefix of the
// fields of profiles and of the variables of templates.
type pamStack struct{ file, kind, field, variable string }

var pamStacks = []pamStack{
	{"auth", "auth", "Auth", "auth"},
	{"account", "account", "Account", "account"},
	{"password", "password", "Password", "password"},
	{"session", "session", "Session", "session"},
	{"session-noninteractive", "session", "Session", "session_nonint"},
}

// jumpRefusal is the line of a first block in which no profile has any.
const jumpRefusal = "[default=1]\t\t\tpam_permit.so\n"

func finishPAM(r *root) error {
	all, err := r.pamProfiles()
	if err != nil {
		return err
	}
	chosen := choosePAM(all)
	made := false
	for _, s := range pamStacks {
		template, _, err := r.Find(pamTemplateDir+"/common-"+s.file, true)
		at := pamConfigDir + "/common-" + s.file
		if err != nil || template.Kind != rootfs.File || r.Has(at) {
			continue
		}
		text, err := template.Bytes()
		if err != nil {
			return err
		}
		config, state := s.fill(text, chosen)
		if err := r.Create(at, config); err != nil {
			return err
		}
		if err := r.Create(path.Join(pamStateDir, s.file), state); err != nil {
			return err
		}
		made = true
	}
	if !made {
		return nil
	}
	seen := ""
	for _, p := range all {
		seen += p.name + "\n"
	}
	return r.Create(pamStateDir+"/seen", seen)
}

// pamProfile is a file of pamProfileDir.
type pamProfile struct {
	name     string
	priority int
	fields   map[string]string
}

// pamProfiles are all, in the order of their lines: the highest priority
// first, and of equal ones the last name.
func (r *root) pamProfiles() ([]pamProfile, error) {
	dir, _, err := r.Find(pamProfileDir, true)
	if err != nil {
		return nil, nil
	}
	var all []pamProfile
	for _, name := range dir.Names() {
		n, _, err := r.Find(pamProfileDir+"/"+name, true)
		if err != nil || n.Kind != rootfs.File || strings.HasSuffix(name, "~") {
			continue
		}
		text, err := n.Bytes()
		if err != nil {
			return nil, err
		}
		all = append(all, parsePAM(name, text))
	}
	slices.SortFunc(all, func(a, b pamProfile) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), strings.Compare(b.name, a.name))
	})
	return all, nil
}

// parsePAM reads a profile: fields, whose further lines are indented. Of a
// field that is there twice the last one holds.
func parsePAM(name, text string) pamProfile {
	p := pamProfile{name: name, fields: map[string]string{}}
	field := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if trimmed := strings.TrimLeft(line, " \t"); trimmed != line {
			if field != "" {
				p.fields[field] += trimmed + "\n"
			}
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		field, value = key, strings.TrimLeft(value, " \t")
		if value != "" {
			value += "\n"
		}
		p.fields[field] = value
	}
	// Where there is none, and where it is no number, it is 0.
	p.priority, _ = strconv.Atoi(strings.TrimSpace(p.fields["Priority"]))
	return p
}

// is says whether a field has this value, to the letter.
func (p pamProfile) is(field, value string) bool { return p.fields[field] == value+"\n" }

// choosePAM are the profiles that are on. One that names others it cannot be
// with takes them away, whatever their priority, unless it was taken away
// itself before.
func choosePAM(all []pamProfile) []pamProfile {
	var on []pamProfile
	for _, p := range all {
		if p.is("Default", "yes") {
			on = append(on, p)
		}
	}
	off := map[string]bool{}
	for _, p := range on {
		if off[p.name] {
			continue
		}
		for name := range strings.SplitSeq(strings.TrimSuffix(p.fields["Conflicts"], "\n"), ", ") {
			off[name] = true
		}
	}
	return slices.DeleteFunc(on, func(p pamProfile) bool { return off[p.name] })
}

// fill puts the lines of profiles at their places in a template. It also
// gives what pam-auth-update keeps to know later changes by.
func (s pamStack) fill(template string, chosen []pamProfile) (config, state string) {
	primary, state := s.block("Primary", chosen)
	if len(primary) == 0 && len(chosen) > 0 {
		// Nothing decides, so that the refusal that follows is jumped over.
		// With no profile at all it stays: nobody is let in.
		primary = []string{s.kind + "\t" + jumpRefusal}
		state = "Module: null\n" + jumpRefusal
	}
	additional, more := s.block("Additional", chosen)
	var out strings.Builder
	for line := range strings.Lines(template) {
		switch strings.TrimSuffix(line, "\n") {
		case "$" + s.variable + "_primary":
			line = strings.Join(primary, "")
		case "$" + s.variable + "_additional":
			line = strings.Join(additional, "")
		}
		out.WriteString(line)
	}
	return out.String(), state + more
}

// block are the lines of the profiles of one type. The first of them may have
// other ones, since no password was asked for yet.
func (s pamStack) block(kind string, chosen []pamProfile) (config []string, state string) {
	var entries []pamEntry
	first := true
	for _, p := range chosen {
		if !p.is(s.field+"-Type", kind) || s.file == "session-noninteractive" && p.is(s.field+"-Interactive-Only", "yes") {
			continue
		}
		text := cmp.Or(p.fields[s.field+"-Final"], p.fields[s.field])
		if first {
			text = cmp.Or(p.fields[s.field+"-Initial"], text)
		}
		first = false
		if text != "" {
			state += "Module: " + p.name + "\n"
		}
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, " \t\n")
			state += line + "\n"
			if e, ok := parsePAMEntry(line); ok {
				entries = append(entries, e)
			}
		}
	}
	// The end of the first block is behind the line that refuses.
	after := 0
	if kind == "Primary" {
		after = 1
	}
	for i, e := range entries {
		config = append(config, s.kind+"\t"+e.jump(len(entries)-1-i+after)+e.gap+e.module+" "+strings.Join(e.options, " ")+"\n")
	}
	return config, state
}

// pamEntry is a line of a profile, which is one of pam.d(5) without its type.
type pamEntry struct {
	control, gap, module string
	options              []string
}

// parsePAMEntry reads a line; what is none is left out of the files, where it
// would make PAM refuse everybody.
func parsePAMEntry(line string) (pamEntry, bool) {
	end := strings.IndexAny(line, " \t")
	if strings.HasPrefix(line, "[") {
		end = strings.IndexByte(line, ']') + 1
	}
	if end <= 0 || line[0] == '#' || line[0] == '-' {
		return pamEntry{}, false
	}
	rest := strings.TrimLeft(line[end:], " \t")
	words := strings.Fields(rest)
	if len(words) == 0 || len(rest) == len(line[end:]) {
		return pamEntry{}, false
	}
	return pamEntry{line[:end], line[end : len(line)-len(rest)], words[0], words[1:]}, true
}

// jump is the control with the number of lines to the end of the block.
func (e pamEntry) jump(n int) string {
	if !strings.HasPrefix(e.control, "[") {
		return e.control
	}
	return strings.ReplaceAll(e.control, "=end", "="+strconv.Itoa(n))
}
