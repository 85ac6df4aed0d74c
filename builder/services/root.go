// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// System collects what stands in the system item: pairs of a name and a file.
// Everything that a closure shall hold hangs on an entry.
var System = &service.Type{
	Name:            "system",
	Description:     "The system item, which holds a whole system.",
	Elements:        elements(&SystemEntry{}),
	Check:           checkList[*SystemEntry],
	Extend:          extendSystem,
	Default:         []*SystemEntry(nil),
	HasDefault:      true,
	ValueDoc:        "list of system_entry",
	ContributionDoc: "system_entry, or a tuple (name, file)",
	ProducesDoc:     "the system item, with a link a name",
}

func extendSystem(env *service.Env, value, contributions any) (any, error) {
	v, err := extendList[*SystemEntry](env, value, contributions)
	if err != nil {
		return nil, err
	}
	seen := map[string]*SystemEntry{}
	for _, e := range v.([]*SystemEntry) {
		if first, twice := seen[e.Name]; twice {
			return nil, service.At(e.Pos, fmt.Errorf("cannot put %q into the system twice%s", e.Name, madeAt(first.Pos)))
		}
		seen[e.Name] = e
	}
	return v, nil
}

// BootPart is one of the plans that PID 1 follows. It is contributed by
// [Activation] and [ShepherdRoot].
type BootPart struct {
	Activate, Services string
}

// Boot makes the program that becomes PID 1 of a system.
var Boot = &service.Type{
	Name:            "boot",
	Description:     "What PID 1 does: activate the system, then start its services.",
	Elements:        elements(&BootPart{}),
	Extend:          extendBoot,
	Default:         (*BootPart)(nil),
	HasDefault:      true,
	Check:           noValue,
	ValueDoc:        "none",
	ContributionDoc: "the plans of activation and shepherd_root; nothing else fits",
	ProducesDoc:     "the entry `boot` of the system",
	Extensions: []service.Extension{
		{Target: System, Compute: typed(bootEntry)},
	},
}

func noValue(v any) (any, error) {
	return nil, fmt.Errorf("a service of this type takes no value, not %s", service.Describe(v))
}

func extendBoot(_ *service.Env, _, contributions any) (any, error) {
	parts, err := listOf[*BootPart](contributions)
	if err != nil {
		return nil, err
	}
	all := &BootPart{}
	for _, p := range parts {
		if p.Activate != "" {
			all.Activate = p.Activate
		}
		if p.Services != "" {
			all.Services = p.Services
		}
	}
	return all, nil
}

func bootEntry(env *service.Env, b *BootPart) ([]any, error) {
	if b.Activate == "" || b.Services == "" {
		return nil, errors.New("a system needs both an activation and a shepherd_root service; keep them in essential_services")
	}
	return planEntry(env, "boot", "init", spec.BootPlan{Version: spec.Version, Activate: b.Activate, Services: b.Services})
}

// planEntry puts a plan into the system as an executable file, which
// osbuild-init interprets by one of its verbs.
func planEntry(env *service.Env, name, verb string, plan any) ([]any, error) {
	file, err := planFile(env, name, verb, plan)
	if err != nil {
		return nil, err
	}
	return one(&SystemEntry{Name: name, File: file})
}

func planFile(env *service.Env, name, verb string, plan any) (string, error) {
	text, err := Encode(plan)
	if err != nil {
		return "", fmt.Errorf("cannot write the plan %s: %w", name, err)
	}
	if verb == "" {
		return env.Graph.Text(name, text, false, derivation.Position{})
	}
	return env.Graph.Text(name, "#!"+env.Init+"/bin/osbuild-init "+verb+"\n"+text, true, derivation.Position{})
}

// GCRoots keeps items in a system's closure that nothing in it mentions.
var GCRoots = &service.Type{
	Name:            "gc_root",
	Description:     "Keep items that nothing in the system refers to.",
	Elements:        elements(""),
	Check:           checkList[string],
	Extend:          extendList[string],
	Default:         []string(nil),
	HasDefault:      true,
	ValueDoc:        "list of files",
	ContributionDoc: "files",
	ProducesDoc:     "the entry `gc-roots` of the system, when there are any: a folder of numbered links",
	Extensions: []service.Extension{{Target: System, Compute: typed(func(env *service.Env, files []string) ([]any, error) {
		if len(files) == 0 {
			return nil, nil
		}
		links := map[string]string{}
		for i, f := range files {
			if err := fileLike("gc_root", f); err != nil {
				return nil, err
			}
			links[fmt.Sprint(i)] = f
		}
		tree, err := env.Graph.FileUnion("gc-roots", links, false, derivation.Position{})
		if err != nil {
			return nil, err
		}
		return one(&SystemEntry{Name: "gc-roots", File: tree})
	})}},
}

// Provenance keeps the declaration in the system. It is not there by default,
// because it makes the system's path depend on every byte of the declaration.
var Provenance = &service.Type{
	Name:        "provenance",
	Description: "Keep the declaration that a system was made from in the system.",
	Check: func(v any) (any, error) {
		file, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("the value is %s, not a file", service.Describe(v))
		}
		return file, fileLike("provenance", file)
	},
	ValueDoc:    "the file (or folder) of the declaration, e.g. local_file(\"system.star\")",
	ProducesDoc: "the entries `configuration` and `provenance` of the system",
	Extensions: []service.Extension{{Target: System, Compute: typed(func(env *service.Env, file string) ([]any, error) {
		text, err := Encode(map[string]any{"version": spec.Version, "system": env.System, "configuration": file})
		if err != nil {
			return nil, err
		}
		record, err := env.Graph.Text("provenance", text, false, derivation.Position{})
		if err != nil {
			return nil, err
		}
		return many([]*SystemEntry{{Name: "configuration", File: file}, {Name: "provenance", File: record}})
	})}},
}

// Profile is what packages and services put under /usr.
var Profile = &service.Type{
	Name:            "profile",
	Description:     "The programs and files of all packages, in one tree.",
	Elements:        elements(""),
	Check:           checkList[string],
	Extend:          extendProfile,
	Default:         []string(nil),
	HasDefault:      true,
	ValueDoc:        "list of items and of names of packages",
	ContributionDoc: "names of packages; items: trees with bin, lib, share, …",
	ProducesDoc:     "the entry `profile` of the system, the tree of the items, and `package-items`, the packages by name; the container sees both at /usr, the items' files first",
	Extensions: []service.Extension{{Target: System, Compute: typed(func(env *service.Env, items []string) ([]any, error) {
		items, packages, err := splitPackages(env, items)
		if err != nil {
			return nil, err
		}
		// It is the topmost tree at /usr: a link to a folder would hide what
		// packages have in the folder of that name.
		tree, err := env.Graph.DirectoryUnion("profile", items, true, derivation.Position{})
		if err != nil || len(packages) == 0 {
			return []any{&SystemEntry{Name: "profile", File: tree}}, err
		}
		names, err := env.Graph.FileUnion("package-items", packages, false, derivation.Position{})
		if err != nil {
			return nil, err
		}
		return many([]*SystemEntry{{Name: "package-items", File: names}, {Name: "profile", File: tree}})
	})}},
}

// splitPackages tells packages from other items of a profile: a package's
// files are at /usr by themselves.
func splitPackages(env *service.Env, all []string) (items []string, packages map[string]string, err error) {
	packages = map[string]string{}
	for _, item := range all {
		if env.Packages == nil || !env.Packages.Is(item) {
			items = append(items, item)
			continue
		}
		ref, ok := env.Graph.Lookup(item)
		d, found := env.Graph.Derivation(ref.Drv)
		if !ok || !found {
			return nil, nil, errors.New("cannot put one file of a package into the profile: give the package itself")
		}
		packages[d.Env["package"]] = item
	}
	return items, packages, nil
}

// ErrNoPackageSource is the error for packages that are given by name where
// there is no source of packages.
var ErrNoPackageSource = errors.New("packages by name need a package source, and there is none here")

// PackageItem is the item of what a profile names: an item or a package.
func PackageItem(env *service.Env, item string, pos derivation.Position) (string, error) {
	if strings.HasPrefix(item, "/") {
		return item, nil
	}
	if env.Packages == nil {
		return "", service.At(pos, fmt.Errorf("cannot use package %q: %w; give an item, such as go_program(...) or local_file(...)", item, ErrNoPackageSource))
	}
	return env.Packages.Package(item, pos)
}

func extendProfile(env *service.Env, value, contributions any) (any, error) {
	v, err := extendList[string](env, value, contributions)
	if err != nil {
		return nil, err
	}
	var items []string
	seen := map[string]bool{}
	for _, item := range v.([]string) {
		if item, err = PackageItem(env, item, derivation.Position{}); err != nil {
			return nil, err
		}
		if !seen[item] {
			seen[item] = true
			items = append(items, item)
		}
	}
	return items, nil
}

// ContainerRequirements collects the runner's switches without which a system
// cannot work in a container.
var ContainerRequirements = &service.Type{
	Name:            "container_requirements",
	Description:     "Switches that a container of this system must be started with.",
	Elements:        elements(""),
	Check:           checkList[string],
	Extend:          extendList[string],
	Default:         []string(nil),
	HasDefault:      true,
	ValueDoc:        "list of switches, e.g. [\"nested\"]",
	ContributionDoc: "switches",
	ProducesDoc:     "`requires` in container.json; starting without one of them is an error that names it",
}
