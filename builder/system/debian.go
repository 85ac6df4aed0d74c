// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"slices"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/builder/services"
)

// Debian says how the packages of a system are chosen.
type Debian struct {
	Pos       derivation.Position `star:"-"`
	Suite     string              `star:"suite" doc:"The one suite that packages come from, such as \"bookworm\", with its updates and security; by default all that the host's apt knows."`
	Essential string              `star:"essential" doc:"Which packages come along that nothing depends on by name: \"none\", \"minimal\" (a shell and the basic tools), or \"full\" (all that Debian calls essential)."`
	Ignore    []string            `star:"ignore" doc:"Packages whose scripts cause no warning when they do what osbuild does not; \"*\" stands for all, and for all other warnings about packages."`
}

var essentials = []string{"none", "minimal", "full"}

// Validate checks the fields.
func (d *Debian) Validate() error {
	if !slices.Contains(essentials, d.Essential) {
		return fmt.Errorf("field essential: %q is not one of %s%s", d.Essential, strings.Join(essentials, ", "), service.Meant(d.Essential, essentials))
	}
	if strings.ContainsAny(d.Suite, " \t\n") {
		return fmt.Errorf("field suite: %q is not the name of a suite, such as bookworm", d.Suite)
	}
	return nil
}

// zoneData is the package of the files of /usr/share/zoneinfo.
const zoneData = "tzdata"

// packages are the items of a system's packages: those that its source adds,
// then those that it names.
func (o *OperatingSystem) packages(env *service.Env) ([]string, error) {
	var items []string
	if env.Packages != nil {
		policy := service.PackagePolicy{Essential: "none", Pos: o.Pos}
		if d := o.PackageSource; d != nil {
			policy = service.PackagePolicy{Suite: d.Suite, Essential: d.Essential, Ignore: d.Ignore, Pos: d.Pos}
		}
		var err error
		if items, err = env.Packages.Use(policy); err != nil {
			return nil, err
		}
	}
	names := o.Packages
	byName := func(p string) bool { return !strings.HasPrefix(p, "/") }
	if o.Timezone != "" && slices.ContainsFunc(names, byName) && !slices.Contains(names, zoneData) {
		// /etc/localtime leads into it.
		names = append(slices.Clone(names), zoneData)
	}
	for _, name := range names {
		item, err := services.PackageItem(env, name, o.Pos)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}
