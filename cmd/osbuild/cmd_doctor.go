// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"osbuild/runner"
)

func doctorVerb() verb {
	return verb{
		name:    "doctor",
		summary: "say what this machine lacks, and the command that mends it",
		setup:   func(*pflag.FlagSet) runFunc { return doctor },
	}
}

func doctor(_ context.Context, a *app, args []string) error {
	if len(args) != 0 {
		return usagef("doctor takes no arguments")
	}
	findings := runner.Doctor()
	if a.json {
		if err := a.printJSON(findings); err != nil {
			return err
		}
	}
	bad := 0
	for _, f := range findings {
		mark := "ok  "
		if !f.OK {
			mark = "BAD "
			bad++
		}
		if a.json {
			continue
		}
		fmt.Fprintf(a.stdout, "%s %s: %s\n", mark, f.What, f.Detail)
		if !f.OK && f.Remedy != "" {
			fmt.Fprintf(a.stdout, "     to mend it: %s\n", f.Remedy)
		}
	}
	if bad > 0 {
		return errors.New("this machine lacks something that osbuild needs")
	}
	return nil
}
