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

	"osbuild/builder/debian/ldso"
	"osbuild/builder/debian/rootfs"
)

// providers are the packages of programs that scripts are written for, and
// that packages may count on without saying so because every Debian system
// has them.
var providers = map[string]string{
	"sh": "dash", "dash": "dash", "bash": "bash", "rbash": "bash", "perl": "perl-base", "python3": "python3-minimal",
	"awk": "mawk", "sed": "sed", "env": "coreutils", "make": "make", "tclsh": "tcl", "wish": "tk", "ruby": "ruby", "node": "nodejs",
	"php": "php-cli", "lua": "lua5.4", "zsh": "zsh", "ksh": "ksh", "expect": "expect", "guile": "guile-3.0", "gawk": "gawk",
}

// needKind is what a program needs a file for.
type needKind int

const (
	scriptNeed needKind = iota
	loaderNeed
	libraryNeed
)

// need is a file that programs need and that no package has.
type need struct {
	what  string
	kind  needKind
	users []string
}

// checkNeeds looks for the interpreters and libraries of all programs, and
// warns of those that no package has: without Debian's essential packages
// nothing else says so.
func (r *root) checkNeeds(ctx context.Context) error {
	missing := map[string]*need{}
	files := map[string]bool{} // names of all that could be a library
	for _, dir := range []string{"usr", "opt"} {
		if n := r.Top.Kids[dir]; n != nil {
			libraryNames(n, files)
		}
	}
	lack := func(what string, kind needKind, p string, n *rootfs.Node) {
		// An interpreter has one line, by whatever path it is called.
		key := what
		if kind == scriptNeed {
			key = base(what)
		}
		if missing[key] == nil {
			missing[key] = &need{what: what, kind: kind}
		}
		if path.IsAbs(what) && !path.IsAbs(missing[key].what) {
			missing[key].what = what
		}
		user := p
		if n.From != nil {
			user = n.From.Name + " " + p
		}
		missing[key].users = append(missing[key].users, user)
	}
	native, _ := ldso.ABIOf(r.arch())
	visit := func(p string, n *rootfs.Node) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n.Kind != rootfs.File || !n.Executable() && r.programs[n] == nil {
			return nil
		}
		prog, err := r.lookInto(n)
		if errors.Is(err, ldso.ErrNoProgram) {
			return nil
		}
		if err != nil {
			return err
		}
		// No package may have anything in /usr/local: such a line is of the
		// upstream, for whoever installs by hand.
		if in := prog.Interpreter; in != "" && n.Executable() && !strings.HasPrefix(in, "/usr/local/") && !r.interprets(in) {
			kind := loaderNeed
			if prog.Script {
				kind = scriptNeed
			}
			lack(in, kind, p, n)
		}
		for _, lib := range prog.Needed {
			if prog.Machine != native.Machine {
				break // for a machine that runs beside the processor
			}
			if !files[base(lib)] {
				lack(lib, libraryNeed, p, n)
			}
		}
		return nil
	}
	usr := r.Top.Kids["usr"]
	for _, dir := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "games"} {
		if n := usr.Kids[dir]; n != nil {
			if err := n.Each("/usr/"+dir, visit); err != nil {
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
func libraryNames(n *rootfs.Node, into map[string]bool) {
	for name, k := range n.Kids {
		if k.Kind == rootfs.Folder {
			libraryNames(k, into)
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
	const lacks = "which no package of this system has"
	switch n.kind {
	case libraryNeed:
		return fmt.Sprintf("programs need the library %s, %s (used by: %s)", n.what, lacks, by)
	case loaderNeed:
		return fmt.Sprintf(`programs need %s, %s: add "libc6" (used by: %s)`, n.what, lacks, by)
	}
	add := ""
	if p := providers[path.Base(n.what)]; p != "" {
		add = fmt.Sprintf(": add %q", p)
	}
	return fmt.Sprintf("%s scripts need %s, %s%s (used by: %s)", path.Base(n.what), n.what, lacks, add, by)
}

// base is the last name of a path.
func base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }
