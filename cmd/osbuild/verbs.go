// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/runner"
)

// verb is one command of osbuild.
type verb struct {
	// name is one word, or two as in "store add".
	name string
	// args is the shape of the arguments, for the usage line.
	args    string
	summary string
	// help is what `osbuild help VERB` adds: examples, a line each.
	help string
	// raw verbs take everything behind the first argument as it stands, so
	// that the options of a program that they run are left alone.
	raw bool
	// program verbs pass on a program's exit status, so a failure of osbuild
	// itself ends with 125.
	program bool
	// setup declares the flags and returns what runs afterwards.
	setup func(fs *pflag.FlagSet) runFunc
}

type runFunc func(ctx context.Context, a *app, args []string) error

// verbs lists all commands; each stands in a file of its own name.
func verbs() []verb {
	list := []verb{buildVerb(), runContainerVerb(), imageVerb(), evalVerb(), doctorVerb(), docVerb(), graphVerb(), lockVerb(), searchVerb(), keygenVerb(), signVerb(), pushVerb(), pullVerb(), cacheInfoVerb(), serveVerb()}
	list = append(list, containerVerbs()...)
	list = append(list, storeVerbs()...)
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	return list
}

func (a *app) dispatch(ctx context.Context, args []string) error {
	// Global flags may stand before the verb too.
	front := pflag.NewFlagSet("osbuild", pflag.ContinueOnError)
	front.SetInterspersed(false)
	front.SetOutput(io.Discard)
	a.globals(front)
	version := front.Bool("version", false, "print the version")
	if err := front.Parse(args); err != nil {
		if err == pflag.ErrHelp {
			return a.help(nil)
		}
		return usagef("%v; see `osbuild help`", err)
	}
	args = front.Args()
	if *version {
		fmt.Fprintln(a.stdout, "osbuild", versionString)
		return nil
	}
	if len(args) == 0 {
		a.usage(a.stderr)
		return usagef("no command given; see `osbuild help`")
	}
	if args[0] == "help" {
		return a.help(args[1:])
	}
	v, rest, err := findVerb(args)
	if err != nil {
		return err
	}
	fs := pflag.NewFlagSet(v.name, pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.SetInterspersed(!v.raw)
	run := v.setup(fs)
	saved := *a
	a.globals(fs)
	// Declaring a flag resets its variable to the default; what stood before
	// the verb stays unless it is given again.
	a.root, a.json, a.jobs, a.offline, a.quiet, a.verbose, a.sync = saved.root, saved.json, saved.jobs, saved.offline, saved.quiet, saved.verbose, saved.sync
	if err := fs.Parse(rest); err != nil {
		if err == pflag.ErrHelp {
			return a.help(strings.Fields(v.name))
		}
		return usagef("%s: %v; see `osbuild help %s`", v.name, err, v.name)
	}
	args = fs.Args()
	if n := fs.ArgsLenAtDash(); n >= 0 && !v.raw {
		args = append(append(append([]string{}, args[:n]...), dashDash), args[n:]...)
	}
	if a.jobs < 0 {
		return usagef("%s: --jobs takes a number from 0", v.name)
	}
	if a.sync != syncBatch && a.sync != syncLazy {
		return usagef("%s: --sync (OSBUILD_SYNC) is %s or %s, not %q", v.name, syncBatch, syncLazy, a.sync)
	}
	a.purpose = strings.Join(append([]string{v.name}, args[:min(1, len(args))]...), " ")
	err = run(ctx, a, args)
	if v.program {
		err = ownFailure(err)
	}
	return err
}

// dashDash stands in a verb's arguments where the user wrote `--`.
const dashDash = "--"

// splitCommand splits arguments at `--`: what stands before, and the command.
func splitCommand(args []string) (before, command []string) {
	for i, arg := range args {
		if arg == dashDash {
			return args[:i], args[i+1:]
		}
	}
	return args, nil
}

// ownFailure gives an error of osbuild itself the status 125, unless it is
// wrong use or already carries a status.
func ownFailure(err error) error {
	switch err.(type) {
	case nil, exitError, usageError:
		return err
	}
	var program *runner.ProgramError
	if errors.As(err, &program) {
		return exitError{code: program.Status, err: err}
	}
	return exitError{code: statusOwnFailure, err: err}
}

func findVerb(args []string) (verb, []string, error) {
	all := verbs()
	for words := 2; words >= 1; words-- {
		if len(args) < words {
			continue
		}
		name := strings.Join(args[:words], " ")
		for _, v := range all {
			if v.name == name {
				return v, args[words:], nil
			}
		}
	}
	name := args[0]
	var sub []string
	for _, v := range all {
		if group, rest, ok := strings.Cut(v.name, " "); ok && group == name {
			sub = append(sub, rest)
		}
	}
	if len(sub) > 0 && len(args) == 1 {
		return verb{}, nil, usagef("%s: no action given; one of %s", name, strings.Join(sub, ", "))
	}
	if len(sub) > 0 {
		return verb{}, nil, usagef("%s: unknown action %q%s", name, args[1], didYouMean(args[1], sub))
	}
	var names []string
	for _, v := range all {
		group, _, _ := strings.Cut(v.name, " ")
		names = append(names, group)
	}
	return verb{}, nil, usagef("unknown command %q%s; see `osbuild help`", name, didYouMean(name, names))
}

// didYouMean offers the nearest of names, if one is near.
func didYouMean(word string, names []string) string {
	// In a short word nearly everything is near.
	best, distance := "", min(3, max(2, len(word)/2))
	for _, n := range names {
		if d := editDistance(word, n); d < distance {
			best, distance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// editDistance is the Levenshtein distance of two words, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
