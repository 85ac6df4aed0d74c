// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"io"
	"io/fs"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/pattern"
	"mvdan.cc/sh/v3/syntax"
)

// Set gives a variable a value; under conditions that cannot be known, none
// that is known.
func (sh *Shell) Set(name, value string) {
	sh.Spend(len(value))
	if len(value) > maxText || sh.maybe > 0 {
		value = Unknown
	}
	sh.vars[name] = expand.Variable{Set: true, Kind: expand.String, Str: value}
}

// environ are the variables as the expansion library sees them.
type environ struct{ *Shell }

// Get gives the variables, and those that only the shell itself can set.
func (sh environ) Get(name string) expand.Variable {
	str := func(s string) expand.Variable { return expand.Variable{Set: true, Kind: expand.String, Str: s} }
	switch name {
	case "#":
		return str(strconv.Itoa(len(sh.args)))
	case "@", "*":
		return expand.Variable{Set: true, Kind: expand.Indexed, List: sh.args}
	case "?":
		if sh.last == Unsure {
			return str(Unknown)
		}
		return str(strconv.Itoa(int(sh.last)))
	case "$", "PPID", "!":
		return str(Unknown)
	}
	if i, err := strconv.Atoi(name); err == nil && i > 0 {
		if i <= len(sh.args) {
			return str(sh.args[i-1])
		}
		return expand.Variable{}
	}
	if strings.HasPrefix(name, "HOME ") {
		return str(Unknown)
	}
	return sh.vars[name]
}

// Each is not used: nothing is executed, so nothing inherits variables.
func (environ) Each(func(string, expand.Variable) bool) {}

// Set is for ${x:=y} and arithmetic.
func (sh environ) Set(name string, v expand.Variable) error {
	if !v.IsSet() {
		delete(sh.vars, name)
		return nil
	}
	sh.Shell.Set(name, v.Str)
	return nil
}

func (sh *Shell) config() *expand.Config {
	return &expand.Config{
		Env: environ{sh},
		CmdSubst: func(w io.Writer, c *syntax.CmdSubst) error {
			sub := sh.child()
			sub.out, sub.pipe = &strings.Builder{}, true
			sub.stmts(c.Stmts)
			sh.last = sub.last
			text := bounded(sub.out.String())
			if !sh.Spend(len(text)) {
				return errTooLong
			}
			_, err := io.WriteString(w, text)
			return err
		},
		ReadDir2: func(p string) ([]fs.DirEntry, error) {
			list, err := sh.readDir(p)
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
func (sh *Shell) affordable(words ...*syntax.Word) bool {
	total := 0
	for _, w := range words {
		total += sh.length(w)
	}
	return sh.Spend(min(total, maxSteps<<8)) && total <= maxText
}

// length is at least what the variables of a word become.
func (sh *Shell) length(w syntax.Node) int {
	total := 0
	syntax.Walk(w, func(n syntax.Node) bool {
		p, ok := n.(*syntax.ParamExp)
		if _, own := n.(*syntax.CmdSubst); own || !ok || total > maxText {
			return !own && total <= maxText
		}
		v := environ{sh}.Get(p.Param.Value)
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
		return Unknown
	}
	return s
}

// fields expands words to the arguments of a command.
func (sh *Shell) fields(words ...*syntax.Word) []string {
	if !sh.affordable(words...) {
		return []string{Unknown}
	}
	out, err := expand.Fields(sh.config(), words...)
	if err != nil {
		return []string{Unknown}
	}
	return out
}

// literal expands a word to one string.
func (sh *Shell) literal(w *syntax.Word) string {
	if !sh.affordable(w) {
		return Unknown
	}
	s, err := expand.Literal(sh.config(), w)
	if err != nil {
		return Unknown
	}
	return bounded(s)
}

// document expands a here-document.
func (sh *Shell) document(w *syntax.Word) string {
	if !sh.affordable(w) {
		return Unknown
	}
	s, err := expand.Document(sh.config(), w)
	if err != nil {
		return Unknown
	}
	return bounded(s)
}

// matches says whether a word has the form of a pattern of case.
func (sh *Shell) matches(word string, pat *syntax.Word) Status {
	if !sh.affordable(pat) || !sh.Spend(len(word)) {
		return Unsure
	}
	p, err := expand.Pattern(sh.config(), pat)
	if err != nil || !Known(p) {
		return Unsure
	}
	if p == "*" {
		return Success
	}
	if !Known(word) {
		return Unsure
	}
	expr, err := pattern.Regexp(p, pattern.EntireString)
	if err != nil {
		return Unsure
	}
	re, err := compile(expr)
	if err != nil {
		return Unsure
	}
	return When(re.MatchString(word))
}

// readDir lists a folder for patterns such as *.conf.
func (sh *Shell) readDir(p string) ([]fs.DirEntry, error) {
	n, _, err := sh.world.Find(p, true)
	if err != nil {
		return nil, err
	}
	return n.List(), nil
}
