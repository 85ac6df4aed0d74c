// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// EtcFiles is the value of the etc service.
type EtcFiles struct {
	Entries []*EtcEntry
	// Left are names that are left out, whoever contributes them: files that
	// a container gets from its host.
	Left []string
}

// Etc collects the files of /etc. Folders there are real, files are links
// into the store, or regular files where an entry gives a mode.
var Etc = &service.Type{
	Name:            "etc",
	Description:     "The files of /etc.",
	Elements:        elements(&EtcEntry{}),
	Check:           checkEtc,
	Extend:          extendEtc,
	Default:         &EtcFiles{},
	HasDefault:      true,
	ValueDoc:        "list of etc_entry",
	ContributionDoc: "etc_entry, or a tuple (name, file); the name may hold slashes",
	ProducesDoc:     "the entry `etc` of the system, and an activation step of the phase etc",
	Extensions: []service.Extension{
		{Target: System, Compute: typed(func(env *service.Env, e *EtcFiles) ([]any, error) {
			tree, err := e.tree(env)
			if err != nil {
				return nil, err
			}
			return one(&SystemEntry{Name: "etc", File: tree})
		})},
		{Target: Activation, Compute: typed(func(env *service.Env, e *EtcFiles) ([]any, error) {
			tree, err := e.tree(env)
			if err != nil {
				return nil, err
			}
			s := &spec.Etc{Tree: tree}
			for _, entry := range e.Entries {
				if entry.Reserved {
					continue
				}
				if entry.Yields {
					s.Yields = append(s.Yields, entry.Name)
				}
				if entry.Mode != nil {
					if s.Copies == nil {
						s.Copies = map[string]uint32{}
					}
					s.Copies[entry.Name] = uint32(*entry.Mode)
				}
			}
			return step(spec.Step{Phase: spec.PhaseEtc, Name: "etc", Etc: s})
		})},
	},
}

func checkEtc(v any) (any, error) {
	if e, ok := v.(*EtcFiles); ok {
		return e, nil
	}
	entries, err := listOf[*EtcEntry](v)
	return &EtcFiles{Entries: entries}, err
}

// accountFiles are made at activation, where ids are known.
var accountFiles = []string{"passwd", "group", "shadow", "gshadow", "subuid", "subgid"}

// ErrDuplicateEtc is the error for two files that want the same place.
var ErrDuplicateEtc = errors.New("two files want the same place")

func extendEtc(_ *service.Env, value, contributions any) (any, error) {
	own, ok := value.(*EtcFiles)
	if !ok {
		return nil, fmt.Errorf("the value is %s, not a list of etc_entry", service.Describe(value))
	}
	more, err := listOf[*EtcEntry](contributions)
	if err != nil {
		return nil, err
	}
	all := &EtcFiles{Left: own.Left}
	names, taken := map[string]*EtcEntry{}, map[string]bool{}
	declared := slices.Concat(own.Entries, more)
	for _, e := range declared {
		taken[e.Name] = taken[e.Name] || !e.Fallback
	}
	for _, e := range declared {
		if slices.Contains(accountFiles, e.Name) {
			return nil, service.Errorf(ErrDuplicateEtc, e.Pos, "cannot put %q into /etc: it is made of the accounts that are declared; use user_account, user_group or subid_range", e.Name)
		}
		if slices.Contains(own.Left, e.Name) || e.Fallback && taken[e.Name] {
			continue
		}
		if first, twice := names[e.Name]; twice {
			if first == e {
				continue
			}
			return nil, service.Errorf(ErrDuplicateEtc, e.Pos, "cannot put %q into /etc: another entry has that name%s", e.Name, madeAt(first.Pos))
		}
		names[e.Name] = e
		all.Entries = append(all.Entries, e)
	}
	for _, e := range all.Entries {
		for dir := path.Dir(e.Name); dir != "."; dir = path.Dir(dir) {
			if over, ok := names[dir]; ok {
				return nil, service.Errorf(ErrDuplicateEtc, e.Pos, "cannot put %q into /etc: %q is an entry too%s, so nothing can lie in it", e.Name, dir, madeAt(over.Pos))
			}
		}
	}
	return all, nil
}

func (e *EtcFiles) tree(env *service.Env) (string, error) {
	files := map[string]string{}
	for _, entry := range e.Entries {
		if !entry.Reserved {
			files[entry.Name] = entry.File
		}
	}
	return env.Graph.FileUnion("etc", files, false, derivation.Position{})
}

// etcText is an entry of /etc with this content.
func etcText(env *service.Env, name, text string) (*EtcEntry, error) {
	file, err := env.Graph.Text(strings.ReplaceAll(name, "/", "-"), text, false, derivation.Position{})
	if err != nil {
		return nil, err
	}
	return &EtcEntry{Name: name, File: file}, nil
}

// copied makes an entry a regular file, for programs that refuse links or
// replace the file.
func copied(e *EtcEntry, mode int) *EtcEntry {
	e.Mode = &mode
	return e
}

// HostName gives the system its name.
var HostName = &service.Type{
	Name:        "host_name",
	Description: "The name of the system.",
	Check: func(v any) (any, error) {
		name, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("the value is %s, not a name", service.Describe(v))
		}
		return name, ValidHostName("host_name", name)
	},
	ValueDoc:    "the name",
	ProducesDoc: "/etc/hostname; the kernel's host name is set from the system itself",
	Extensions: []service.Extension{{Target: Etc, Compute: typed(func(env *service.Env, name string) ([]any, error) {
		e, err := etcText(env, "hostname", name+"\n")
		if err != nil {
			return nil, err
		}
		return one(e)
	})}},
}

// ValidHostName accepts what the kernel and the name services take for one.
func ValidHostName(field, name string) error {
	if name == "" || len(name) > 64 {
		return fmt.Errorf("field %s: a host name has 1 to 64 characters, %q has %d", field, name, len(name))
	}
	for i, r := range name {
		inside := i > 0 && i < len(name)-1
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case (r == '-' || r == '.') && inside:
		default:
			return fmt.Errorf("field %s: %q is not a host name: %q is not allowed there (letters, digits, \"-\" and \".\" are)", field, name, r)
		}
	}
	return nil
}

// Hosts are the names that need no name server.
var Hosts = &service.Type{
	Name:            "hosts",
	Description:     "Names of hosts that need no name server.",
	Elements:        elements(&Host{}),
	Check:           checkList[*Host],
	Extend:          extendList[*Host],
	Default:         []*Host(nil),
	HasDefault:      true,
	ValueDoc:        "list of host",
	ContributionDoc: "host, or a tuple (address, name)",
	ProducesDoc:     "/etc/hosts, a regular file",
	Extensions: []service.Extension{{Target: Etc, Compute: typed(func(env *service.Env, hosts []*Host) ([]any, error) {
		var b strings.Builder
		for _, h := range hosts {
			b.WriteString(strings.Join(append([]string{h.Address, h.CanonicalName}, h.Aliases...), "\t") + "\n")
		}
		e, err := etcText(env, "hosts", b.String())
		if err != nil {
			return nil, err
		}
		return one(copied(e, 0o644))
	})}},
}

// LocalHosts are the names of the system itself.
func LocalHosts(name string) []*Host {
	aliases := []string{name}
	if name == "localhost" {
		aliases = nil
	}
	return []*Host{
		{Address: "127.0.0.1", CanonicalName: "localhost", Aliases: aliases},
		{Address: "::1", CanonicalName: "localhost", Aliases: aliases},
	}
}

// SessionEnvironment are the variables of login sessions. Services do not get
// them: theirs is what they declare.
var SessionEnvironment = &service.Type{
	Name:            "session_environment",
	Description:     "Variables of every login session.",
	Elements:        elements(&EnvironmentVariable{}),
	Check:           checkList[*EnvironmentVariable],
	Extend:          extendEnvironment,
	Default:         []*EnvironmentVariable(nil),
	HasDefault:      true,
	ValueDoc:        "list of environment_variable",
	ContributionDoc: "environment_variable, or a tuple (name, value)",
	ProducesDoc:     "/etc/environment",
	Extensions: []service.Extension{{Target: Etc, Compute: typed(func(env *service.Env, variables []*EnvironmentVariable) ([]any, error) {
		var b strings.Builder
		for _, v := range variables {
			b.WriteString(v.Name + "=" + v.Value + "\n")
		}
		e, err := etcText(env, "environment", b.String())
		if err != nil {
			return nil, err
		}
		return one(e)
	})}},
}

// extendEnvironment lets a later variable replace an earlier one of its name.
func extendEnvironment(env *service.Env, value, contributions any) (any, error) {
	v, err := extendList[*EnvironmentVariable](env, value, contributions)
	if err != nil {
		return nil, err
	}
	var out []*EnvironmentVariable
	place := map[string]int{}
	for _, variable := range v.([]*EnvironmentVariable) {
		if i, ok := place[variable.Name]; ok {
			out[i] = variable
			continue
		}
		place[variable.Name] = len(out)
		out = append(out, variable)
	}
	return out, nil
}
