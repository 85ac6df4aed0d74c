// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// call is one command of a script.
type call struct {
	*shell
	name string
	args []string
}

// command is what becomes of a command. It gives unsure without having done
// anything where it does not understand its arguments: the command is then
// left.
type command func(c *call) status

// print writes to the output; of what is too long to be known, not all.
func (c *call) print(text string) {
	c.spend(len(text))
	if c.out.Len() <= maxText {
		c.out.WriteString(text[:min(len(text), maxText+1)])
	}
}

// call reads a simple command: assignments, a function, a command of the
// shell itself, one of a class, or one that nobody knows.
func (sh *shell) call(c *syntax.CallExpr) {
	sh.last = success
	if len(c.Args) == 0 {
		for _, a := range c.Assigns {
			sh.assign(a)
		}
		return
	}
	words := sh.fields(c.Args...)
	if len(words) == 0 {
		return
	}
	if len(c.Assigns) > 0 {
		keep := make(map[string]expand.Variable, len(c.Assigns))
		for _, a := range c.Assigns {
			keep[a.Name.Value] = sh.vars[a.Name.Value]
			sh.assign(a)
		}
		defer func() {
			for name, v := range keep {
				sh.vars[name] = v
			}
		}()
	}
	sh.run(words)
}

// run does one command with its words.
func (sh *shell) run(words []string) {
	name, args := words[0], words[1:]
	if !known(name) {
		sh.leave(strings.Join(words, " "))
		sh.last = unsure
		return
	}
	c := &call{sh, name, args}
	if own, ok := ownCommands[name]; ok {
		sh.last = own(c)
		return
	}
	if body := sh.funcs[name]; body != nil {
		sh.callFunction(body, args)
		return
	}
	base := path.Base(name)
	if strings.HasPrefix(base, "python") {
		base = "python"
	}
	if ask, ok := questions[base]; ok {
		if sh.last = ask(c); sh.last == unsure {
			c.print(unknown)
		}
		return
	}
	k, ok := claims[base]
	if ok && (k.quiet || sh.maybe == 0 && known(args...)) {
		if sh.last = k.do(c); sh.last != unsure {
			sh.p.did[k.class] = true
			return
		}
	}
	sh.last = unsure
	c.print(unknown)
	// Nothing is missed where something is not removed, since a new system has
	// nothing of older versions, where temporary files are not made, and where
	// it is only asked for an owner.
	if base != "rm" && base != "rmdir" && base != "mktemp" && (base != "dpkg-statoverride" || !slices.Contains(args, "--list")) {
		sh.leave(strings.Join(append([]string{base}, args...), " "))
	}
}

func (sh *shell) callFunction(body *syntax.Stmt, args []string) {
	if sh.depth++; !sh.step() {
		sh.jump = leaveScript
		return
	}
	kept := sh.args
	sh.args = args
	sh.stmt(body)
	sh.args = kept
	sh.depth--
	if sh.jump == leaveFunction {
		sh.jump = goOn
	}
}

// ownCommands are those of the shell itself, which change its state. It is
// filled at start since eval and the like come back here.
var ownCommands map[string]command

func init() {
	quiet := func(*call) status { return success }
	ownCommands = map[string]command{
		":": quiet, "true": quiet, "umask": umask, "trap": quiet, "wait": quiet, "alias": quiet, "ulimit": quiet, "hash": quiet,
		"false":    func(*call) status { return failure },
		"set":      setCommand,
		"shift":    shiftCommand,
		"export":   declare,
		"readonly": declare,
		"local":    declare,
		"unset":    unset,
		"read":     read,
		"cd":       cd,
		"exit":     func(c *call) status { return c.leaveTo(leaveScript) },
		"return":   func(c *call) status { return c.leaveTo(leaveFunction) },
		"break":    func(c *call) status { return c.leaveLoop(breakLoop) },
		"continue": func(c *call) status { return c.leaveLoop(nextRound) },
		".":        dot,
		"source":   dot,
		"exec":     func(c *call) status { return c.again(leaveScript) },
		"eval":     eval,
		"command":  commandCommand,
		"env":      func(c *call) status { return c.again(goOn) },
		"builtin":  func(c *call) status { return c.again(goOn) },
		"su":       su,
		"sh":       shCommand,
		"bash":     shCommand,
		"dash":     shCommand,
	}
}

// leaveTo is exit and return.
func (c *call) leaveTo(j jump) status {
	c.jump = j
	if len(c.args) == 0 {
		return c.last
	}
	switch c.args[0] {
	case "0":
		return success
	case unknown:
		return unsure
	}
	if j == leaveScript && c.maybe == 0 && c.depth == 0 {
		c.leave("exit " + c.args[0])
	}
	return failure
}

func (c *call) leaveLoop(j jump) status {
	c.jump, c.count = j, 1
	if len(c.args) > 0 {
		if n, err := strconv.Atoi(c.args[0]); err == nil && n > 0 {
			c.count = n
		}
	}
	return success
}

// setCommand is set: only "set -- words" matters here.
func setCommand(c *call) status {
	for i, a := range c.args {
		if a == "--" {
			c.shell.args = c.args[i+1:]
			return success
		}
		if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+") {
			if i > 0 && strings.HasSuffix(c.args[i-1], "o") {
				continue
			}
			c.shell.args = c.args[i:]
			return success
		}
	}
	return success
}

func shiftCommand(c *call) status {
	n := 1
	if len(c.args) > 0 {
		var err error
		if n, err = strconv.Atoi(c.args[0]); err != nil || n < 0 {
			return unsure
		}
	}
	if n > len(c.shell.args) {
		return failure
	}
	c.shell.args = c.shell.args[n:]
	return success
}

// declare is export, readonly and local. Variables of a function stay set
// after it, which no script of a package minds.
func declare(c *call) status {
	for _, a := range c.args {
		if name, value, ok := strings.Cut(a, "="); ok {
			c.set(name, value)
		}
	}
	return success
}

func umask(c *call) status {
	if len(c.args) == 1 {
		if m, err := strconv.ParseUint(c.args[0], 8, 9); err == nil {
			c.mask = uint32(m)
			return success
		}
	}
	return unsure
}

func unset(c *call) status {
	for _, a := range c.args {
		delete(c.vars, a)
	}
	return success
}

// read takes a line of what is read; the words go to the variables.
func read(c *call) status {
	var names []string
	for _, a := range c.args {
		if !strings.HasPrefix(a, "-") {
			names = append(names, a)
		}
	}
	text := c.in.text
	if !known(text) {
		for _, name := range names {
			c.set(name, unknown)
		}
		return unsure
	}
	line, rest, ended := strings.Cut(text, "\n")
	c.in.text = rest
	words := strings.Fields(line)
	for i, name := range names {
		switch {
		case i >= len(words):
			c.set(name, "")
		case i == len(names)-1:
			c.set(name, strings.Join(words[i:], " "))
		default:
			c.set(name, words[i])
		}
	}
	return when(ended)
}

func cd(c *call) status {
	dir := "/root"
	if len(c.args) > 0 {
		dir = c.args[len(c.args)-1]
	}
	if !known(dir) {
		c.set("PWD", unknown)
		return unsure
	}
	n, real, err := c.r.find(c.path(dir), true)
	if err != nil || n.kind != folder {
		return failure
	}
	c.set("PWD", real)
	return success
}

// dot reads another file into this shell.
func dot(c *call) status {
	if len(c.args) == 0 || !known(c.args[0]) {
		c.leave(". " + strings.Join(c.args, " "))
		return unsure
	}
	if c.args[0] == confmodule {
		c.p.did[classDebconf] = true
		return success
	}
	text := c.contentOf(c.args[0])
	if !known(text) {
		c.leave(". " + c.args[0])
		return unsure
	}
	if c.depth++; !c.step() {
		c.jump = leaveScript
		return unsure
	}
	defer func() { c.depth-- }()
	if err := c.source(path.Base(c.args[0]), text); err != nil {
		c.leave(". " + c.args[0])
		return unsure
	}
	return c.last
}

func eval(c *call) status {
	text := strings.Join(c.args, " ")
	if !known(text) {
		c.leave("eval " + text)
		return unsure
	}
	if c.depth++; !c.step() {
		c.jump = leaveScript
		return unsure
	}
	defer func() { c.depth-- }()
	if err := c.source("eval", text); err != nil {
		c.leave("eval " + text)
		return unsure
	}
	return c.last
}

// shCommand is a shell of its own: for a text, or for a file, which then is a
// command like any other.
func shCommand(c *call) status {
	args := c.args
	for len(args) > 0 && (args[0] == "-e" || args[0] == "-u" || args[0] == "--") {
		args = args[1:]
	}
	sub := c.child()
	switch {
	case len(args) == 0 || !known(args[0]) || !sub.step():
	case args[0] == "-c" && len(args) > 1 && known(args[1]):
		sub.args = args[2:]
		if sub.source("sh", args[1]) == nil {
			return sub.last
		}
	case !strings.HasPrefix(args[0], "-"):
		sub.run(args)
		return sub.last
	}
	c.leave(c.name + " " + strings.Join(c.args, " "))
	return unsure
}

// su runs a command as somebody, which matters for questions about owners.
func su(c *call) status {
	_, values, rest, ok := options(c.args, "lmp", "sc", map[string]string{"command": "c", "shell": "s"})
	if !ok || len(values['c']) != 1 || len(rest) != 1 || !known(c.args...) || c.r.user(rest[0]) == nil {
		c.leave("su " + strings.Join(c.args, " "))
		return unsure
	}
	sub := c.child()
	sub.user = rest[0]
	if !sub.step() {
		c.jump = leaveScript
		return unsure
	}
	if err := sub.source("su", values['c'][0]); err != nil {
		c.leave("su " + strings.Join(c.args, " "))
		return unsure
	}
	return sub.last
}

// again runs what follows a word such as exec or env.
func (c *call) again(then jump) status {
	args := c.args
	for len(args) > 0 && (strings.HasPrefix(args[0], "-") || strings.Contains(args[0], "=")) {
		args = args[1:]
	}
	if len(args) == 0 {
		return success
	}
	if c.depth++; !c.step() {
		c.jump = leaveScript
		return unsure
	}
	defer func() { c.depth-- }()
	c.run(args)
	if then != goOn {
		c.jump = then
	}
	return c.last
}

func commandCommand(c *call) status {
	if len(c.args) > 1 && (c.args[0] == "-v" || c.args[0] == "-V") {
		return (&call{c.shell, "which", c.args[1:]}).which()
	}
	return c.again(goOn)
}
