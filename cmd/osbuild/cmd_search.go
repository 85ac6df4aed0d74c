// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/builder/lang"
)

func searchVerb() verb {
	return verb{
		name:    "search",
		args:    "WORD…",
		summary: "find service types, records and functions by words of their documentation",
		help: `osbuild search web server        # what both words match, the most relevant first
osbuild search podman
osbuild search '^host'           # words are regular expressions
osbuild search .                 # everything`,
		setup: func(*pflag.FlagSet) runFunc { return search },
	}
}

func search(ctx context.Context, a *app, args []string) error {
	if len(args) == 0 {
		return usagef("search: give one word or more; `osbuild search .` lists everything")
	}
	var patterns []*regexp.Regexp
	for _, word := range args {
		p, err := regexp.Compile("(?i)" + word)
		if err != nil {
			return usagef("search: cannot use the word %q: %v; words are regular expressions", word, err)
		}
		patterns = append(patterns, p)
	}
	hits, err := lang.Search(ctx, patterns)
	if err != nil {
		return err
	}
	if len(hits) == 0 {
		hint := ""
		if len(args) == 1 {
			hint = lang.Meant(ctx, args[0])
		}
		return fmt.Errorf("cannot find %s: no service type, record or function says so%s; `osbuild search .` lists all", strings.Join(quoted(args), " and "), hint)
	}
	if a.json {
		return a.printJSON(hits)
	}
	for i, h := range hits {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		fmt.Fprint(a.stdout, h)
	}
	return nil
}

func quoted(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = fmt.Sprintf("%q", w)
	}
	return out
}
