// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package handlers makes what the scripts of Debian packages would make, as
// data, without running any of them: accounts, owners, links of alternatives,
// the cache of shared libraries, the files that scripts copy to their places.
//
// It owns the builtin package-root. Package script reads the scripts; their
// commands are claimed by classes, one a file, which change one model of the
// root ([root], and the tree of package rootfs); what nobody claims is said in
// a warning. It never executes anything, never changes an item, and decides
// nothing about which packages a system has. Start with [Builtin], then
// classes, then world.go.
package handlers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/debian/items"
	"osbuild/builder/debian/recipe"
	"osbuild/builder/debian/rootfs"
	"osbuild/builder/realise"
	"osbuild/store"
)

// Builtin is package-root, to be wired into a [realise.Realiser].
func Builtin() realise.Builtin { return builtin{} }

type builtin struct{}

func (builtin) Name() string { return recipe.BuiltinRoot }

func (builtin) Version() int { return recipe.VersionRoot }

// Build makes the root of the packages in the list Env["set"].
func (builtin) Build(ctx context.Context, r realise.Request) error {
	set, err := items.ReadSet(r.Physical(store.Path(r.Drv.Env["set"])))
	if err != nil {
		return err
	}
	var pkgs []*pkg
	for _, e := range set {
		pkgs = append(pkgs, &pkg{Package: &rootfs.Package{
			Name: e.Package, Version: e.Version, Item: string(e.Item), Dir: r.Physical(store.Path(e.Item)),
		}})
	}
	root, err := compose(ctx, pkgs)
	if err != nil {
		return err
	}
	ignored := strings.Fields(r.Drv.Env["ignore"])
	root.expect(strings.Fields(r.Drv.Env["programs"]))
	warnings := root.warn(ignored)
	for _, w := range warnings {
		if r.Warn != nil {
			r.Warn(w)
		}
		fmt.Fprintln(r.Log, "warning: "+w)
	}
	return root.writeItem(r.Outs["out"], string(r.Scratch["out"]), warnings)
}

// class is one kind of thing that scripts do: the commands that it claims,
// and what is made once all scripts were read.
type class struct {
	name     string
	commands map[string]command
	// quiet says that its commands change nothing of the root: they are done
	// under conditions that cannot be known too.
	quiet bool
	// whole are packages whose scripts it does as a whole: they are not read.
	whole  []string
	finish func(*root) error
}

// The classes that other files name.
const (
	classFiles   = "files"
	classDebconf = "debconf"
)

// classes are all, in the order in which they finish.
func classes() []class {
	return []class{
		files, diverts, users, debconf, services, caches, state, capabilities, apache, shells, nsswitch, pam, locales, temporaryFiles,
		certificates, alternativesClass, libraries, dpkgStatus,
	}
}

// claim is a command of a class.
type claim struct {
	do    command
	class string
	quiet bool
}

// claims are the commands of all classes, and wholes the packages whose
// scripts a class does as a whole. They are filled at start since commands
// lead back here.
var (
	claims = map[string]claim{}
	wholes = map[string]string{}
)

func init() {
	for _, k := range classes() {
		for name, do := range k.commands {
			claims[name] = claim{do, k.name, k.quiet}
		}
		for _, name := range k.whole {
			wholes[name] = k.name
		}
	}
}

// compose reads the packages and does what their scripts say.
func compose(ctx context.Context, pkgs []*pkg) (*root, error) {
	slices.SortFunc(pkgs, func(a, b *pkg) int { return strings.Compare(a.Name, b.Name) })
	r, err := open(ctx, pkgs)
	if err != nil {
		return nil, err
	}
	order := r.order()
	for _, step := range []struct{ name, argument string }{{"preinst", "install"}, {"config", "configure"}, {"postinst", "configure"}} {
		for _, p := range order {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			text, err := p.Member(step.name)
			if err != nil {
				return nil, err
			}
			if k, ok := wholes[p.Name]; ok {
				p.did[k] = true
				continue
			}
			if text != "" {
				// The second argument is the version before, which is none; dpkg
				// gives it to postinst as an empty one.
				args := []string{step.argument}
				if step.name != "preinst" {
					args = append(args, "")
				}
				r.readScript(p, step.name, text, args...)
			}
		}
		if step.name == "preinst" {
			// Scripts of this kind say which files stand aside for others.
			if err := r.Settle(); err != nil {
				return nil, err
			}
		}
	}
	for _, k := range classes() {
		if k.finish == nil {
			continue
		}
		if err := k.finish(r); err != nil {
			return nil, fmt.Errorf("cannot make the %s of the packages: %w", k.name, err)
		}
	}
	return r, r.checkNeeds(ctx)
}
