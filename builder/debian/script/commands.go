// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"path"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// Call is one command of a script.
type Call struct {
	*Shell
	Name string
	Args []string
}

// command is what becomes of a command. It gives unsure without having done
// anything where it does not understand its arguments: the command is then
// left.
type command func(c *Call) Status

// Print writes to the output; of what is too long to be known, not all.
func (c *Call) Print(text string) {
	c.Spend(len(text))
	if c.out.Len() <= maxText {
		c.out.WriteString(text[:min(len(text), maxText+1)])
	}
}

// Input is what a command reads.
func (sh *Shell) Input() string { return sh.in.text }

// Sure says whether all conditions for what is read now are known.
func (sh *Shell) Sure() bool { return sh.maybe == 0 }

// call reads a simple command: assignments, a function, a command of the
// shell itself, one that only works on text, or one of the world.
func (sh *Shell) call(c *syntax.CallExpr) {
	sh.last = Success
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
func (sh *Shell) run(words []string) {
	name, args := words[0], words[1:]
	if !Known(name) {
		sh.Leave(strings.Join(words, " "))
		sh.last = Unsure
		return
	}
	c := &Call{sh, name, args}
	if own, ok := ownCommands[name]; ok {
		sh.last = own(c)
		return
	}
	if body := sh.funcs[name]; body != nil {
		sh.callFunction(body, args)
		return
	}
	if ask, ok := questions[path.Base(name)]; ok {
		sh.last = ask(c)
	} else {
		sh.last = sh.world.Do(c)
	}
	if sh.last == Unsure {
		c.Print(Unknown)
	}
}

func (sh *Shell) callFunction(body *syntax.Stmt, args []string) {
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
	quiet := func(*Call) Status { return Success }
	ownCommands = map[string]command{
		":": quiet, "true": quiet, "umask": umask, "trap": quiet, "wait": quiet, "alias": quiet, "ulimit": quiet, "hash": quiet,
		"false":    func(*Call) Status { return Failure },
		"set":      setCommand,
		"shift":    shiftCommand,
		"export":   declare,
		"readonly": declare,
		"local":    declare,
		"unset":    unset,
		"read":     read,
		"cd":       cd,
		"exit":     func(c *Call) Status { return c.leaveTo(leaveScript) },
		"return":   func(c *Call) Status { return c.leaveTo(leaveFunction) },
		"break":    func(c *Call) Status { return c.leaveLoop(breakLoop) },
		"continue": func(c *Call) Status { return c.leaveLoop(nextRound) },
		".":        dot,
		"source":   dot,
		"exec":     func(c *Call) Status { return c.again(leaveScript) },
		"eval":     eval,
		"command":  commandCommand,
		"env":      func(c *Call) Status { return c.again(goOn) },
		"builtin":  func(c *Call) Status { return c.again(goOn) },
		"su":       su,
		"sh":       shCommand,
		"bash":     shCommand,
		"dash":     shCommand,
	}
}

// leaveTo is exit and return.
func (c *Call) leaveTo(j jump) Status {
	c.jump = j
	if len(c.Args) == 0 {
		return c.last
	}
	switch c.Args[0] {
	case "0":
		return Success
	case Unknown:
		return Unsure
	}
	if j == leaveScript && c.maybe == 0 && c.depth == 0 {
		c.Leave("exit " + c.Args[0])
	}
	return Failure
}

func (c *Call) leaveLoop(j jump) Status {
	c.jump, c.count = j, 1
	if len(c.Args) > 0 {
		if n, err := strconv.Atoi(c.Args[0]); err == nil && n > 0 {
			c.count = n
		}
	}
	return Success
}

// setCommand is set: only "set -- words" matters here.
func setCommand(c *Call) Status {
	for i, a := range c.Args {
		if a == "--" {
			c.Shell.args = c.Args[i+1:]
			return Success
		}
		if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+") {
			if i > 0 && strings.HasSuffix(c.Args[i-1], "o") {
				continue
			}
			c.Shell.args = c.Args[i:]
			return Success
		}
	}
	return Success
}

func shiftCommand(c *Call) Status {
	n := 1
	if len(c.Args) > 0 {
		var err error
		if n, err = strconv.Atoi(c.Args[0]); err != nil || n < 0 {
			return Unsure
		}
	}
	if n > len(c.Shell.args) {
		return Failure
	}
	c.Shell.args = c.Shell.args[n:]
	return Success
}

// declare is export, readonly and local. Variables of a function stay set
// after it, which no script of a package minds.
func declare(c *Call) Status {
	for _, a := range c.Args {
		if name, value, ok := strings.Cut(a, "="); ok {
			c.Set(name, value)
		}
	}
	return Success
}

func umask(c *Call) Status {
	if len(c.Args) == 1 {
		if m, err := strconv.ParseUint(c.Args[0], 8, 9); err == nil {
			c.mask = uint32(m)
			return Success
		}
	}
	return Unsure
}

func unset(c *Call) Status {
	for _, a := range c.Args {
		delete(c.vars, a)
	}
	return Success
}

// read takes a line of what is read; the words go to the variables.
func read(c *Call) Status {
	var names []string
	for _, a := range c.Args {
		if !strings.HasPrefix(a, "-") {
			names = append(names, a)
		}
	}
	text := c.in.text
	if !Known(text) {
		for _, name := range names {
			c.Set(name, Unknown)
		}
		return Unsure
	}
	line, rest, ended := strings.Cut(text, "\n")
	c.in.text = rest
	words := strings.Fields(line)
	for i, name := range names {
		switch {
		case i >= len(words):
			c.Set(name, "")
		case i == len(names)-1:
			c.Set(name, strings.Join(words[i:], " "))
		default:
			c.Set(name, words[i])
		}
	}
	return When(ended)
}

func cd(c *Call) Status {
	dir := "/root"
	if len(c.Args) > 0 {
		dir = c.Args[len(c.Args)-1]
	}
	if !Known(dir) {
		c.Set("PWD", Unknown)
		return Unsure
	}
	n, real, err := c.world.Find(c.Path(dir), true)
	if err != nil || !n.Type().IsDir() {
		return Failure
	}
	c.Set("PWD", real)
	return Success
}

// dot reads another file into this shell.
func dot(c *Call) Status {
	if len(c.Args) == 0 || !Known(c.Args[0]) {
		c.Leave(". " + strings.Join(c.Args, " "))
		return Unsure
	}
	if c.world.Provides(c.Args[0]) {
		return Success
	}
	text := c.Content(c.Args[0])
	if !Known(text) {
		c.Leave(". " + c.Args[0])
		return Unsure
	}
	if c.depth++; !c.step() {
		c.jump = leaveScript
		return Unsure
	}
	defer func() { c.depth-- }()
	if err := c.source(path.Base(c.Args[0]), text); err != nil {
		c.Leave(". " + c.Args[0])
		return Unsure
	}
	return c.last
}

func eval(c *Call) Status {
	text := strings.Join(c.Args, " ")
	if !Known(text) {
		c.Leave("eval " + text)
		return Unsure
	}
	if c.depth++; !c.step() {
		c.jump = leaveScript
		return Unsure
	}
	defer func() { c.depth-- }()
	if err := c.source("eval", text); err != nil {
		c.Leave("eval " + text)
		return Unsure
	}
	return c.last
}

// shCommand is a shell of its own: for a text, or for a file, which then is a
// command like any other.
func shCommand(c *Call) Status {
	args := c.Args
	for len(args) > 0 && (args[0] == "-e" || args[0] == "-u" || args[0] == "--") {
		args = args[1:]
	}
	sub := c.child()
	switch {
	case len(args) == 0 || !Known(args[0]) || !sub.step():
	case args[0] == "-c" && len(args) > 1 && Known(args[1]):
		sub.args = args[2:]
		if sub.source("sh", args[1]) == nil {
			return sub.last
		}
	case !strings.HasPrefix(args[0], "-"):
		sub.run(args)
		return sub.last
	}
	c.Leave(c.Name + " " + strings.Join(c.Args, " "))
	return Unsure
}

// su runs a command as somebody, which matters for questions about owners.
func su(c *Call) Status {
	_, values, rest, ok := Options(c.Args, "lmp", "sc", map[string]string{"command": "c", "shell": "s"})
	if !ok || len(values['c']) != 1 || len(rest) != 1 || !Known(c.Args...) {
		c.Leave("su " + strings.Join(c.Args, " "))
		return Unsure
	}
	if _, there := c.world.Group(rest[0]); !there {
		c.Leave("su " + strings.Join(c.Args, " "))
		return Unsure
	}
	sub := c.child()
	sub.user = rest[0]
	if !sub.step() {
		c.jump = leaveScript
		return Unsure
	}
	if err := sub.source("su", values['c'][0]); err != nil {
		c.Leave("su " + strings.Join(c.Args, " "))
		return Unsure
	}
	return sub.last
}

// again runs what follows a word such as exec or env.
func (c *Call) again(then jump) Status {
	args := c.Args
	for len(args) > 0 && (strings.HasPrefix(args[0], "-") || strings.Contains(args[0], "=")) {
		args = args[1:]
	}
	if len(args) == 0 {
		return Success
	}
	if c.depth++; !c.step() {
		c.jump = leaveScript
		return Unsure
	}
	defer func() { c.depth-- }()
	c.run(args)
	if then != goOn {
		c.jump = then
	}
	return c.last
}

func commandCommand(c *Call) Status {
	if len(c.Args) > 1 && (c.Args[0] == "-v" || c.Args[0] == "-V") {
		return (&Call{c.Shell, "which", c.Args[1:]}).which()
	}
	return c.again(goOn)
}
