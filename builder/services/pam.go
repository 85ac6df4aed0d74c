// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// PAM collects how programs authenticate users. Extensions change every
// service, in the order in which they were declared.
var PAM = &service.Type{
	Name:            "pam",
	Description:     "How programs authenticate users.",
	Elements:        elements(&PAMService{}, &PAMExtension{}),
	Check:           checkPAM,
	Extend:          extendPAM,
	Default:         []*PAMService(nil),
	HasDefault:      true,
	ValueDoc:        "list of pam_service",
	ContributionDoc: "pam_service, or pam_extension to change all of them",
	ProducesDoc:     "a file of /etc/pam.d a service",
	Extensions: []service.Extension{{Target: Etc, Compute: typed(func(env *service.Env, list []*PAMService) ([]any, error) {
		var out []any
		for _, s := range list {
			e, err := etcText(env, "pam.d/"+s.Name, s.text())
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		return out, nil
	})}},
}

func checkPAM(v any) (any, error) {
	list, err := listOf[*PAMService](v)
	return list, err
}

func extendPAM(_ *service.Env, value, contributions any) (any, error) {
	own, err := listOf[*PAMService](value)
	if err != nil {
		return nil, err
	}
	more, err := listOf[any](contributions)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(own)
	var extensions []*PAMExtension
	for _, v := range more {
		switch v := v.(type) {
		case *PAMService:
			all = append(all, v)
		case *PAMExtension:
			extensions = append(extensions, v)
		}
	}
	seen := map[string]*PAMService{}
	for i, s := range all {
		if first, twice := seen[s.Name]; twice {
			return nil, service.At(s.Pos, fmt.Errorf("cannot declare PAM service %q twice%s", s.Name, madeAt(first.Pos)))
		}
		seen[s.Name] = s
		for _, e := range extensions {
			if all[i], err = e.apply(all[i]); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// text is the file of /etc/pam.d.
func (s *PAMService) text() string {
	var b strings.Builder
	for _, part := range []struct {
		kind    string
		entries []*PAMEntry
	}{{"account", s.Account}, {"auth", s.Auth}, {"password", s.Password}, {"session", s.Session}} {
		for _, e := range part.entries {
			b.WriteString(strings.Join(append([]string{part.kind, e.Control, e.Module}, e.Arguments...), " ") + "\n")
		}
	}
	return b.String()
}

// limitedPrograms are the PAM services whose sessions get resource limits.
var limitedPrograms = []string{
	"login", "greetd", "su", "slim", "gdm-password", "sddm", "lightdm", "sudo", "sshd",
}

// limitsFile is what pam_limits reads, by our PAM files as by Debian's own.
const limitsFile = "security/limits.conf"

// PAMLimits sets resource limits of login sessions. The activation makes the
// file, because only there it shows which limits the kernel lets sessions have.
var PAMLimits = &service.Type{
	Name:            "pam_limits",
	Description:     "Resource limits of login sessions.",
	Elements:        elements(&PAMLimitsEntry{}),
	Check:           checkList[*PAMLimitsEntry],
	Extend:          extendList[*PAMLimitsEntry],
	Default:         []*PAMLimitsEntry(nil),
	HasDefault:      true,
	ValueDoc:        "list of pam_limits_entry",
	ContributionDoc: "pam_limits_entry, or a tuple (domain, type, item, value)",
	ProducesDoc:     "/etc/security/limits.conf, and a session entry of login, su, sudo, sshd and the display managers that reads it; `herd status` tells of limits that cannot be had",
	Extensions: []service.Extension{
		{Target: Activation, Compute: typed(func(env *service.Env, list []*PAMLimitsEntry) ([]any, error) {
			file, err := limitsItem(env, list)
			if err != nil {
				return nil, err
			}
			return step(spec.Step{Phase: spec.PhaseEtc, Name: "limits", Limits: &spec.Limits{From: file, To: "/etc/" + limitsFile}})
		})},
		{Target: Etc, Compute: typed(func(env *service.Env, list []*PAMLimitsEntry) ([]any, error) {
			file, err := limitsItem(env, list)
			if err != nil {
				return nil, err
			}
			return one(&EtcEntry{Name: limitsFile, File: file, Reserved: true})
		})},
		{Target: PAM, Compute: typed(func(*service.Env, []*PAMLimitsEntry) ([]any, error) {
			limits := &PAMEntry{Control: "required", Module: "pam_limits.so", Arguments: []string{"conf=/etc/" + limitsFile}}
			return one(&PAMExtension{Transform: func(s *PAMService) *PAMService {
				if !slices.Contains(limitedPrograms, s.Name) {
					return s
				}
				c := *s
				c.Session = append([]*PAMEntry{limits}, s.Session...)
				return &c
			}})
		})},
	},
}

// limitsItem is limits.conf(5) as it was declared.
func limitsItem(env *service.Env, list []*PAMLimitsEntry) (string, error) {
	var b strings.Builder
	for _, e := range list {
		b.WriteString(e.line())
	}
	return env.Graph.Text("limits.conf", b.String(), false, derivation.Position{})
}
