// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/pattern"
	"mvdan.cc/sh/v3/syntax"
)

func (sh *shell) set(name, value string) {
	sh.spend(len(value))
	if len(value) > maxText || sh.maybe > 0 {
		value = unknown
	}
	sh.vars[name] = expand.Variable{Set: true, Kind: expand.String, Str: value}
}

// Get, Each and Set are the variables as the expansion library sees them.
func (sh *shell) Get(name string) expand.Variable {
	str := func(s string) expand.Variable { return expand.Variable{Set: true, Kind: expand.String, Str: s} }
	switch name {
	case "#":
		return str(strconv.Itoa(len(sh.args)))
	case "@", "*":
		return expand.Variable{Set: true, Kind: expand.Indexed, List: sh.args}
	case "?":
		if sh.last == unsure {
			return str(unknown)
		}
		return str(strconv.Itoa(int(sh.last)))
	case "$", "PPID", "!":
		return str(unknown)
	}
	if i, err := strconv.Atoi(name); err == nil && i > 0 {
		if i <= len(sh.args) {
			return str(sh.args[i-1])
		}
		return expand.Variable{}
	}
	if strings.HasPrefix(name, "HOME ") {
		return str(unknown)
	}
	return sh.vars[name]
}

// Each is not used: nothing is executed, so nothing inherits variables.
func (sh *shell) Each(func(string, expand.Variable) bool) {}

// Set is for ${x:=y} and arithmetic.
func (sh *shell) Set(name string, v expand.Variable) error {
	if !v.IsSet() {
		delete(sh.vars, name)
		return nil
	}
	sh.set(name, v.Str)
	return nil
}

func (sh *shell) config() *expand.Config {
	return &expand.Config{
		Env: sh,
		CmdSubst: func(w io.Writer, c *syntax.CmdSubst) error {
			sub := sh.child()
			sub.out, sub.pipe = &strings.Builder{}, true
			sub.stmts(c.Stmts)
			sh.last = sub.last
			text := bounded(sub.out.String())
			if !sh.spend(len(text)) {
				return errTooLong
			}
			_, err := io.WriteString(w, text)
			return err
		},
		ReadDir2: func(p string) ([]fs.DirEntry, error) {
			list, err := sh.r.readDir(p)
			*sh.steps += 1 + len(list)
			if *sh.steps > maxSteps {
				return nil, errTooLong
			}
			return list, err
		},
	}
}

// affordable says whether words do not become too long. The expansion library
// knows no bounds, and a word may name long variables many times.
func (sh *shell) affordable(words ...*syntax.Word) bool {
	total := 0
	for _, w := range words {
		total += sh.length(w)
	}
	return sh.spend(min(total, maxSteps<<8)) && total <= maxText
}

// length is at least what the variables of a word become.
func (sh *shell) length(w syntax.Node) int {
	total := 0
	syntax.Walk(w, func(n syntax.Node) bool {
		p, ok := n.(*syntax.ParamExp)
		if _, own := n.(*syntax.CmdSubst); own || !ok || total > maxText {
			return !own && total <= maxText
		}
		v := sh.Get(p.Param.Value)
		size := len(v.Str)
		for _, s := range v.List {
			size += 1 + len(s)
		}
		if p.Repl != nil && p.Repl.With != nil {
			size += min(size, maxText) * min(sh.length(p.Repl.With), maxText)
		}
		total += size
		return true
	})
	return total
}

func bounded(s string) string {
	if len(s) > maxText {
		return unknown
	}
	return s
}

// fields expands words to the arguments of a command.
func (sh *shell) fields(words ...*syntax.Word) []string {
	if !sh.affordable(words...) {
		return []string{unknown}
	}
	out, err := expand.Fields(sh.config(), words...)
	if err != nil {
		return []string{unknown}
	}
	return out
}

// literal expands a word to one string.
func (sh *shell) literal(w *syntax.Word) string {
	if !sh.affordable(w) {
		return unknown
	}
	s, err := expand.Literal(sh.config(), w)
	if err != nil {
		return unknown
	}
	return bounded(s)
}

// document expands a here-document.
func (sh *shell) document(w *syntax.Word) string {
	if !sh.affordable(w) {
		return unknown
	}
	s, err := expand.Document(sh.config(), w)
	if err != nil {
		return unknown
	}
	return bounded(s)
}

// matches says whether a word has the form of a pattern of case.
func (sh *shell) matches(word string, pat *syntax.Word) status {
	if !sh.affordable(pat) || !sh.spend(len(word)) {
		return unsure
	}
	p, err := expand.Pattern(sh.config(), pat)
	if err != nil || !known(p) {
		return unsure
	}
	if p == "*" {
		return success
	}
	if !known(word) {
		return unsure
	}
	expr, err := pattern.Regexp(p, pattern.EntireString)
	if err != nil {
		return unsure
	}
	re, err := compile(expr)
	if err != nil {
		return unsure
	}
	return when(re.MatchString(word))
}

// readDir lists a folder of the tree for patterns such as *.conf.
func (r *root) readDir(p string) ([]fs.DirEntry, error) {
	n, _, err := r.find(p, true)
	if err != nil {
		return nil, err
	}
	var out []fs.DirEntry
	for _, name := range n.names() {
		out = append(out, entry{name, n.kids[name]})
	}
	return out, nil
}

// entry is a node as the standard library sees it.
type entry struct {
	name string
	n    *node
}

func (e entry) Name() string               { return e.name }
func (e entry) IsDir() bool                { return e.n.kind == folder }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }
func (e entry) Size() int64                { return 0 }
func (e entry) ModTime() time.Time         { return time.Time{} }
func (e entry) Sys() any                   { return nil }
func (e entry) Mode() fs.FileMode          { return e.Type() }
func (e entry) Type() fs.FileMode {
	switch e.n.kind {
	case folder:
		return fs.ModeDir
	case link:
		return fs.ModeSymlink
	}
	return 0
}
