// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/closure/view"
	"osbuild/cmd/launch"
	"osbuild/runner"
	"osbuild/runner/spec"
	"osbuild/store"
)

// exitOwn is the status of a start that failed in osbuild itself, so that it
// is told from the command's own.
const exitOwn = 125

// runRun is the launcher of run-container scripts. It needs nothing but the
// items of a closure in one folder: no records, no osbuild.
func runRun(args []string) (int, error) {
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	items := fs.String("store", "", "the folder in which the items lie")
	system := fs.String("system", "", "the system to boot, by its path in the store")
	closure := fs.String("closure", "", "the item that lists the system's closure")
	for _, name := range []string{"store", "system", "closure"} {
		// The script gives these; its callers see the rest.
		if err := fs.MarkHidden(name); err != nil {
			return exitOwn, err
		}
	}
	var flags launch.Flags
	flags.Declare(fs)
	if err := fs.Parse(args); err == pflag.ErrHelp {
		fmt.Printf("usage: run-container [OPTION]… [-- COMMAND…]\n\nBoot the system.\n\noptions:\n%s", fs.FlagUsages())
		return 0, nil
	} else if err != nil {
		return exitUsage, fmt.Errorf("%w: %w; see --help", errUsage, err)
	}
	command := fs.Args()
	if n := fs.ArgsLenAtDash(); n > 0 || n < 0 && len(command) > 0 {
		return exitUsage, fmt.Errorf("%w: %q: a command stands behind `--`", errUsage, command[0])
	}
	o, err := flags.Options(command)
	if err != nil {
		return exitOwn, err
	}
	if o.Container, err = launch.ReadContainer(*items, *system); err != nil {
		return exitOwn, err
	}
	o.System = *system
	o.Hierarchy.View = viewsIn(*items)
	list, err := os.ReadFile(filepath.Join(*items, filepath.Base(*closure)))
	if err != nil {
		return exitOwn, fmt.Errorf("cannot boot %s: %w", *system, err)
	}
	for p := range strings.FieldsSeq(string(list)) {
		o.Items = append(o.Items, launch.Item(*items, p))
	}
	return boot(&flags, *items, o)
}

// boot starts the container, here or in the background. Its items lie in folder.
func boot(flags *launch.Flags, folder string, o runner.Options) (int, error) {
	var messages io.Writer = os.Stderr
	o.Message = func(text string) { fmt.Fprintln(messages, text) }
	if flags.DryRun() {
		plan, err := runner.Plan(o)
		if err != nil {
			return exitOwn, err
		}
		fmt.Print(plan)
		return 0, nil
	}
	if flags.Detach() {
		name, status, err := launch.Detach(context.Background(), os.Args[1:], os.Stderr)
		if err != nil || status != 0 {
			return max(status, exitFailed), err
		}
		fmt.Println(name)
		return 0, nil
	}
	if r := launch.Background(); r != nil {
		messages = r
		r.Attach(&o)
	}
	release, err := protect(folder, "run "+o.System, o.Items)
	if err != nil {
		fmt.Fprintf(messages, "osbuild-init: warning: %v\n", err)
	}
	defer release()
	exit, err := runner.Run(context.Background(), o)
	if err != nil {
		fmt.Fprintf(messages, "osbuild-init: %v\n", err)
		var program *runner.ProgramError
		if errors.As(err, &program) {
			return program.Status, nil
		}
		return exitOwn, nil
	}
	return exit.Status(), nil
}

// viewsIn makes views where the folder with the items is that of a store.
func viewsIn(folder string) runner.ViewFunc {
	return func(ctx context.Context, lowers []spec.Lower) (string, func(), error) {
		root, ok := storeRoot(folder)
		if !ok {
			return "", nil, fmt.Errorf("cannot make a view: %s does not belong to a store", folder)
		}
		s, err := store.Open(root, store.Options{})
		if err != nil {
			return "", nil, err
		}
		return view.Func(s)(ctx, lowers)
	}
}
