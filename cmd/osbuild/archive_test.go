// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"osbuild/builder/debian/apt/apttest"
)

// archives are the package archives of the scripts, one a script, by the
// folder that the script works in.
type archives struct {
	t *testing.T

	mu    sync.Mutex
	repos map[string]*apttest.Repo
}

// command makes the script's archive, if it has none, and changes it:
//
//	archive FILE…      adds the records in FILE, separated by empty lines
//	archive -NAME…     takes a package out
//
// From then on the host's apt, as osbuild sees it, knows this archive alone.
func (a *archives) command(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: archive FILE or -NAME…")
	}
	dir := ts.MkAbs(".")
	a.mu.Lock()
	defer a.mu.Unlock()
	repo, ok := a.repos[dir]
	if !ok {
		repo = apttest.New(a.t)
		a.repos[dir] = repo
	}
	for _, arg := range args {
		if name, ok := strings.CutPrefix(arg, "-"); ok {
			repo.Remove(name)
			continue
		}
		for stanza := range strings.SplitSeq(ts.ReadFile(arg), "\n\n") {
			if strings.TrimSpace(stanza) != "" {
				repo.AddStanza(strings.TrimSpace(stanza) + "\n")
			}
		}
	}
	repo.Publish()
	ts.Setenv("OSBUILD_APT_ROOT", repo.Root())
}
