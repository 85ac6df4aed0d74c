// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"context"
	"io/fs"
	"os"

	"osbuild/builder/realise"
)

// buildText writes a text whose placeholders are filled in by now.
func buildText(_ context.Context, r realise.Request) error {
	mode := fs.FileMode(0o644)
	if r.Drv.Env["executable"] == "1" {
		mode = 0o755
	}
	return os.WriteFile(r.Outs["out"], []byte(r.Drv.Env["text"]), mode)
}
