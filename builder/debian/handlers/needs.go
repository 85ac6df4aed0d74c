// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// providers are the packages of programs that scripts are written for, and
// that packages may count on without saying so because every Debian system
// has them.
var providers = map[string]string{
	"sh": "dash", "dash": "dash", "bash": "bash", "rbash": "bash", "perl": "perl-base", "python3": "python3-minimal",
	"awk": "mawk", "sed": "sed", "env": "coreutils", "make": "make", "tclsh": "tcl", "wish": "tk", "ruby": "ruby", "node": "nodejs",
	"php": "php-cli", "lua": "lua5.4", "zsh": "zsh", "ksh": "ksh", "expect": "expect", "guile": "guile-3.0", "gawk": "gawk",
}

// need is a file that programs need and that no package has.
type need struct {
	what string
	// library says that it is one, and not an interpreter.
	library bool
	users   []string
}

// checkNeeds looks for the interpreters and libraries of all programs, and
// warns of those that no package has: without Debian's essential packages
// nothing else says so.
func (r *root) checkNeeds(ctx context.Context) error {
	missing := map[string]*need{}
	files := map[string]bool{} // names of all that could be a library
	for _, dir := range []string{"usr", "opt"} {
		if n := r.top.kids[dir]; n != nil {
			n.libraryNames(files)
		}
	}
	lack := func(what string, library bool, p string, n *node) {
		if missing[what] == nil {
			missing[what] = &need{what: what, library: library}
		}
		user := p
		if n.from != nil {
			user = n.from.name + " " + p
		}
		missing[what].users = append(missing[what].users, user)
	}
	native := abis[r.arch()]
	visit := func(p string, n *node) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n.kind != file || !n.executable() && r.programs[n] == nil {
			return nil
		}
		prog, err := r.lookInto(n)
		if errors.Is(err, errNoProgram) {
			return nil
		}
		if err != nil {
			return err
		}
		// No package may have anything in /usr/local: such a line is of the
		// upstream, for whoever installs by hand.
		if in := prog.interpreter; in != "" && n.executable() && !strings.HasPrefix(in, "/usr/local/") && !r.interprets(in) {
			lack(in, false, p, n)
		}
		for _, lib := range prog.needed {
			if prog.machine != native.machine {
				break // for a machine that runs beside the processor
			}
			if !files[base(lib)] {
				lack(lib, true, p, n)
			}
		}
		return nil
	}
	usr := r.top.kids["usr"]
	for _, dir := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "games"} {
		if n := usr.kids[dir]; n != nil {
			if err := n.each("/usr/"+dir, visit); err != nil {
				return err
			}
		}
	}
	for _, what := range sorted(missing) {
		r.warnings = append(r.warnings, missing[what].String())
	}
	return nil
}

// interprets says whether an interpreter is there: by its path, or by its name
// for env.
func (r *root) interprets(p string) bool {
	_, ok := r.program(p)
	return ok
}

// libraryNames collects the names of libraries wherever they lie: some
// programs say in themselves where they look.
func (n *node) libraryNames(into map[string]bool) {
	for name, k := range n.kids {
		if k.kind == folder {
			k.libraryNames(into)
		} else if strings.Contains(name, ".so") {
			into[name] = true
		}
	}
}

func (n *need) String() string {
	slices.Sort(n.users)
	by := n.users[0]
	if more := len(n.users) - 1; more > 0 {
		by += fmt.Sprintf(" and %d more", more)
	}
	if n.library {
		return fmt.Sprintf("programs need the library %s, which no package of this system has (used by: %s)", n.what, by)
	}
	name := path.Base(n.what)
	add := ""
	if p := providers[name]; p != "" {
		add = fmt.Sprintf(": add %q", p)
	} else if strings.HasPrefix(name, "ld-linux") || strings.HasPrefix(name, "ld64") {
		add = `: add "libc6"`
	}
	return fmt.Sprintf("%s scripts need %s, which no package of this system has%s (used by: %s)", name, n.what, add, by)
}
