// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"osbuild/builder/realise"
)

// buildFileUnion makes a tree of pairs of a path in it and what stands there:
// a link to it, or a copy of it.
func buildFileUnion(ctx context.Context, r realise.Request) error {
	args := r.Drv.Args
	if len(args)%2 != 0 {
		return errors.New("a file-union takes pairs of a path and what stands there")
	}
	out := r.Outs["out"]
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	t := tree{r.Physical}
	for i := 0; i < len(args); i += 2 {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, item := args[i], args[i+1]
		if !filepath.IsLocal(name) || name == "." {
			return fmt.Errorf("cannot put anything at %q: it is not a path inside the union", name)
		}
		if !path.IsAbs(item) {
			return fmt.Errorf("cannot put %q at %s: it is not an absolute path", item, name)
		}
		target := filepath.Join(out, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("cannot make the folder of %s: %w", name, err)
		}
		if err := t.put(item, target, r.Drv.Env["copy"] == "1"); err != nil {
			return fmt.Errorf("cannot put %s at %s: %w", item, name, err)
		}
	}
	return nil
}

func (t tree) put(item, target string, copied bool) error {
	if !copied {
		return os.Symlink(item, target)
	}
	n, err := t.resolve(item)
	if err != nil {
		return err
	}
	return copyTree(n.physical, target)
}
