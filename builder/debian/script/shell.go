// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// Shell reads one maintainer script as if it ran on a system on which its
// package was just unpacked for the first time, and which is not the running
// one. Nothing is executed: commands are handed to the world, or they are
// written down as left. Where a condition cannot be known,
// both ways are read, and what they would do is left.
type Shell struct {
	world World
	vars  map[string]expand.Variable
	args  []string // $1 …
	funcs map[string]*syntax.Stmt

	// maybe is how many conditions that cannot be known are around.
	maybe int
	depth int
	steps *int
	// user is who runs it, for what su runs.
	user string
	// mask is the umask.
	mask uint32
	// last is $?.
	last Status
	jump jump
	// count is the number of break or continue.
	count int
	in    *input
	out   *strings.Builder
	// pipe says that the output is read by a command, so that a command
	// nobody knows only matters for what it says.
	pipe bool
}

// jump is what leaves the way from one command to the next.
type jump int

const (
	goOn jump = iota
	breakLoop
	nextRound
	leaveFunction
	leaveScript
)

// input is what a command reads.
type input struct{ text string }

const defaultMask = 0o022

// Bounds of a script; real ones stay far below. The parser calls itself for
// what is nested, so a script must not be so long that this takes all memory.
const (
	maxSteps  = 50_000
	maxDepth  = 60
	maxText   = 1 << 20
	maxScript = 256 << 10
)

// errTooLong ends the reading of a script that does not end.
var errTooLong = errors.New("it is too long to be read")

// newShell is for a script in its world.
func newShell(w World, s Script) *Shell {
	sh := &Shell{
		world: w, args: s.Args, vars: map[string]expand.Variable{}, funcs: map[string]*syntax.Stmt{},
		user: "root", mask: defaultMask, steps: new(int), out: &strings.Builder{}, in: &input{},
	}
	for name, value := range map[string]string{
		"DPKG_MAINTSCRIPT_PACKAGE": s.Package, "DPKG_MAINTSCRIPT_NAME": s.Name, "DPKG_MAINTSCRIPT_ARCH": s.Arch,
		"DPKG_ROOT": "", "DPKG_ADMINDIR": "/var/lib/dpkg", "DEBIAN_FRONTEND": "noninteractive",
		"HOME": "/root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PWD": "/", "IFS": " \t\n",
		"0": "/var/lib/dpkg/info/" + s.Package + "." + s.Name,
	} {
		sh.Set(name, value)
	}
	return sh
}

// source reads a text in this shell.
func (sh *Shell) source(name, text string) (err error) {
	// The expansion library panics on a few forms of words that no sane
	// script has; a package must not end the build that way.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it cannot be read: %v", p)
		}
	}()
	if len(text) > maxScript {
		return errTooLong
	}
	f, err := parse(name, text)
	if err != nil {
		return err
	}
	sh.stmts(f.Stmts)
	if *sh.steps > maxSteps {
		return errTooLong
	}
	return nil
}

// parse reads a script's text.
func parse(name, text string) (*syntax.File, error) {
	if strings.HasPrefix(text, "\x7fELF") {
		return nil, errors.New("it is compiled")
	}
	first, _, _ := strings.Cut(text, "\n")
	lang := syntax.LangPOSIX
	if line, ok := strings.CutPrefix(first, "#!"); ok {
		words := strings.Fields(line)
		if len(words) > 1 && path.Base(words[0]) == "env" {
			words = words[1:]
		}
		if len(words) == 0 {
			return nil, errors.New("its first line names no interpreter")
		}
		switch path.Base(words[0]) {
		case "sh", "dash":
		case "bash":
			lang = syntax.LangBash
		default:
			return nil, fmt.Errorf("it is written for %s", words[0])
		}
	}
	f, err := syntax.NewParser(syntax.Variant(lang)).Parse(strings.NewReader(text), name)
	if err != nil && lang == syntax.LangPOSIX {
		f, err = syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), name)
	}
	return f, err
}

// Leave tells the world of a command that nobody did, as it is shown.
func (sh *Shell) Leave(command string) {
	for known := false; !known; known = !strings.Contains(command, Unknown+Unknown) {
		command = strings.ReplaceAll(command, Unknown+Unknown, Unknown)
	}
	command = strings.Join(strings.Fields(strings.ReplaceAll(command, Unknown, "…")), " ")
	if r := []rune(command); len(r) > maxShown {
		command = string(r[:maxShown-1]) + "…"
	}
	sh.world.Leave(command)
}

// maxShown is how much of a command a warning shows.
const maxShown = 60

// child is a shell of its own for a command substitution or a subshell: its
// variables are lost at its end.
func (sh *Shell) child() *Shell {
	c := *sh
	c.vars = make(map[string]expand.Variable, len(sh.vars))
	for k, v := range sh.vars {
		c.vars[k] = v
	}
	c.args = slices.Clone(sh.args)
	c.depth++
	c.jump = goOn
	return &c
}

// Spend counts text that is worked on: that takes its time, and memory, too.
// It says whether to go on.
func (sh *Shell) Spend(bytes int) bool {
	*sh.steps += bytes >> 8
	return *sh.steps <= maxSteps
}

// step counts what was read, and says whether to go on.
func (sh *Shell) step() bool {
	*sh.steps++
	return *sh.steps <= maxSteps && sh.depth <= maxDepth
}
