// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"os"
	"path"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"osbuild/runner/spec"
)

func (sh *shell) stmts(list []*syntax.Stmt) {
	for _, s := range list {
		if sh.stmt(s); sh.jump != goOn {
			return
		}
	}
}

// perhaps reads what runs only under a condition that cannot be known.
func (sh *shell) perhaps(f func()) {
	sh.maybe++
	f()
	sh.maybe--
	sh.jump, sh.last = goOn, unsure
}

// stmt reads one statement with its redirections.
func (sh *shell) stmt(s *syntax.Stmt) {
	if !sh.step() {
		sh.jump = leaveScript
		return
	}
	in, out, pipe := sh.in, sh.out, sh.pipe
	write := sh.redirect(s)
	if s.Cmd != nil {
		sh.command(s.Cmd)
	} else {
		sh.last = success
	}
	text := sh.out.String()
	sh.in, sh.out, sh.pipe = in, out, pipe
	if write != nil {
		write(text)
	}
	if s.Negated {
		sh.last = sh.last.not()
	}
}

// redirect arranges what a statement reads and writes. It gives what to do
// with the output once it is there.
func (sh *shell) redirect(s *syntax.Stmt) func(string) {
	var write func(string)
	for _, rd := range s.Redirs {
		if rd.N != nil && rd.N.Value != "1" && rd.N.Value != "0" {
			continue // of standard error and the like nothing is kept
		}
		switch rd.Op {
		case syntax.Hdoc:
			sh.in = &input{sh.document(rd.Hdoc)}
		case syntax.DashHdoc:
			var b strings.Builder
			for line := range strings.Lines(sh.document(rd.Hdoc)) {
				b.WriteString(strings.TrimLeft(line, "\t"))
			}
			sh.in = &input{b.String()}
		case syntax.RdrIn:
			sh.in = &input{sh.contentOf(sh.literal(rd.Word))}
		case syntax.RdrOut, syntax.RdrClob, syntax.AppOut:
			sh.out, sh.pipe = &strings.Builder{}, false
			p, add := sh.literal(rd.Word), rd.Op == syntax.AppOut
			write = func(text string) { sh.save(p, text, add) }
		case syntax.DplOut:
			if sh.literal(rd.Word) == "2" {
				sh.out, sh.pipe = &strings.Builder{}, false
			}
		}
	}
	return write
}

// save writes the output of a command to a file.
func (sh *shell) save(p, text string, add bool) {
	p = sh.path(p)
	if strings.HasPrefix(p, "/dev/") {
		return
	}
	if add && known(p) {
		if have := sh.contentOf(p); sh.r.has(p) {
			text = have + text
		}
	}
	text = bounded(text)
	if !sh.spend(len(text)) || !known(p) || sh.maybe > 0 || !known(text) && !strings.HasPrefix(p, "/tmp/") {
		sh.leave("> " + p)
		return
	}
	if err := sh.newFile(p, text); err != nil {
		sh.leave("> " + p)
		sh.last = failure
		return
	}
	sh.p.did[classFiles] = true
}

// newFile writes a file; one that was not there gets the mode that the umask
// leaves.
func (sh *shell) newFile(p, text string) error {
	there := sh.r.has(p)
	if err := sh.r.write(p, text); err != nil || there || sh.mask == defaultMask {
		return err
	}
	n, _, err := sh.r.find(p, true)
	if err == nil && !n.given {
		n.owner = &spec.Owner{Mode: 0o666 &^ sh.mask}
	}
	return err
}

// contentOf is what a file has, as far as it can be known.
func (sh *shell) contentOf(p string) string {
	if p == "/dev/null" {
		return ""
	}
	n, _, err := sh.r.find(sh.path(p), true)
	if err != nil || n.kind != file {
		return unknown
	}
	if n.disk != "" {
		info, err := os.Lstat(n.disk)
		if err != nil || info.Size() > maxText {
			return unknown
		}
	}
	text, err := n.bytes()
	if err != nil || !sh.spend(len(text)) {
		return unknown
	}
	return bounded(text)
}

// path makes a path absolute.
func (sh *shell) path(p string) string {
	if path.IsAbs(p) || !known(p) {
		return p
	}
	return path.Join(sh.vars["PWD"].Str, p)
}

func (sh *shell) command(c syntax.Command) {
	switch c := c.(type) {
	case *syntax.CallExpr:
		sh.call(c)
	case *syntax.Block:
		sh.stmts(c.Stmts)
	case *syntax.Subshell:
		sub := sh.child()
		sub.stmts(c.Stmts)
		sh.last = sub.last
	case *syntax.IfClause:
		sh.ifClause(c)
	case *syntax.CaseClause:
		sh.caseClause(c)
	case *syntax.ForClause:
		sh.forClause(c)
	case *syntax.WhileClause:
		sh.whileClause(c)
	case *syntax.BinaryCmd:
		sh.binary(c)
	case *syntax.FuncDecl:
		sh.funcs[c.Name.Value] = c.Body
		sh.last = success
	case *syntax.DeclClause:
		for _, a := range c.Args {
			if a.Name != nil && !a.Naked {
				sh.assign(a)
			}
		}
		sh.last = success
	case *syntax.TestClause:
		sh.last = sh.testExpr(c.X)
	default:
		sh.leave(source(c))
		sh.last = unsure
	}
}

// source is a command as it is written.
func source(n syntax.Node) string {
	var b strings.Builder
	if err := syntax.NewPrinter(syntax.Minify(true)).Print(&b, n); err != nil {
		return "a command that cannot be shown"
	}
	first, _, _ := strings.Cut(b.String(), "\n")
	return first
}

func (sh *shell) assign(a *syntax.Assign) {
	value := ""
	switch {
	case a.Array != nil && a.Index == nil && !a.Append && sh.maybe == 0:
		var list []string
		for _, e := range a.Array.Elems {
			if e.Value == nil || e.Index != nil {
				list = append(list, unknown)
				continue
			}
			list = append(list, sh.fields(e.Value)...)
		}
		sh.vars[a.Name.Value] = expand.Variable{Set: true, Kind: expand.Indexed, List: list}
		return
	case a.Array != nil || a.Index != nil:
		value = unknown
	case a.Value != nil:
		value = sh.literal(a.Value)
	}
	if a.Append {
		value = sh.Get(a.Name.Value).String() + value
	}
	sh.set(a.Name.Value, value)
}

func (sh *shell) ifClause(c *syntax.IfClause) {
	if len(c.Cond) == 0 { // else
		sh.stmts(c.Then)
		return
	}
	sh.last = success
	if sh.stmts(c.Cond); sh.jump != goOn {
		return
	}
	switch sh.last {
	case success:
		sh.stmts(c.Then)
	case failure:
		sh.last = success
		if c.Else != nil {
			sh.ifClause(c.Else)
		}
	default:
		sh.perhaps(func() { sh.stmts(c.Then) })
		if c.Else != nil {
			sh.perhaps(func() { sh.ifClause(c.Else) })
		}
	}
}

func (sh *shell) caseClause(c *syntax.CaseClause) {
	word := sh.literal(c.Word)
	sh.last = success
	for _, item := range c.Items {
		found := failure
		for _, pat := range item.Patterns {
			if m := sh.matches(word, pat); m == success || m == unsure && found == failure {
				found = m
			}
			if found == success {
				break
			}
		}
		switch found {
		case success:
			sh.stmts(item.Stmts)
			return
		case unsure:
			sh.perhaps(func() { sh.stmts(item.Stmts) })
		}
	}
}

func (sh *shell) forClause(c *syntax.ForClause) {
	loop, ok := c.Loop.(*syntax.WordIter)
	if !ok {
		sh.leave(source(c.Loop))
		sh.perhaps(func() { sh.stmts(c.Do) })
		return
	}
	items := sh.args
	if loop.InPos.IsValid() {
		items = sh.fields(loop.Items...)
	}
	sh.last = success
	for _, item := range items {
		if !known(item) {
			sh.vars[loop.Name.Value] = expand.Variable{Set: true, Kind: expand.String, Str: unknown}
			sh.perhaps(func() { sh.stmts(c.Do) })
			continue
		}
		sh.set(loop.Name.Value, item)
		if sh.stmts(c.Do); sh.endOfRound() {
			return
		}
	}
}

// endOfRound says whether a loop ends after this round.
func (sh *shell) endOfRound() bool {
	switch sh.jump {
	case breakLoop, nextRound:
		if sh.count > 1 {
			sh.count--
			return true
		}
		end := sh.jump == breakLoop
		sh.jump = goOn
		return end
	case goOn:
		return false
	}
	return true
}

func (sh *shell) whileClause(c *syntax.WhileClause) {
	for sh.step() {
		sh.last = success
		if sh.stmts(c.Cond); sh.jump != goOn {
			return
		}
		met := sh.last
		if c.Until {
			met = met.not()
		}
		switch met {
		case failure:
			sh.last = success
			return
		case unsure:
			sh.perhaps(func() { sh.stmts(c.Do) })
			return
		}
		if sh.stmts(c.Do); sh.endOfRound() {
			return
		}
	}
	sh.jump = leaveScript
}

func (sh *shell) binary(c *syntax.BinaryCmd) {
	switch c.Op {
	case syntax.AndStmt, syntax.OrStmt:
		if sh.stmt(c.X); sh.jump != goOn {
			return
		}
		left := sh.last
		want := success
		if c.Op == syntax.OrStmt {
			want = failure
		}
		switch left {
		case want:
			sh.stmt(c.Y)
		case unsure:
			sh.perhaps(func() { sh.stmt(c.Y) })
		}
	case syntax.Pipe, syntax.PipeAll:
		x := sh.child()
		x.out, x.pipe = &strings.Builder{}, true
		x.stmt(c.X)
		y := sh.child()
		y.in = &input{bounded(x.out.String())}
		y.stmt(c.Y)
		sh.last = y.last
	default:
		sh.leave(source(c))
		sh.last = unsure
	}
}
