// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"io/fs"
	"slices"
	"strconv"

	"mvdan.cc/sh/v3/syntax"
)

// test is [ and test. It reads ! ( ) -a -o with their precedence.
func test(c *Call) Status {
	args := c.Args
	if c.Name == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			return Unsure
		}
		args = args[:len(args)-1]
	}
	t := &tester{sh: c.Shell, words: args}
	if len(args) == 0 {
		return Failure
	}
	s := t.or()
	if len(t.words) > 0 {
		return Unsure
	}
	return s
}

type tester struct {
	sh    *Shell
	words []string
}

func (t *tester) next(word string) bool {
	if len(t.words) > 0 && t.words[0] == word {
		t.words = t.words[1:]
		return true
	}
	return false
}

func (t *tester) or() Status {
	s := t.and()
	for t.next("-o") {
		s = s.or(t.and())
	}
	return s
}

func (t *tester) and() Status {
	s := t.primary()
	for t.next("-a") {
		s = s.not().or(t.primary().not()).not()
	}
	return s
}

// or is the three-valued or.
func (s Status) or(o Status) Status {
	switch {
	case s == Success || o == Success:
		return Success
	case s == Unsure || o == Unsure:
		return Unsure
	}
	return Failure
}

var comparisons = []string{"=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef", "<", ">"}

func (t *tester) primary() Status {
	w := t.words
	switch {
	case len(w) == 0:
		return Unsure
	case len(w) >= 3 && slices.Contains(comparisons, w[1]):
		t.words = w[3:]
		return compare(w[0], w[1], w[2])
	case w[0] == "!" && len(w) > 1:
		t.words = w[1:]
		return t.primary().not()
	case w[0] == "(" && len(w) > 2:
		t.words = w[1:]
		s := t.or()
		if !t.next(")") {
			return Unsure
		}
		return s
	case len(w) >= 2 && len(w[0]) == 2 && w[0][0] == '-':
		t.words = w[2:]
		return t.sh.unary(w[0], w[1])
	}
	t.words = w[1:]
	if !Known(w[0]) {
		return Unsure
	}
	return When(w[0] != "")
}

func compare(a, op, b string) Status {
	if !Known(a, b) {
		return Unsure
	}
	switch op {
	case "=", "==":
		return When(a == b)
	case "!=":
		return When(a != b)
	}
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	if errX != nil || errY != nil {
		return Unsure
	}
	switch op {
	case "-eq":
		return When(x == y)
	case "-ne":
		return When(x != y)
	case "-lt":
		return When(x < y)
	case "-le":
		return When(x <= y)
	case "-gt":
		return When(x > y)
	case "-ge":
		return When(x >= y)
	}
	return Unsure
}

// unary are the tests of one word.
func (sh *Shell) unary(op, word string) Status {
	if !Known(word) {
		return Unsure
	}
	switch op {
	case "-z":
		return When(word == "")
	case "-n":
		return When(word != "")
	case "-t", "-p", "-S", "-b", "-c":
		return Failure
	}
	if word == "" {
		return Failure
	}
	n, _, err := sh.world.Find(sh.Path(word), op != "-L" && op != "-h")
	if err != nil {
		return Failure
	}
	switch op {
	case "-e", "-r", "-w":
		return Success
	case "-d":
		return When(n.Type().IsDir())
	case "-f":
		return When(n.Type().IsRegular())
	case "-L", "-h":
		return When(n.Type() == fs.ModeSymlink)
	case "-O":
		user, _ := n.Owner()
		return When(user == sh.user)
	case "-G":
		_, group := n.Owner()
		own, _ := sh.world.Group(sh.user)
		return When(group == own)
	case "-x":
		return When(n.Type().IsDir() || n.Executable())
	case "-s":
		text := sh.Content(word)
		if !Known(text) {
			return Unsure
		}
		return When(n.Type().IsRegular() && text != "")
	}
	return Unsure
}

// testExpr is [[ ]], which bash has.
func (sh *Shell) testExpr(x syntax.TestExpr) Status {
	switch x := x.(type) {
	case *syntax.ParenTest:
		return sh.testExpr(x.X)
	case *syntax.Word:
		w := sh.literal(x)
		if !Known(w) {
			return Unsure
		}
		return When(w != "")
	case *syntax.UnaryTest:
		if x.Op == syntax.TsNot {
			return sh.testExpr(x.X).not()
		}
		if w, ok := x.X.(*syntax.Word); ok {
			return sh.unary(x.Op.String(), sh.literal(w))
		}
	case *syntax.BinaryTest:
		switch x.Op {
		case syntax.AndTest:
			return sh.testExpr(x.X).not().or(sh.testExpr(x.Y).not()).not()
		case syntax.OrTest:
			return sh.testExpr(x.X).or(sh.testExpr(x.Y))
		}
		a, okA := x.X.(*syntax.Word)
		b, okB := x.Y.(*syntax.Word)
		if !okA || !okB {
			return Unsure
		}
		switch x.Op {
		case syntax.TsMatch, syntax.TsMatchShort:
			return sh.matches(sh.literal(a), b)
		case syntax.TsNoMatch:
			return sh.matches(sh.literal(a), b).not()
		}
		return compare(sh.literal(a), x.Op.String(), sh.literal(b))
	}
	return Unsure
}
