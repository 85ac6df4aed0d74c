// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"runtime/debug"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/builder/derivation"
	"osbuild/builder/realise"
	"osbuild/closure"
	"osbuild/store"
	"osbuild/store/cache"
	"osbuild/store/cache/codec"
)

func pushVerb() verb {
	return verb{
		name:    "push",
		args:    "ITEM|FILE[:NAME]… DEST",
		summary: "put items and all they need into a cache, from which others pull them",
		help: `osbuild push system.star file:///srv/cache        # builds what is missing, and pushes it
osbuild push $(osbuild build system.star) file:///srv/cache
osbuild push --key cache.key --compression gzip system.star file:///srv/cache
osbuild push --upload-token token system.star http://cache.example.org:8080`,
		setup: func(fs *pflag.FlagSet) runFunc {
			var o pushOptions
			fs.StringVar(&o.compression, "compression", codec.Default, "how archives are compressed: zstd, gzip or none")
			fs.StringVar(&o.key, "key", "", "the file of the secret key that signs what is pushed; `osbuild keygen` makes one")
			fs.StringVar(&o.token, "upload-token", "", "a file with the token that the server expects of who uploads")
			fs.BoolVar(&o.listings, "listings", false, "write beside each item which files it holds")
			fs.BoolVar(&o.container, "container", false, "of a FILE push the script that boots its system as a container")
			fs.BoolVar(&o.locked, "locked", false, "fail where the lock of packages would have to change")
			return o.run
		},
	}
}

type pushOptions struct {
	compression, key, token     string
	listings, container, locked bool
}

// pushed is the result of `push --json`.
type pushed struct {
	Paths     []store.Path `json:"paths"`
	Items     int          `json:"items"`
	Present   int          `json:"present"`
	Signed    int          `json:"signed,omitempty"`
	Bytes     int64        `json:"bytes"`
	FileBytes int64        `json:"fileBytes"`
}

func (o *pushOptions) run(ctx context.Context, a *app, args []string) error {
	debug.SetGCPercent(100) // it may take long: what many items leave behind is not kept
	if args = words(args); len(args) < 2 {
		return usagef("push: give an ITEM or a FILE, and where to push it; see `osbuild help push`")
	}
	targets, dest := args[:len(args)-1], args[len(args)-1]
	if err := codec.Writable(o.compression); err != nil {
		return usagef("push: --compression: %v", err)
	}
	key, err := readKey(o.key)
	if err != nil {
		return err
	}
	token, err := readToken(o.token)
	if err != nil {
		return err
	}
	l, err := a.openLocation(dest, token)
	if err != nil {
		return err
	}
	var paths []store.Path
	var keys []derivation.Key
	for _, target := range targets {
		p, made, err := o.target(ctx, a, target)
		if err != nil {
			return err
		}
		paths, keys = append(paths, p), append(keys, made...)
	}
	c, err := cache.Create(ctx, l)
	if err != nil {
		return err
	}
	m := newMeter(a, "pushing", "", "item", 0)
	r, err := cache.Push(ctx, a.store, c, paths, cache.PushOptions{
		Compression: o.compression, Listings: o.listings, Key: key, Jobs: a.jobCount(), Observe: m.observe,
		Steps: func(s cache.Step, done, all int) { m.steps(string(s), done, all) },
	})
	m.end()
	if err != nil {
		return err
	}
	builds, err := a.shareRealisations(ctx, c, keys, key)
	if err != nil {
		return err
	}
	a.say("pushed %s, %s, compressed %s; %s there before", count(r.Items, "item"), size(r.Bytes), size(r.FileBytes), wasOrWere(r.Present))
	if r.Signed > 0 {
		a.say("signed %s of these", count(r.Signed, "item"))
	}
	if builds > 0 {
		a.say("told of %s", count(builds, "build"))
	}
	if a.json {
		return a.printJSON(pushed{paths, r.Items, r.Present, r.Signed, r.Bytes, r.FileBytes})
	}
	return a.printPaths(paths)
}

func wasOrWere(n int) string {
	if n == 1 {
		return "1 item was"
	}
	return count(n, "item") + " were"
}

// target finds what to push, protects it, and tells which derivations made it.
// A declaration is built first.
func (o *pushOptions) target(ctx context.Context, a *app, target string) (store.Path, []derivation.Key, error) {
	file, _ := splitTarget(target)
	if strings.HasSuffix(file, ".star") {
		build := buildOptions{container: o.container, locked: o.locked}
		e, b, err := build.evaluate(ctx, a, []string{target})
		if err != nil {
			return "", nil, err
		}
		p, err := a.realise(ctx, e, b.path)
		if ref, ok := e.graph.Lookup(b.path); ok && ref.Drv != "" {
			return p, []derivation.Key{ref.Drv}, err
		}
		return p, nil, err
	}
	s, lease, err := a.openLease()
	if err != nil {
		return "", nil, err
	}
	paths, err := resolveItems(s, []string{target})
	if err != nil {
		return "", nil, err
	}
	if err := lease.Add(paths...); err != nil {
		return "", nil, err
	}
	infos, err := closure.Compute(s, paths...)
	if err != nil {
		return "", nil, err
	}
	keys, err := realise.Derivers(s, infos)
	return paths[0], keys, err
}
