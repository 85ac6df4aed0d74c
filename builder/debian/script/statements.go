// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

func (sh *Shell) stmts(list []*syntax.Stmt) {
	for _, s := range list {
		if sh.stmt(s); sh.jump != goOn {
			return
		}
	}
}

// perhaps reads what runs only under a condition that cannot be known.
func (sh *Shell) perhaps(f func()) {
	sh.maybe++
	f()
	sh.maybe--
	sh.jump, sh.last = goOn, Unsure
}

// stmt reads one statement with its redirections.
func (sh *Shell) stmt(s *syntax.Stmt) {
	if !sh.step() {
		sh.jump = leaveScript
		return
	}
	in, out, pipe := sh.in, sh.out, sh.pipe
	write := sh.redirect(s)
	if s.Cmd != nil {
		sh.command(s.Cmd)
	} else {
		sh.last = Success
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
func (sh *Shell) redirect(s *syntax.Stmt) func(string) {
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
			sh.in = &input{sh.Content(sh.literal(rd.Word))}
		case syntax.RdrOut, syntax.RdrClob, syntax.AppOut:
			sh.out, sh.pipe = &strings.Builder{}, false
			p, add := sh.literal(rd.Word), rd.Op == syntax.AppOut
			write = func(text string) { sh.Save(p, text, add) }
		case syntax.DplOut:
			if sh.literal(rd.Word) == "2" {
				sh.out, sh.pipe = &strings.Builder{}, false
			}
		}
	}
	return write
}

func (sh *Shell) command(c syntax.Command) {
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
		sh.last = Success
	case *syntax.DeclClause:
		for _, a := range c.Args {
			if a.Name != nil && !a.Naked {
				sh.assign(a)
			}
		}
		sh.last = Success
	case *syntax.TestClause:
		sh.last = sh.testExpr(c.X)
	default:
		sh.Leave(source(c))
		sh.last = Unsure
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

func (sh *Shell) assign(a *syntax.Assign) {
	value := ""
	switch {
	case a.Array != nil && a.Index == nil && !a.Append && sh.maybe == 0:
		var list []string
		for _, e := range a.Array.Elems {
			if e.Value == nil || e.Index != nil {
				list = append(list, Unknown)
				continue
			}
			list = append(list, sh.fields(e.Value)...)
		}
		sh.vars[a.Name.Value] = expand.Variable{Set: true, Kind: expand.Indexed, List: list}
		return
	case a.Array != nil || a.Index != nil:
		value = Unknown
	case a.Value != nil:
		value = sh.literal(a.Value)
	}
	if a.Append {
		value = environ{sh}.Get(a.Name.Value).String() + value
	}
	sh.Set(a.Name.Value, value)
}

func (sh *Shell) ifClause(c *syntax.IfClause) {
	if len(c.Cond) == 0 { // else
		sh.stmts(c.Then)
		return
	}
	sh.last = Success
	if sh.stmts(c.Cond); sh.jump != goOn {
		return
	}
	switch sh.last {
	case Success:
		sh.stmts(c.Then)
	case Failure:
		sh.last = Success
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

func (sh *Shell) caseClause(c *syntax.CaseClause) {
	word := sh.literal(c.Word)
	sh.last = Success
	for _, item := range c.Items {
		found := Failure
		for _, pat := range item.Patterns {
			if m := sh.matches(word, pat); m == Success || m == Unsure && found == Failure {
				found = m
			}
			if found == Success {
				break
			}
		}
		switch found {
		case Success:
			sh.stmts(item.Stmts)
			return
		case Unsure:
			sh.perhaps(func() { sh.stmts(item.Stmts) })
		}
	}
}

func (sh *Shell) forClause(c *syntax.ForClause) {
	loop, ok := c.Loop.(*syntax.WordIter)
	if !ok {
		sh.Leave(source(c.Loop))
		sh.perhaps(func() { sh.stmts(c.Do) })
		return
	}
	items := sh.args
	if loop.InPos.IsValid() {
		items = sh.fields(loop.Items...)
	}
	sh.last = Success
	for _, item := range items {
		if !Known(item) {
			sh.vars[loop.Name.Value] = expand.Variable{Set: true, Kind: expand.String, Str: Unknown}
			sh.perhaps(func() { sh.stmts(c.Do) })
			continue
		}
		sh.Set(loop.Name.Value, item)
		if sh.stmts(c.Do); sh.endOfRound() {
			return
		}
	}
}

// endOfRound says whether a loop ends after this round.
func (sh *Shell) endOfRound() bool {
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

func (sh *Shell) whileClause(c *syntax.WhileClause) {
	for sh.step() {
		sh.last = Success
		if sh.stmts(c.Cond); sh.jump != goOn {
			return
		}
		met := sh.last
		if c.Until {
			met = met.not()
		}
		switch met {
		case Failure:
			sh.last = Success
			return
		case Unsure:
			sh.perhaps(func() { sh.stmts(c.Do) })
			return
		}
		if sh.stmts(c.Do); sh.endOfRound() {
			return
		}
	}
	sh.jump = leaveScript
}

func (sh *Shell) binary(c *syntax.BinaryCmd) {
	switch c.Op {
	case syntax.AndStmt, syntax.OrStmt:
		if sh.stmt(c.X); sh.jump != goOn {
			return
		}
		left := sh.last
		want := Success
		if c.Op == syntax.OrStmt {
			want = Failure
		}
		switch left {
		case want:
			sh.stmt(c.Y)
		case Unsure:
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
		sh.Leave(source(c))
		sh.last = Unsure
	}
}
