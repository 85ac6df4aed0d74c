// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"osbuild/builder/derivation"
	"osbuild/builder/lang/value"
	"osbuild/builder/service"
)

// Error is what every fault of a declaration becomes: where it is, what it
// is, and how the evaluation came there.
type Error struct {
	// Pos is where the fault is, the file named as the user named it.
	Pos derivation.Position
	// Msg says what is wrong and what to do about it.
	Msg string
	// Stack holds the calls that led to Pos, the innermost first.
	Stack []Frame
	// More holds further faults of the same kind: all the undefined names of
	// a file are reported at once.
	More []*Error
	// Cause is the error of another package that this one reports, or nil.
	Cause error
}

// Frame is one call: where in which function it stands.
type Frame struct {
	Pos  derivation.Position
	Name string // "" at the top level of a file
}

// Error renders `FILE:LINE:COL: message`, then a line for each call that led
// there, then the further faults.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Pos != (derivation.Position{}) {
		b.WriteString(e.Pos.String() + ": ")
	}
	b.WriteString(e.Msg)
	for _, f := range e.Stack {
		fmt.Fprintf(&b, "\n  called from %s", f.Pos)
		if f.Name != "" {
			fmt.Fprintf(&b, " in %s", f.Name)
		}
	}
	for _, more := range e.More {
		b.WriteString("\n" + more.Error())
	}
	return b.String()
}

// Unwrap gives the error that this one reports, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// Where the interpreter names the place of a Go function.
const builtinFile = "<builtin>"

// position converts a place. The zero column of a name without a place stays.
func position(p syntax.Position) derivation.Position {
	return derivation.Position{File: p.Filename(), Line: int(p.Line), Col: int(p.Col)}
}

// explain turns any error of the interpreter, or of a function that it
// called, into an *Error. An *Error inside wins: it is the place nearest to
// the fault, and whoever made it has seen the stack.
func (l *loader) explain(err error) *Error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	var (
		scan    syntax.Error
		unknown resolve.ErrorList
		eval    *starlark.EvalError
	)
	switch {
	case errors.As(err, &scan):
		return explainSyntax(scan, l.sources[scan.Pos.Filename()])
	case errors.As(err, &unknown):
		return l.explainNames(unknown)
	case errors.As(err, &eval):
		return l.explainEval(eval)
	}
	e := &Error{Msg: err.Error(), Cause: err}
	e.Pos, e.Msg = ownPlace(err, e.Msg)
	return e
}

// explainEval words an error at run time. A Go function may have wrapped the
// error of a Starlark function that it called: then the outer text explains,
// and the inner stack is the place. But a wrong field is the fault of who gave
// it, whatever the function that looked at it did.
func (l *loader) explainEval(eval *starlark.EvalError) *Error {
	own, msg := ownPlace(eval.Unwrap(), eval.Msg)
	var field *value.FieldError
	for {
		var deeper *starlark.EvalError
		field, deeper = next(eval.Unwrap())
		if deeper == nil {
			break
		}
		eval, own = deeper, derivation.Position{}
	}
	e := &Error{Msg: msg, Cause: eval.Unwrap()}
	if stack := l.frames(eval.CallStack); len(stack) > 0 {
		e.Pos, e.Stack = stack[0].Pos, stack[1:]
	}
	if field != nil && ofCall(eval.CallStack, field.Constructor) {
		if p, ok := l.calls.argument(callPlace(eval.CallStack), field); ok {
			e.Pos = p
		}
	}
	var entry *value.DefinitionError
	if errors.As(eval.Unwrap(), &entry) {
		if p, ok := l.calls.entry(callPlace(eval.CallStack), entry.Field); ok {
			e.Pos = p
		}
	}
	if own != (derivation.Position{}) {
		e.Pos = own
	}
	if rest, ok := strings.CutPrefix(e.Msg, "global variable "); ok {
		if name, ok := strings.CutSuffix(rest, " referenced before assignment"); ok {
			e.Msg = fmt.Sprintf("cannot use %q here: it is defined further down; move its definition up (things that need each other, such as two service types that extend each other, cannot be declared)", name)
		}
	}
	if rest, ok := strings.CutPrefix(e.Msg, "load: name "); ok {
		e.Msg = l.explainLoad(rest)
	}
	if strings.Contains(msg, "Starlark computation cancelled: ") {
		e.Msg = l.explainCancel(msg)
	}
	// Most of our messages say what cannot be done; those of Starlark's own
	// functions may not even say which one speaks.
	if name := topBuiltin(eval.CallStack); field == nil && name != "" && !strings.Contains(e.Msg, name) && !strings.HasPrefix(e.Msg, "cannot ") {
		e.Msg = name + ": " + e.Msg
	}
	return e
}

// next finds what lies below an error: a wrong field, or else the error of
// another call.
func next(err error) (*value.FieldError, *starlark.EvalError) {
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e := e.(type) {
		case *value.FieldError:
			return e, nil
		case *starlark.EvalError:
			return nil, e
		}
	}
	var deeper *starlark.EvalError
	if errors.As(err, &deeper) {
		return nil, deeper
	}
	return nil, nil
}

// ownPlace takes the place that an error of the packages below brings along
// out of its text.
func ownPlace(err error, msg string) (derivation.Position, string) {
	var own derivation.Position
	var declared *derivation.Error
	var services *service.Error
	switch {
	case errors.As(err, &declared):
		own = declared.Pos
	case errors.As(err, &services):
		own = services.Pos
	}
	if own == (derivation.Position{}) {
		return own, msg
	}
	return own, strings.Replace(msg, own.String()+": ", "", 1)
}

// explainNames words the faults the resolver found: mostly undefined names.
func (l *loader) explainNames(list resolve.ErrorList) *Error {
	var first *Error
	for _, r := range list {
		e := &Error{Pos: position(r.Pos), Msg: l.explainName(r.Msg)}
		if first == nil {
			first = e
		} else {
			first.More = append(first.More, e)
		}
	}
	return first
}

func (l *loader) explainName(msg string) string {
	rest, ok := strings.CutPrefix(msg, "undefined: ")
	if !ok {
		return msg
	}
	name, hint, _ := strings.Cut(rest, " ")
	if module := l.exporter(name); module != "" {
		return fmt.Sprintf("undefined name %q: it comes with load(%q, %q)", name, module, name)
	}
	if hint == "" {
		if near := service.Near(name, l.names()); near != "" {
			hint = fmt.Sprintf("(did you mean %s?)", near)
		}
	}
	return strings.TrimSpace(fmt.Sprintf("undefined name %q %s", name, hint))
}

// explainLoad words a name that a module lacks: it may be in another one, or
// known without any.
func (l *loader) explainLoad(rest string) string {
	name, where, _ := strings.Cut(rest, " not found in module ")
	module, hint, _ := strings.Cut(where, " ")
	switch has := l.exporter(name); {
	case l.predeclared.Has(name):
		hint = "every file knows it, without load"
	case has != "":
		hint = fmt.Sprintf("it comes with load(%q, %q)", has, name)
	case hint != "":
		hint = strings.Trim(hint, "()")
	case strings.HasPrefix(module, libraryPrefix):
		hint = fmt.Sprintf("`osbuild doc %s` lists what there is", module)
	default:
		return fmt.Sprintf("cannot load %q: %s has no such name", name, module)
	}
	return fmt.Sprintf("cannot load %q: %s has no such name; %s", name, module, hint)
}

// explainCancel words the end of an evaluation that was stopped.
func (l *loader) explainCancel(msg string) string {
	if l.ctx.Err() != nil {
		return "the evaluation was interrupted"
	}
	if strings.HasSuffix(msg, "too many steps") {
		return fmt.Sprintf("the evaluation does not end within %d steps: look for a loop that runs too often", l.options.MaxSteps)
	}
	return msg
}

// frames lists the calls of a stack, the innermost first, without those that
// have no place in a file.
func (l *loader) frames(stack starlark.CallStack) []Frame {
	var frames []Frame
	for i := range stack {
		f := stack.At(i)
		if f.Pos.Filename() == builtinFile {
			continue
		}
		name := f.Name
		if name == "<toplevel>" {
			name = ""
		}
		frames = append(frames, Frame{Pos: l.calls.start(position(f.Pos)), Name: name})
	}
	return frames
}

// callPlace is the place of the innermost call in a file, as the interpreter
// knows it.
func callPlace(stack starlark.CallStack) derivation.Position {
	for i := range stack {
		if f := stack.At(i); f.Pos.Filename() != builtinFile {
			return position(f.Pos)
		}
	}
	return derivation.Position{}
}

// ofCall says whether a stack ends in the call of a constructor: a record that
// is made of a tuple has no call of its own.
func ofCall(stack starlark.CallStack, constructor string) bool {
	name := topBuiltin(stack)
	return name == constructor || name == value.ReplaceName
}

// topBuiltin names the Go function in which the stack ends, if it does.
func topBuiltin(stack starlark.CallStack) string {
	if len(stack) == 0 {
		return ""
	}
	if f := stack.At(0); f.Pos.Filename() == builtinFile {
		return f.Name
	}
	return ""
}

// caller is the place of the innermost call in a file.
func (l *loader) caller(thread *starlark.Thread) derivation.Position {
	return l.calls.start(callPlace(thread.CallStack()))
}
