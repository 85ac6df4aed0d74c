// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"fmt"

	"go.starlark.net/starlark"

	"osbuild/builder/lang/value"
)

// site tells where the evaluation of a thread is.
func (l *loader) site(thread *starlark.Thread) *value.Site {
	return &value.Site{
		Pos: l.caller(thread),
		Call: func(fn starlark.Callable, args ...starlark.Value) (starlark.Value, error) {
			return starlark.Call(thread, fn, args, nil)
		},
	}
}

// call runs a function that a file defined after the file was evaluated. What
// the function can reach is frozen first: it gives the same answer whenever
// it is called. The error is an *Error.
func (l *loader) call(fn starlark.Callable, args ...starlark.Value) (starlark.Value, error) {
	return l.callWithin(0, fn, args...)
}

// maxDepth bounds calls within calls. Starlark's own check against recursion
// ends where Go calls back.
const maxDepth = 20

// depthKey is the thread local that holds how many calls a thread is within.
const depthKey = "depth"

func depth(thread *starlark.Thread) int {
	d, _ := thread.Local(depthKey).(int)
	return d
}

// callWithin is call on behalf of a function that is itself within d calls.
func (l *loader) callWithin(d int, fn starlark.Callable, args ...starlark.Value) (starlark.Value, error) {
	if d > maxDepth {
		return nil, &Error{Msg: fmt.Sprintf("the function %s is called within itself without end", fn.Name())}
	}
	fn.Freeze()
	for _, a := range args {
		a.Freeze()
	}
	thread, done := l.thread(fn.Name())
	defer done()
	thread.SetLocal(depthKey, d)
	var result starlark.Value
	err := l.run(func() error {
		var err error
		result, err = starlark.Call(thread, fn, args, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	result.Freeze()
	return result, nil
}
