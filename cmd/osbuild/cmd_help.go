// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// versionString is what --version prints. It is not the commit: the program
// becomes an item by its bytes, and those must not depend on a checkout.
const versionString = "0.1"

func (a *app) usage(w io.Writer) {
	fmt.Fprintln(w, "usage: osbuild COMMAND [OPTION]… [ARGUMENT]…")
}

// help prints all commands, or one.
func (a *app) help(words []string) error {
	if len(words) == 0 {
		a.usage(a.stdout)
		fmt.Fprintln(a.stdout, "\nBuild, boot and share small Linux systems.\n\ncommands:")
		for _, v := range verbs() {
			fmt.Fprintf(a.stdout, "  %-18s %s\n", v.name, v.summary)
		}
		fmt.Fprintln(a.stdout, "\noptions of every command:")
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		a.globals(fs)
		fmt.Fprint(a.stdout, fs.FlagUsages())
		fmt.Fprintln(a.stdout, "\n`osbuild help COMMAND` shows its options and examples.")
		return nil
	}
	v, _, err := findVerb(words)
	if err != nil {
		// `osbuild help store` lists the actions of a group.
		group := 0
		for _, v := range verbs() {
			if strings.HasPrefix(v.name, words[0]+" ") {
				fmt.Fprintf(a.stdout, "osbuild %s %s\n    %s\n", v.name, v.args, v.summary)
				group++
			}
		}
		if group > 0 {
			return nil
		}
		return err
	}
	fmt.Fprintf(a.stdout, "usage: osbuild %s %s\n\n%s\n", v.name, v.args, v.summary)
	fs := pflag.NewFlagSet(v.name, pflag.ContinueOnError)
	v.setup(fs)
	if fs.HasFlags() {
		fmt.Fprintf(a.stdout, "\noptions:\n%s", fs.FlagUsages())
	}
	if v.help != "" {
		fmt.Fprintf(a.stdout, "\nexamples:\n%s\n", indent(v.help))
	}
	return nil
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.Trim(text, "\n"), "\n", "\n  ")
}
