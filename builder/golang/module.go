// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package golang

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"osbuild/builder/derivation"
)

// ErrNotVendored is wrapped by the error for a module that needs others and
// does not carry them.
var ErrNotVendored = errors.New("it needs other modules, and has no vendor folder")

// checkModule finds out before anything is built whether src can be: it must
// be a module, and carry the modules it needs. A source that is itself still
// to be made is left to the go command.
func checkModule(g *derivation.Graph, src string) error {
	ref, rest, ok := g.Split(src)
	if !ok {
		return fmt.Errorf("src %q is no item: give a local_file, or a folder in an item", src)
	}
	item, ok := g.SourceItem(ref.Path)
	if !ok {
		return nil
	}
	dir := filepath.Join(item.Physical, rest)
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no go.mod: src is the folder of a module (`go mod init NAME` makes one), and package a folder in it", dir)
	}
	if err != nil {
		return err
	}
	if !requires(string(mod)) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, "vendor", "modules.txt")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: builds have no network, so run `go mod vendor` there, and keep the folder with the source", dir, ErrNotVendored)
	} else if err != nil {
		return err
	}
	return nil
}

// requires says whether a go.mod requires any other module.
func requires(mod string) bool {
	block := false
	for line := range strings.Lines(mod) {
		line, _, _ = strings.Cut(line, "//")
		words := strings.Fields(strings.ReplaceAll(line, "(", " ( "))
		switch {
		case len(words) == 0:
		case block && words[0] == ")":
			block = false
		case block:
			return true
		case words[0] == "require" && len(words) > 1 && words[1] == "(":
			block = true
		case words[0] == "require" && len(words) > 1:
			return true
		}
	}
	return false
}
