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
		args:    "NAME or FILE:NAME",
		summary: "print what a record or service type takes",
		help: `osbuild doc user_account
osbuild doc account
osbuild doc system.star:my_configuration`,
		setup: func(*pflag.FlagSet) runFunc {
			return func(ctx context.Context, a *app, args []string) error {
				if len(args) != 1 {
					return usagef("doc: give the name of one record or service type")
				}
				text, err := a.doc(ctx, args[0])
				if err == nil {
					fmt.Fprint(a.stdout, text)
				}
				return err
			}
		},
	}
}

func (a *app) doc(ctx context.Context, target string) (string, error) {
	file, name, found := strings.Cut(target, ".star:")
	if !found {
		return lang.Doc(target)
	}
	l, err := readLock(file + ".star")
	if err != nil {
		return "", err
	}
	e, err := a.evaluateWith(ctx, file+".star", l)
	if err != nil {
		return "", err
	}
	return e.program.Doc(name)
}
