// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"context"
	"os"
	"strings"

	"osbuild/builder/realise"
)

// buildRequisites lists the closure of the inputs, which are the arguments.
func buildRequisites(_ context.Context, r realise.Request) error {
	var b strings.Builder
	for _, p := range r.Closure {
		b.WriteString(string(p) + "\n")
	}
	return os.WriteFile(r.Outs["out"], []byte(b.String()), 0o644)
}
