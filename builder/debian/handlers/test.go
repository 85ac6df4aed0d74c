// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"slices"
	"strconv"

	"mvdan.cc/sh/v3/syntax"
)

// test is [ and test. It reads ! ( ) -a -o with their precedence.
func test(c *call) status {
	args := c.args
	if c.name == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			return unsure
		}
		args = args[:len(args)-1]
	}
	t := &tester{sh: c.shell, words: args}
	if len(args) == 0 {
		return failure
	}
	s := t.or()
	if len(t.words) > 0 {
		return unsure
	}
	return s
}

type tester struct {
	sh    *shell
	words []string
}

func (t *tester) next(word string) bool {
	if len(t.words) > 0 && t.words[0] == word {
		t.words = t.words[1:]
		return true
	}
	return false
}

func (t *tester) or() status {
	s := t.and()
	for t.next("-o") {
		s = s.or(t.and())
	}
	return s
}

func (t *tester) and() status {
	s := t.primary()
	for t.next("-a") {
		s = s.not().or(t.primary().not()).not()
	}
	return s
}

// or is the three-valued or.
func (s status) or(o status) status {
	switch {
	case s == success || o == success:
		return success
	case s == unsure || o == unsure:
		return unsure
	}
	return failure
}

var comparisons = []string{"=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef", "<", ">"}

func (t *tester) primary() status {
	w := t.words
	switch {
	case len(w) == 0:
		return unsure
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
			return unsure
		}
		return s
	case len(w) >= 2 && len(w[0]) == 2 && w[0][0] == '-':
		t.words = w[2:]
		return t.sh.unary(w[0], w[1])
	}
	t.words = w[1:]
	if !known(w[0]) {
		return unsure
	}
	return when(w[0] != "")
}

func compare(a, op, b string) status {
	if !known(a, b) {
		return unsure
	}
	switch op {
	case "=", "==":
		return when(a == b)
	case "!=":
		return when(a != b)
	}
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	if errX != nil || errY != nil {
		return unsure
	}
	switch op {
	case "-eq":
		return when(x == y)
	case "-ne":
		return when(x != y)
	case "-lt":
		return when(x < y)
	case "-le":
		return when(x <= y)
	case "-gt":
		return when(x > y)
	case "-ge":
		return when(x >= y)
	}
	return unsure
}

// unary are the tests of one word.
func (sh *shell) unary(op, word string) status {
	if !known(word) {
		return unsure
	}
	switch op {
	case "-z":
		return when(word == "")
	case "-n":
		return when(word != "")
	case "-t", "-p", "-S", "-b", "-c":
		return failure
	}
	if word == "" {
		return failure
	}
	n, real, err := sh.r.find(sh.path(word), op != "-L" && op != "-h")
	if err != nil {
		return failure
	}
	switch op {
	case "-e", "-r", "-w":
		return success
	case "-d":
		return when(n.kind == folder)
	case "-f":
		return when(n.kind == file)
	case "-L", "-h":
		return when(n.kind == link)
	case "-O":
		return when(owned(sh.r.ownerOf(real, n).User, sh.user))
	case "-G":
		return when(owned(sh.r.ownerOf(real, n).Group, sh.r.primaryGroup(sh.user)))
	case "-x":
		return when(n.kind == folder || n.executable())
	case "-s":
		text := sh.contentOf(word)
		if !known(text) {
			return unsure
		}
		return when(n.kind == file && text != "")
	}
	return unsure
}

// owned compares names of owners; root has several.
func owned(a, b string) bool { return a == b || isRoot(a) && isRoot(b) }

// testExpr is [[ ]], which bash has.
func (sh *shell) testExpr(x syntax.TestExpr) status {
	switch x := x.(type) {
	case *syntax.ParenTest:
		return sh.testExpr(x.X)
	case *syntax.Word:
		w := sh.literal(x)
		if !known(w) {
			return unsure
		}
		return when(w != "")
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
			return unsure
		}
		switch x.Op {
		case syntax.TsMatch, syntax.TsMatchShort:
			return sh.matches(sh.literal(a), b)
		case syntax.TsNoMatch:
			return sh.matches(sh.literal(a), b).not()
		}
		return compare(sh.literal(a), x.Op.String(), sh.literal(b))
	}
	return unsure
}
