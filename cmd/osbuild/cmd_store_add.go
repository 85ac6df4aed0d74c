// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"osbuild/store"
)

func storeAddVerb() verb {
	return verb{
		name:    "store add",
		args:    "[--name N] [--flat] [--hash ALGO] [--compute] PATH…",
		summary: "add files or trees, and print their store paths",
		help: `  osbuild store add ./site                    as nix-store --add
  osbuild store add --flat --hash sha512 a.tar.gz   as nix-store --add-fixed sha512
  osbuild store add --compute ./site          only print the path`,
		setup: func(fs *pflag.FlagSet) runFunc {
			var o addOptions
			fs.StringVar(&o.name, "name", "", "the item's name (default: that of PATH)")
			fs.BoolVar(&o.flat, "flat", false, "address a file by its bytes alone, not by its archive")
			fs.StringVar(&o.hash, "hash", "sha256", "sha256, sha512, sha1 or md5")
			fs.BoolVar(&o.compute, "compute", false, "add nothing, only compute the path")
			return func(ctx context.Context, a *app, args []string) error { return storeAdd(ctx, a, o, args) }
		},
	}
}

type addOptions struct {
	name, hash    string
	flat, compute bool
}

func storeAdd(ctx context.Context, a *app, o addOptions, args []string) error {
	args, err := oneOrMore("add", "path", args)
	if err != nil {
		return err
	}
	if o.name != "" && len(args) > 1 {
		return usagef("store add: --name names one item, but %d paths are given", len(args))
	}
	paths := make([]store.Path, 0, len(args))
	for _, arg := range args {
		p, err := o.one(ctx, a, arg)
		if err != nil {
			return err
		}
		paths = append(paths, p)
	}
	return a.printPaths(paths)
}

func (o addOptions) one(ctx context.Context, a *app, src string) (store.Path, error) {
	name := o.name
	if name == "" {
		abs, err := filepath.Abs(src)
		if err != nil {
			return "", err
		}
		name = filepath.Base(abs)
	}
	if o.compute {
		return store.ComputeFixed(ctx, name, src, o.hash, !o.flat)
	}
	s, l, err := a.openLease()
	if err != nil {
		return "", err
	}
	var i store.Info
	if !o.flat && o.hash == "sha256" {
		i, err = s.AddTree(ctx, l, name, src, nil)
	} else {
		i, err = s.AddFixed(ctx, l, name, src, o.hash, nil, !o.flat)
	}
	return i.Path, err
}

func storeAddTextVerb() verb {
	return verb{
		name:    "store add-text",
		args:    "[--ref ITEM]… NAME <TEXT",
		summary: "add a text from standard input, and print its store path",
		help:    "  echo hello | osbuild store add-text greeting    as builtins.toFile",
		setup: func(fs *pflag.FlagSet) runFunc {
			refs := fs.StringArray("ref", nil, "an item that the text refers to")
			return func(ctx context.Context, a *app, args []string) error {
				if args = words(args); len(args) != 1 {
					return usagef("store add-text: give one name; see `osbuild help store add-text`")
				}
				return storeAddText(ctx, a, args[0], *refs)
			}
		},
	}
}

func storeAddText(ctx context.Context, a *app, name string, refs []string) error {
	s, l, err := a.openLease()
	if err != nil {
		return err
	}
	paths, err := resolveItems(s, refs)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return fmt.Errorf("cannot read the text: %w", err)
	}
	i, err := s.AddText(ctx, l, name, text, paths)
	if err != nil {
		return err
	}
	return a.printPaths([]store.Path{i.Path})
}
