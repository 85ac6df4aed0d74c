// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"go.starlark.net/syntax"

	"osbuild/builder/derivation"
	"osbuild/builder/lang/value"
)

// callSites finds a call by the place of its opening parenthesis. The interpreter knows a
// call by its opening parenthesis alone; a person looks for the name before
// it, or, when an argument is at fault, for that argument.
type callSites map[derivation.Position]*syntax.CallExpr

// add notes the calls of a file.
func (c callSites) add(f syntax.Node) {
	syntax.Walk(f, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok {
			c[position(call.Lparen)] = call
		}
		return true
	})
}

// start gives the place of the called expression for that of a parenthesis.
func (c callSites) start(p derivation.Position) derivation.Position {
	if call := c[p]; call != nil {
		return position(syntax.Start(call))
	}
	return p
}

// argument gives the place of the argument that is at fault in the call with
// its parenthesis at p.
func (c callSites) argument(p derivation.Position, fault *value.FieldError) (derivation.Position, bool) {
	call := c[p]
	if call == nil {
		return p, false
	}
	for i, arg := range call.Args {
		if eq, ok := arg.(*syntax.BinaryExpr); ok && eq.Op == syntax.EQ {
			if id, ok := eq.X.(*syntax.Ident); ok && id.Name == fault.Field {
				if fault.Misnamed {
					return position(id.NamePos), true
				}
				return position(syntax.Start(eq.Y)), true
			}
			continue
		}
		if u, ok := arg.(*syntax.UnaryExpr); ok && (u.Op == syntax.STAR || u.Op == syntax.STARSTAR) {
			continue
		}
		if i == fault.Index && !c.unpacks(call.Args[:i]) {
			return position(syntax.Start(arg)), true
		}
	}
	return p, false
}

// entry gives the place of what stands under a key in a dict that is written
// in the call with its parenthesis at p.
func (c callSites) entry(p derivation.Position, key string) (derivation.Position, bool) {
	call := c[p]
	if call == nil {
		return p, false
	}
	for _, arg := range call.Args {
		if eq, ok := arg.(*syntax.BinaryExpr); ok && eq.Op == syntax.EQ {
			arg = eq.Y
		}
		dict, ok := arg.(*syntax.DictExpr)
		if !ok {
			continue
		}
		for _, e := range dict.List {
			e := e.(*syntax.DictEntry)
			if text, ok := e.Key.(*syntax.Literal); ok && text.Value == key {
				return position(syntax.Start(e.Value)), true
			}
		}
	}
	return p, false
}

// given gives the argument with a name, or at an index, in the call with its
// parenthesis at p; nil when it is not written there.
func (c callSites) given(p derivation.Position, name string, index int) syntax.Expr {
	call := c[p]
	if call == nil {
		return nil
	}
	for i, arg := range call.Args {
		if eq, ok := arg.(*syntax.BinaryExpr); ok && eq.Op == syntax.EQ {
			if id, ok := eq.X.(*syntax.Ident); ok && id.Name == name {
				return eq.Y
			}
			continue
		}
		if i == index && !c.unpacks(call.Args[:i+1]) {
			return arg
		}
	}
	return nil
}

// unpacks says whether some argument stands for several.
func (c callSites) unpacks(args []syntax.Expr) bool {
	for _, arg := range args {
		if u, ok := arg.(*syntax.UnaryExpr); ok && u.Op == syntax.STAR {
			return true
		}
	}
	return false
}
