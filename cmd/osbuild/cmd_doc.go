// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"osbuild/builder/lang"
)

func docVerb() verb {
	return verb{
		name:    "doc",
		args:    "NAME",
		summary: "print what a record or service type of the language takes",
		help: `osbuild doc user_account
osbuild doc account`,
		setup: func(*pflag.FlagSet) runFunc {
			return func(_ context.Context, a *app, args []string) error {
				if len(args) != 1 {
					return usagef("doc: give the name of one record or service type")
				}
				text, err := lang.Doc(args[0])
				if err == nil {
					fmt.Fprint(a.stdout, text)
				}
				return err
			}
		},
	}
}
