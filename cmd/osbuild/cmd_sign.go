// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/pflag"

	"osbuild/closure"
	"osbuild/store/cache/signature"
)

func signVerb() verb {
	return verb{
		name:    "sign",
		args:    "--key FILE ITEM…",
		summary: "sign items and all they need, in this store",
		help: `osbuild sign --key cache.key $(osbuild build system.star)
osbuild store path-info ITEM   # shows signatures`,
		setup: func(fs *pflag.FlagSet) runFunc {
			key := fs.String("key", "", "the file of the secret key; `osbuild keygen` makes one")
			return func(ctx context.Context, a *app, args []string) error { return sign(ctx, a, *key, words(args)) }
		},
	}
}

func sign(ctx context.Context, a *app, key string, args []string) error {
	if key == "" || len(args) == 0 {
		return usagef("sign: give a secret key with --key, and items; see `osbuild help sign`")
	}
	secret, err := readKey(key)
	if err != nil {
		return err
	}
	s, lease, err := a.openLease()
	if err != nil {
		return err
	}
	paths, err := resolveItems(s, args)
	if err != nil {
		return err
	}
	if err := lease.Add(paths...); err != nil {
		return err
	}
	infos, err := closure.Compute(s, paths...)
	if err != nil {
		return err
	}
	for _, i := range infos {
		if err := s.AddSignatures(ctx, i.Path, secret.Sign(signature.Item(i))); err != nil {
			return err
		}
	}
	a.say("signed %s with %s", count(len(infos), "item"), secret.Name())
	return nil
}
