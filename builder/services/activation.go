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

// ActivationStep is a step of making a system real: a user's program, or one
// of the typed steps of this package.
type ActivationStep struct {
	Pos       derivation.Position `star:"-"`
	Name      string              `star:"name,required" doc:"What messages call the step."`
	Argv      []string            `star:"argv,required" doc:"The program and its arguments; the program is an absolute path."`
	User      string              `star:"user" doc:"The user to run as, a name or id; root by default."`
	Group     string              `star:"group" doc:"The group to run as; the user's primary group by default."`
	Env       map[string]string   `star:"env" doc:"The environment. PATH is added when it is missing; nothing else is."`
	Directory string              `star:"directory" doc:"The current folder; / by default."`
	BootOnly  bool                `star:"boot_only" doc:"Whether the step is left out when a running system is reconfigured."`

	// Step is a typed step; the fields above but Pos are then unused.
	Step *spec.Step `star:"-"`
}

// Validate checks the fields.
func (s *ActivationStep) Validate() error {
	if err := identifier("name", s.Name); err != nil {
		return err
	}
	if s.Directory != "" && !strings.HasPrefix(s.Directory, "/") {
		return fmt.Errorf("field directory: %q is not an absolute path", s.Directory)
	}
	if err := command("argv", s.Argv); err != nil {
		return err
	}
	return environment("env", s.Env)
}

func (s *ActivationStep) lower() spec.Step {
	if s.Step != nil {
		return *s.Step
	}
	return spec.Step{
		Phase: spec.PhaseUser, Name: s.Name, BootOnly: s.BootOnly,
		Run: &spec.Process{
			Argv: slices.Clone(s.Argv), User: s.User, Group: s.Group, Env: environ(s.Env), Directory: s.Directory,
		},
	}
}

// step is a typed step as a contribution.
func step(s spec.Step) ([]any, error) { return one(&ActivationStep{Step: &s}) }

// Activation collects the steps that make a system real at boot, and again
// when a running system is reconfigured. Steps run phase by phase; within a
// phase in the order in which they were declared.
var Activation = &service.Type{
	Name:            "activation",
	Description:     "What makes a system real: accounts, /etc, folders, privileged programs, and steps of services.",
	Elements:        elements(&ActivationStep{}, &Directory{}),
	Check:           checkActivation,
	Extend:          extendActivation,
	Default:         []any(nil),
	HasDefault:      true,
	ValueDoc:        "list of activation_step and directory",
	ContributionDoc: "activation_step, or directory for a folder that must exist",
	ProducesDoc:     "the entry `activate` of the system",
	Extensions: []service.Extension{
		{Target: System, Compute: func(env *service.Env, v any) ([]any, error) {
			plan, err := ActivationPlan(v)
			if err != nil {
				return nil, err
			}
			return planEntry(env, "activate", "activate", plan)
		}},
		{Target: Boot, Compute: func(env *service.Env, v any) ([]any, error) {
			plan, err := ActivationPlan(v)
			if err != nil {
				return nil, err
			}
			file, err := planFile(env, "activate", "activate", plan)
			if err != nil {
				return nil, err
			}
			return one(&BootPart{Activate: file})
		}},
	},
}

func checkActivation(v any) (any, error) {
	list, err := listOf[any](v)
	if err != nil {
		return nil, err
	}
	_, err = ActivationPlan(list)
	return list, err
}

func extendActivation(env *service.Env, value, contributions any) (any, error) {
	v, err := extendList[any](env, value, contributions)
	if err != nil {
		return nil, err
	}
	_, err = ActivationPlan(v)
	return v, err
}

// ActivationPlan is the plan that the value of an activation service means.
func ActivationPlan(value any) (spec.ActivationPlan, error) {
	list, err := listOf[any](value)
	if err != nil {
		return spec.ActivationPlan{}, err
	}
	plan := spec.ActivationPlan{Version: spec.Version, Steps: []spec.Step{}}
	var dirs []spec.Dir
	made := map[string]*Directory{}
	for i, v := range list {
		switch v := v.(type) {
		case *ActivationStep:
			plan.Steps = append(plan.Steps, v.lower())
		case *Directory:
			first, twice := made[v.Path]
			if !twice {
				made[v.Path] = v
				dirs = append(dirs, v.spec())
			} else if first.spec() != v.spec() {
				return plan, service.At(v.Pos, fmt.Errorf("cannot make %s in two ways: mode %#o of %s, and mode %#o of %s%s",
					v.Path, v.Mode, owners(v), first.Mode, owners(first), madeAt(first.Pos)))
			}
		default:
			return plan, fmt.Errorf("element %d is %s, not an activation_step or directory", i+1, service.Describe(v))
		}
	}
	if len(dirs) > 0 {
		plan.Steps = append(plan.Steps, spec.Step{Phase: spec.PhaseDirectories, Name: "directories", Directories: dirs})
	}
	phase := map[string]int{}
	for i, p := range spec.Phases() {
		phase[p] = i
	}
	slices.SortStableFunc(plan.Steps, func(a, b spec.Step) int { return phase[a.Phase] - phase[b.Phase] })
	return plan, nil
}

func owners(d *Directory) string {
	user, group := d.User, d.Group
	if user == "" {
		user = "root"
	}
	if group == "" {
		group = "root"
	}
	return user + ":" + group
}

// Cleanup empties the volatile folders at boot, and there only.
var Cleanup = &service.Type{
	Name:        "cleanup",
	Description: "Empty /tmp and remove stale locks, at boot.",
	Elements:    elements(&Directory{}),
	Check:       checkList[*Directory],
	Extend:      extendList[*Directory],
	// /run is fresh at each boot and holds the control socket.
	Default:         []*Directory{{Path: "/tmp", Mode: 0o1777}},
	HasDefault:      true,
	ValueDoc:        "list of directory: the folders to empty; /tmp by default",
	ContributionDoc: "directory: a folder that is emptied at boot",
	ProducesDoc:     "an activation step of the phase cleanup",
	Extensions: []service.Extension{{Target: Activation, Compute: typed(func(_ *service.Env, dirs []*Directory) ([]any, error) {
		c := &spec.Cleanup{Remove: []string{"/etc/.pwd.lock", "/etc/group.lock", "/etc/passwd.lock", "/etc/shadow.lock", "/etc/subgid.lock", "/etc/subuid.lock"}}
		for _, d := range dirs {
			c.Empty = append(c.Empty, d.spec())
		}
		return step(spec.Step{Phase: spec.PhaseCleanup, Name: "cleanup", BootOnly: true, Cleanup: c})
	})}},
}

// SpecialFiles are links at fixed places outside /etc.
var SpecialFiles = &service.Type{
	Name:            "special_files",
	Description:     "Links at places that programs expect and that no package makes.",
	Elements:        elements(&SpecialFile{}),
	Check:           checkList[*SpecialFile],
	Extend:          extendSpecialFiles,
	Default:         []*SpecialFile(nil),
	HasDefault:      true,
	ValueDoc:        "list of special_file",
	ContributionDoc: "special_file, or a tuple (path, target)",
	ProducesDoc:     "an activation step of the phase special-files",
	Extensions: []service.Extension{{Target: Activation, Compute: typed(func(_ *service.Env, files []*SpecialFile) ([]any, error) {
		if len(files) == 0 {
			return nil, nil
		}
		var links []spec.Link
		for _, f := range files {
			links = append(links, spec.Link{Path: f.Path, Target: f.Target})
		}
		return step(spec.Step{Phase: spec.PhaseSpecial, Name: "special-files", Links: links})
	})}},
}

func extendSpecialFiles(env *service.Env, value, contributions any) (any, error) {
	v, err := extendList[*SpecialFile](env, value, contributions)
	if err != nil {
		return nil, err
	}
	seen := map[string]*SpecialFile{}
	for _, f := range v.([]*SpecialFile) {
		if first, twice := seen[f.Path]; twice {
			return nil, service.At(f.Pos, fmt.Errorf("cannot make the special file %s twice%s", f.Path, madeAt(first.Pos)))
		}
		seen[f.Path] = f
	}
	return v, nil
}

// PrivilegedPrograms are programs that run with more privileges than their
// caller: set-id programs and those with capabilities.
var PrivilegedPrograms = &service.Type{
	Name:            "privileged_programs",
	Description:     "Copies of programs in " + spec.PrivilegedDir + " that carry privileges.",
	Elements:        elements(&PrivilegedProgram{}),
	Check:           checkList[*PrivilegedProgram],
	Extend:          extendPrivileged,
	Default:         []*PrivilegedProgram(nil),
	HasDefault:      true,
	ValueDoc:        "list of privileged_program",
	ContributionDoc: "privileged_program",
	ProducesDoc:     "an activation step of the phase privileged",
	Extensions: []service.Extension{{Target: Activation, Compute: typed(func(_ *service.Env, programs []*PrivilegedProgram) ([]any, error) {
		if len(programs) == 0 {
			return nil, nil
		}
		var list []spec.Privileged
		for _, p := range programs {
			list = append(list, spec.Privileged{
				Program: p.Program, Setuid: p.Setuid, Setgid: p.Setgid,
				User: p.User, Group: p.Group, Capabilities: slices.Clone(p.Capabilities),
			})
		}
		return step(spec.Step{Phase: spec.PhasePrivileged, Name: "privileged-programs", Privileged: list})
	})}},
}

func extendPrivileged(env *service.Env, value, contributions any) (any, error) {
	v, err := extendList[*PrivilegedProgram](env, value, contributions)
	if err != nil {
		return nil, err
	}
	seen := map[string]*PrivilegedProgram{}
	for _, p := range v.([]*PrivilegedProgram) {
		name := p.Program[strings.LastIndex(p.Program, "/")+1:]
		if first, twice := seen[name]; twice {
			return nil, service.At(p.Pos, fmt.Errorf("cannot make two privileged programs called %q: %s and %s%s", name, first.Program, p.Program, madeAt(first.Pos)))
		}
		seen[name] = p
	}
	return v, nil
}
