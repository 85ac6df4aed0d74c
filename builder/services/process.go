// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/runner/spec"
)

// DefaultPath is the PATH of every process of a service whose declaration
// gives none. It is the only variable such a process has.
const DefaultPath = spec.PrivilegedDir + ":" + spec.CurrentSystem + "/profile/bin:/usr/sbin:/usr/bin"

// Start is how a service starts; fork_exec and run make it.
type Start struct {
	Pos  derivation.Position `star:"-"`
	Exec *spec.Process       `star:"-"`
	Run  []spec.Process      `star:"-"`
	// Mount, Homes and Directories are for services of this package.
	Mount       *spec.Mount `star:"-"`
	Homes       *spec.Homes `star:"-"`
	Directories []spec.Dir  `star:"-"`
}

// ResourceLimit is one limit of a process.
type ResourceLimit struct {
	Pos  derivation.Position `star:"-"`
	Name string              `star:"name,required" doc:"A name of setrlimit(2) in lower case, e.g. \"nofile\"."`
	Soft int                 `star:"soft,required" doc:"The limit in force; -1 is unlimited."`
	Hard int                 `star:"hard,required" doc:"How far the process may raise it; -1 is unlimited."`
}

var limitNames = []string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue",
	"nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
}

// Validate checks the name and the order of the limits.
func (l *ResourceLimit) Validate() error {
	if !slices.Contains(limitNames, l.Name) {
		return fmt.Errorf("field name: %q is no resource limit (%s are)", l.Name, strings.Join(limitNames, ", "))
	}
	if l.Soft < -1 || l.Hard < -1 {
		return fmt.Errorf("field soft: limits are numbers from -1 (unlimited)")
	}
	if l.Hard != -1 && (l.Soft == -1 || l.Soft > l.Hard) {
		return fmt.Errorf("field soft: the soft limit %d is above the hard limit %d", l.Soft, l.Hard)
	}
	return nil
}

// ForkExec is a program that keeps running.
type ForkExec struct {
	Pos                 derivation.Position `star:"-"`
	Argv                []string            `star:"argv,required" doc:"The program and its arguments; the program is an absolute path."`
	User                string              `star:"user" doc:"The user to run as, a name or id; root by default."`
	Group               string              `star:"group" doc:"The group to run as; the user's primary group by default."`
	SupplementaryGroups []string            `star:"supplementary_groups" doc:"Further groups of the process; none by default."`
	Env                 map[string]string   `star:"env" doc:"The environment. PATH is added when it is missing; nothing else is."`
	Directory           string              `star:"directory" doc:"The current folder; / by default."`
	Umask               *int                `star:"umask" doc:"The file mode creation mask; 0o022 by default."`
	Limits              []*ResourceLimit    `star:"limits" doc:"Resource limits: resource_limit records or tuples (name, soft, hard)."`
	LogFile             string              `star:"log_file" doc:"A file that gets the output besides the service's own log."`
	PIDFile             string              `star:"pid_file" doc:"A file that appears when the program is ready and names the main process."`
	Ready               *Ready              `star:"ready" doc:"When the service counts as started: tcp(port), unix(path), path(path) or notify(). Without it, once the program runs."`
}

// Validate checks the fields.
func (f *ForkExec) Validate() error {
	if err := command("argv", f.Argv); err != nil {
		return err
	}
	for field, p := range map[string]string{"directory": f.Directory, "log_file": f.LogFile, "pid_file": f.PIDFile} {
		if p != "" && !strings.HasPrefix(p, "/") {
			return fmt.Errorf("field %s: %q is not an absolute path", field, p)
		}
	}
	if f.Umask != nil && (*f.Umask < 0 || *f.Umask > 0o777) {
		return fmt.Errorf("field umask: %#o is not between 0 and 0o777", *f.Umask)
	}
	seen := map[string]bool{}
	for _, l := range f.Limits {
		if seen[l.Name] {
			return fmt.Errorf("field limits: %q stands there twice", l.Name)
		}
		seen[l.Name] = true
	}
	if f.PIDFile != "" && f.Ready != nil {
		return errors.New("field ready: pid_file already says when the program is ready; give one of the two")
	}
	return environment("env", f.Env)
}

func (f *ForkExec) process() spec.Process {
	p := spec.Process{
		Argv:                slices.Clone(f.Argv),
		User:                f.User,
		Group:               f.Group,
		SupplementaryGroups: slices.Clone(f.SupplementaryGroups),
		Env:                 environ(f.Env),
		Directory:           f.Directory,
		LogFile:             f.LogFile,
		PIDFile:             f.PIDFile,
	}
	if f.Umask != nil {
		mask := uint32(*f.Umask)
		p.Umask = &mask
	}
	if len(f.Limits) > 0 {
		p.Limits = map[string]spec.Limit{}
		for _, l := range f.Limits {
			p.Limits[l.Name] = spec.Limit{Soft: int64(l.Soft), Hard: int64(l.Hard)}
		}
	}
	if f.Ready != nil {
		r := f.Ready.spec
		p.Ready = &r
	}
	return p
}

// Run is a program that runs to completion.
type Run struct {
	Pos                 derivation.Position `star:"-"`
	Argv                []string            `star:"argv,required" doc:"The program and its arguments; the program is an absolute path."`
	User                string              `star:"user" doc:"The user to run as, a name or id; root by default."`
	Group               string              `star:"group" doc:"The group to run as; the user's primary group by default."`
	SupplementaryGroups []string            `star:"supplementary_groups" doc:"Further groups of the process; none by default."`
	Env                 map[string]string   `star:"env" doc:"The environment. PATH is added when it is missing; nothing else is."`
	Directory           string              `star:"directory" doc:"The current folder; / by default."`
	Umask               *int                `star:"umask" doc:"The file mode creation mask; 0o022 by default."`
	LogFile             string              `star:"log_file" doc:"A file that gets the output besides the service's own log."`
}

func (r *Run) forkExec() *ForkExec {
	return &ForkExec{
		Pos: r.Pos, Argv: r.Argv, User: r.User, Group: r.Group, SupplementaryGroups: r.SupplementaryGroups,
		Env: r.Env, Directory: r.Directory, Umask: r.Umask, LogFile: r.LogFile,
	}
}

// Validate checks the fields.
func (r *Run) Validate() error { return r.forkExec().Validate() }

// command accepts a program with its arguments.
func command(field string, argv []string) error {
	switch {
	case len(argv) == 0:
		return fmt.Errorf("field %s: a program is needed", field)
	case !strings.HasPrefix(argv[0], "/"):
		return fmt.Errorf("field %s: the program %q is not an absolute path; no PATH is searched", field, argv[0])
	}
	for _, a := range argv {
		if strings.Contains(a, "\x00") {
			return fmt.Errorf("field %s: %q holds a zero byte", field, a)
		}
	}
	return nil
}

func environment(field string, env map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("field %s: %q is not the name of a variable", field, name)
		}
		if strings.Contains(env[name], "\x00") {
			return fmt.Errorf("field %s: the value of %s holds a zero byte", field, name)
		}
	}
	return nil
}

// environ is the sorted environment of a process.
func environ(env map[string]string) []string {
	var out []string
	if _, ok := env["PATH"]; !ok {
		out = append(out, "PATH="+DefaultPath)
	}
	for name, value := range env {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

// identifier accepts the name of a service or a step: one printable word.
func identifier(field, name string) error {
	if name == "" {
		return fmt.Errorf("field %s: a name is needed", field)
	}
	for _, r := range name {
		if r <= ' ' || r == 0x7f || !strconv.IsPrint(r) {
			return fmt.Errorf("field %s: %q is not a name: %q is not allowed in it", field, name, r)
		}
	}
	return nil
}
