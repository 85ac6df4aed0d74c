// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"

	"osbuild/builder/realise"
	"osbuild/runner/spec"
)

// buildContainer writes the document of a container: the declared one, and
// below its own files what its packages put at /usr and elsewhere.
func buildContainer(_ context.Context, r realise.Request) error {
	var c spec.Container
	if err := json.Unmarshal([]byte(r.Drv.Env["text"]), &c); err != nil {
		return fmt.Errorf("cannot read the container: %w", err)
	}
	name := path.Join(r.Drv.Env["packages"], spec.PackagesRoot)
	n, err := tree{r.Physical}.resolve(name)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(n.physical)
	if err != nil {
		return err
	}
	var packages spec.Root
	if err := json.Unmarshal(data, &packages); err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	c.Root = joinRoots(c.Root, packages)
	out, err := os.OpenFile(r.Outs["out"], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if err := e.Encode(c); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// joinRoots puts what is declared above what packages bring.
func joinRoots(declared, packages spec.Root) spec.Root {
	declared.Usr = append(declared.Usr, packages.Usr...)
	declared.Opt = append(declared.Opt, packages.Opt...)
	declared.Trees = append(declared.Trees, packages.Trees...)
	declared.Owners = append(declared.Owners, packages.Owners...)
	taken := map[string]bool{}
	for _, l := range declared.Links {
		taken[l.Path] = true
	}
	for _, d := range declared.Dirs {
		taken[d.Path] = true
	}
	for _, l := range packages.Links {
		if !taken[l.Path] {
			declared.Links = append(declared.Links, l)
		}
	}
	for _, d := range packages.Dirs {
		if !taken[d.Path] {
			declared.Dirs = append(declared.Dirs, d)
		}
	}
	return declared
}
