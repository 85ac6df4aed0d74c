// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"slices"
	"strings"

	"osbuild/builder/debian/rootfs"
	"osbuild/runner/spec"
)

// plan is what activation does for the packages; run are folders of /run.
func (r *root) plan(tree spec.Root, run []spec.Dir) spec.ActivationPlan {
	plan := spec.ActivationPlan{Version: spec.Version, Steps: []spec.Step{}}
	if a := r.planned(); len(a.Users)+len(a.Groups) > 0 {
		plan.Steps = append(plan.Steps, spec.Step{Phase: spec.PhaseAccounts, Name: "accounts of packages", Accounts: a})
	}
	for _, t := range tree.Trees {
		plan.Steps = append(plan.Steps, spec.Step{Phase: spec.PhaseEtc, Name: t.To + " of packages", Tree: &t})
	}
	if len(run) > 0 {
		plan.Steps = append(plan.Steps, spec.Step{Phase: spec.PhaseDirectories, Name: "folders of packages", Directories: run})
	}
	if list := r.privileged(tree); len(list) > 0 {
		plan.Steps = append(plan.Steps, spec.Step{Phase: spec.PhasePrivileged, Name: "privileged programs of packages", Privileged: list})
	}
	return plan
}

// privileged are the programs of /usr and /opt that have more rights than who
// starts them.
func (r *root) privileged(tree spec.Root) []spec.Privileged {
	var out []spec.Privileged
	for _, o := range tree.Owners {
		if o.Mode&0o6000 == 0 || o.Mode&0o111 == 0 {
			continue
		}
		n, _, err := r.Find(o.Path, false)
		if err != nil || n.Kind != rootfs.File {
			continue
		}
		out = append(out, spec.Privileged{
			Program: o.Path, Setuid: o.Mode&0o4000 != 0, Setgid: o.Mode&0o2000 != 0, User: o.User, Group: o.Group,
		})
	}
	for _, p := range sorted(r.capabilities) {
		out = append(out, spec.Privileged{Program: p, Capabilities: r.capabilities[p]})
	}
	slices.SortStableFunc(out, func(a, b spec.Privileged) int { return strings.Compare(a.Program, b.Program) })
	return out
}

// listed is an entry of packages.json.
type listed struct {
	Package      string `json:"package"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
	Source       string `json:"source,omitempty"`
	Item         string `json:"item"`
	// Scripts are the classes that did something for the package's scripts.
	Scripts []string `json:"scripts,omitempty"`
	// Left are commands of them that nothing did.
	Left []string `json:"left,omitempty"`
}

func (r *root) list() []listed {
	out := []listed{}
	for _, p := range r.pkgs {
		out = append(out, listed{
			Package: p.Name, Version: p.Version, Architecture: p.Meta.Architecture, Source: p.Meta.Source, Item: p.Item,
			Scripts: sorted(p.did), Left: p.left,
		})
	}
	return out
}
