// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/builder/lang"
)

func docVerb() verb {
	return verb{
		name:    "doc",
		args:    "NAME, FILE or FILE:NAME",
		summary: "print what a record or service type takes",
		help: `osbuild doc user_account
osbuild doc rootless_podman                   # a service type, and its configuration
osbuild doc @osbuild//base.star               # all that a module has
osbuild doc system.star                       # all that a file of your own defines
osbuild doc system.star:my_configuration      # one name of it
osbuild doc --format markdown system.star:my_configuration > my.md`,
		setup: func(fs *pflag.FlagSet) runFunc {
			format := fs.String("format", formatText, "how to print it: text or markdown")
			return func(ctx context.Context, a *app, args []string) error {
				if len(args) != 1 || args[0] == "" {
					return usagef("doc: give the name of one record or service type")
				}
				if *format != formatText && *format != formatMarkdown {
					return usagef("doc: --format takes %s or %s, not %q", formatText, formatMarkdown, *format)
				}
				d, err := a.doc(ctx, args[0])
				switch {
				case err != nil:
					return err
				case a.json:
					return a.printJSON(d)
				case *format == formatMarkdown:
					fmt.Fprint(a.stdout, d.Markdown())
				default:
					fmt.Fprint(a.stdout, d.PlainText())
				}
				return nil
			}
		},
	}
}

// The forms in which documentation is printed.
const (
	formatText     = "text"
	formatMarkdown = "markdown"
)

func (a *app) doc(ctx context.Context, target string) (*lang.Doc, error) {
	file, name, found := strings.Cut(target, declarationSuffix+":")
	switch {
	case found:
		file += declarationSuffix
	case strings.HasSuffix(target, declarationSuffix) && !strings.HasPrefix(target, "@"):
		file = target
	default:
		return lang.NewDoc(target)
	}
	l, err := readLock(file)
	if err != nil {
		return nil, err
	}
	e, err := a.evaluateWith(ctx, file, l)
	if err != nil {
		return nil, err
	}
	if !found {
		return e.program.DocFile(), nil
	}
	return e.program.Doc(name)
}

// declarationSuffix ends the names of declarations.
const declarationSuffix = ".star"
