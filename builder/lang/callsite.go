// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"go.starlark.net/syntax"

	"osbuild/builder/derivation"
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

// argument gives the place of an argument of the call with its parenthesis at
// p: by name, else by index (below zero for none).
func (c callSites) argument(p derivation.Position, name string, index int) (derivation.Position, bool) {
	call := c[p]
	if call == nil {
		return p, false
	}
	for i, arg := range call.Args {
		if eq, ok := arg.(*syntax.BinaryExpr); ok && eq.Op == syntax.EQ {
			if id, ok := eq.X.(*syntax.Ident); ok && id.Name == name {
				return position(syntax.Start(eq.Y)), true
			}
			continue
		}
		if u, ok := arg.(*syntax.UnaryExpr); ok && (u.Op == syntax.STAR || u.Op == syntax.STARSTAR) {
			// What follows cannot be counted.
			index = -1
			continue
		}
		if i == index {
			return position(syntax.Start(arg)), true
		}
	}
	return p, false
}
