// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"context"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/builder/services"
	"osbuild/builder/system"
	"osbuild/store"
)

// documentation is a program in which nothing is declared, and everything of
// osbuild can be looked at.
func documentation(ctx context.Context) (*Program, error) {
	graph := derivation.NewGraph(nil)
	return Load(ctx, "", Options{Graph: graph, Env: documentationEnv(graph)})
}

// documentationEnv lets types be asked what they would contribute: packages
// are names, and no item is ever made.
func documentationEnv(graph *derivation.Graph) *service.Env {
	return &service.Env{Graph: graph, Init: documentedPackages + "osbuild-init", System: derivation.HostSystem(), Packages: packageNames{}}
}

// documentedPackages begins what stands for a package in documentation.
const documentedPackages = "/package/"

// packageNames is a source of packages that only knows their names.
type packageNames struct{}

func (packageNames) Package(name string, _ derivation.Position) (string, error) {
	return documentedPackages + name, nil
}
func (packageNames) Is(path string) bool { return strings.HasPrefix(path, documentedPackages) }
func (packageNames) Use(service.PackagePolicy) ([]string, error) {
	return nil, nil
}

func (packageNames) Root([]string, bool, derivation.Position) (string, error) { return "", nil }

// documentedPackage gives the name of a package that a value stands for.
func documentedPackage(v starlark.Value) (string, bool) {
	s, ok := v.(starlark.String)
	if !ok {
		return "", false
	}
	return strings.CutPrefix(string(s), documentedPackages)
}

// itemMark stands in every path of an item.
const itemMark = store.Dir + "/"

// provisions names the services that PID 1 gets of a service of a type with
// its default value. A type without one, or that needs more than its value,
// gives none.
func (l *loader) provisions(t *service.Type) []string {
	if !t.HasDefault {
		return nil
	}
	env := l.options.Env
	if env == nil {
		env = documentationEnv(l.options.Graph)
	}
	var names []string
	for _, e := range t.Extensions {
		if e.Target != services.ShepherdRoot {
			continue
		}
		_ = l.run(func() error {
			list, err := e.Compute(env, t.Default)
			for _, c := range list {
				if s, ok := c.(*services.ShepherdService); ok && err == nil {
					names = append(names, s.Provision...)
				}
			}
			return err
		})
	}
	return names
}

// isEssential says whether every system has a service of a type by itself.
func (l *loader) isEssential(t *service.Type) bool {
	if l.essential == nil {
		l.essential = map[*service.Type]bool{}
		// A fault here is one of osbuild, and documentation without the
		// remark is better than none.
		types, _ := system.EssentialTypes(documentationEnv(derivation.NewGraph(nil)))
		for _, known := range types {
			l.essential[known] = true
		}
	}
	return l.essential[t]
}

// moduleText is what a module says of itself: the text that it begins with.
func moduleText(source string) string {
	f, err := fileOptions.Parse("", source, 0)
	if err != nil || len(f.Stmts) == 0 {
		return ""
	}
	first, ok := f.Stmts[0].(*syntax.ExprStmt)
	if !ok {
		return ""
	}
	text, ok := first.X.(*syntax.Literal)
	if !ok || text.Token != syntax.STRING {
		return ""
	}
	return outdent(text.Value.(string))
}
