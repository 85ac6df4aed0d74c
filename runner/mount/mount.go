// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package mount

// Plan is an ordered list of steps.
type Plan struct{ Steps []Step }

// Step is one step.
type Step struct{}

// String prints a plan, one line a step.
func (p Plan) String() string { return "" }
