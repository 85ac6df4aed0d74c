// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"strings"

	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// ShepherdRoot collects the services of PID 1.
var ShepherdRoot = &service.Type{
	Name:            "shepherd_root",
	Description:     "The services that PID 1 starts, watches and stops.",
	Elements:        elements(&ShepherdService{}),
	Check:           checkList[*ShepherdService],
	Extend:          extendShepherd,
	Default:         []*ShepherdService(nil),
	HasDefault:      true,
	ValueDoc:        "list of shepherd_service",
	ContributionDoc: "shepherd_service",
	ProducesDoc:     "the entry `services` of the system",
	Extensions: []service.Extension{
		{Target: System, Compute: typed(func(env *service.Env, list []*ShepherdService) ([]any, error) {
			return planEntry(env, "services", "", ServicePlan(list))
		})},
		{Target: Boot, Compute: typed(func(env *service.Env, list []*ShepherdService) ([]any, error) {
			file, err := planFile(env, "services", "", ServicePlan(list))
			if err != nil {
				return nil, err
			}
			return one(&BootPart{Services: file})
		})},
	},
}

func extendShepherd(env *service.Env, value, contributions any) (any, error) {
	v, err := extendList[*ShepherdService](env, value, contributions)
	if err != nil {
		return nil, err
	}
	list := standBack(v.([]*ShepherdService))
	return list, checkShepherd(list)
}

// ServicePlan is the plan that the value of a shepherd_root service means.
func ServicePlan(list []*ShepherdService) spec.ServicePlan {
	plan := spec.ServicePlan{Version: spec.Version, Services: []spec.Service{}}
	for _, s := range list {
		plan.Services = append(plan.Services, s.lower())
	}
	return plan
}

// standBack takes from fallback services the names that others provide, and
// drops those that have none left.
func standBack(list []*ShepherdService) []*ShepherdService {
	taken := map[string]bool{}
	for _, s := range list {
		if !s.Fallback {
			for _, p := range s.Provision {
				taken[p] = true
			}
		}
	}
	var out []*ShepherdService
	for _, s := range list {
		if s.Fallback {
			c := *s
			c.Provision = nil
			for _, p := range s.Provision {
				if !taken[p] {
					taken[p] = true
					c.Provision = append(c.Provision, p)
				}
			}
			if len(c.Provision) == 0 {
				continue
			}
			s = &c
		}
		out = append(out, s)
	}
	return out
}

// The ways in which services can contradict each other.
var (
	ErrProvidedTwice    = errors.New("the name is provided twice")
	ErrNotProvided      = errors.New("no service provides it")
	ErrRequirementCycle = errors.New("requirement cycle")
)

func checkShepherd(list []*ShepherdService) error {
	provider := map[string]*ShepherdService{}
	var known []string
	for _, s := range list {
		for _, p := range s.Provision {
			if first, twice := provider[p]; twice {
				return service.Errorf(ErrProvidedTwice, s.Pos, "cannot provide service %q: another service provides it%s; keep one of the two", p, madeAt(first.Pos))
			}
			provider[p] = s
			known = append(known, p)
		}
	}
	for _, s := range list {
		for _, r := range s.Requirement {
			if provider[r] == nil {
				return service.Errorf(ErrNotProvided, s.Pos, "cannot start service %q: it requires %q, which no service provides%s", s.name(), r, service.Meant(r, known))
			}
		}
	}
	return checkRequirements(list, provider)
}

// checkRequirements finds cycles, which would never start.
func checkRequirements(list []*ShepherdService, provider map[string]*ShepherdService) error {
	const open, done = 1, 2
	state := map[*ShepherdService]int{}
	var path []*ShepherdService
	var visit func(s *ShepherdService) error
	visit = func(s *ShepherdService) error {
		switch state[s] {
		case done:
			return nil
		case open:
			start := 0
			for path[start] != s {
				start++
			}
			var names []string
			for _, p := range append(path[start:], s) {
				names = append(names, fmt.Sprintf("%q", p.name()))
			}
			return service.Errorf(ErrRequirementCycle, s.Pos, "cannot order services: they wait for each other: %s", strings.Join(names, " requires "))
		}
		state[s] = open
		path = append(path, s)
		for _, r := range s.Requirement {
			if err := visit(provider[r]); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		state[s] = done
		return nil
	}
	for _, s := range list {
		if err := visit(s); err != nil {
			return err
		}
	}
	return nil
}

// UserProcesses is the point that nearly every daemon requires: file systems
// and homes are there. When it stops, all processes are ended.
var UserProcesses = &service.Type{
	Name:            "user_processes",
	Description:     "The point from which on programs of users and daemons may run.",
	Elements:        elements(""),
	Check:           checkList[string],
	Extend:          extendList[string],
	Default:         []string(nil),
	HasDefault:      true,
	ValueDoc:        "list of names of services to wait for",
	ContributionDoc: "names of services to wait for",
	ProducesDoc:     "the service user-processes",
	Extensions: []service.Extension{{Target: ShepherdRoot, Compute: typed(func(_ *service.Env, requirement []string) ([]any, error) {
		s := NewShepherdService()
		s.Provision = []string{"user-processes"}
		s.Requirement = unique(requirement)
		s.Documentation = "File systems and homes are there; stopping it ends all processes."
		s.Stop = &Stop{kind: spec.StopKillAll, Grace: 4}
		return one(s)
	})}},
}

func unique(list []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// UserHomes makes the homes of regular users once file systems are there.
var UserHomes = &service.Type{
	Name:            "user_homes",
	Description:     "The homes of regular users, made when missing.",
	Elements:        elements(&SkeletonFile{}),
	Check:           checkList[*SkeletonFile],
	Extend:          extendList[*SkeletonFile],
	Default:         []*SkeletonFile(nil),
	HasDefault:      true,
	ValueDoc:        "list of skeleton_file",
	ContributionDoc: "skeleton_file, or a tuple (name, file)",
	ProducesDoc:     "the one-shot service user-homes, and /etc/skel",
	Extensions: []service.Extension{
		{Target: ShepherdRoot, Compute: typed(func(*service.Env, []*SkeletonFile) ([]any, error) {
			yes := true
			s := NewShepherdService()
			s.Provision = []string{"user-homes"}
			s.Requirement = []string{"file-systems"}
			s.Documentation = "Make the homes of regular users."
			s.OneShot = &yes
			// The plan that is in force when the service runs, which names
			// the accounts: it is not an input of this one. Packages may have
			// put files beside the declared ones.
			s.Start = &Start{Homes: &spec.Homes{Activate: spec.CurrentSystem + "/activate", Skeleton: "/etc/skel"}}
			return one(s)
		})},
		{Target: UserProcesses, Compute: func(*service.Env, any) ([]any, error) { return one("user-homes") }},
		{Target: Etc, Compute: typed(func(_ *service.Env, files []*SkeletonFile) ([]any, error) {
			var out []any
			for _, f := range files {
				out = append(out, &EtcEntry{Pos: f.Pos, Name: "skel/" + f.Name, File: f.File})
			}
			return out, nil
		})},
	},
}
