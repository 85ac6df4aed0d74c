// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"osbuild/store"
	"osbuild/store/cache/origin"
	"osbuild/store/cache/serve"
)

func serveVerb() verb {
	return verb{
		name:    "serve",
		args:    "[--listen ADDRESS]",
		summary: "offer this store as a cache over HTTP, until it is stopped",
		help: `osbuild serve                                  # prints its URL, for this machine only
osbuild serve --listen :8080 --key cache.key   # for all, signed
osbuild serve --upload-token token             # who knows the token may push
osbuild build --substituters http://127.0.0.1:8080 --trusted-keys "$(cat cache.key.pub)" system.star`,
		setup: func(fs *pflag.FlagSet) runFunc {
			var o serveOptions
			fs.StringVar(&o.listen, "listen", "127.0.0.1:8080", "the address; port 0 chooses one")
			fs.StringVar(&o.key, "key", "", "the file of the secret key that signs items and what was built here")
			fs.StringVar(&o.token, "upload-token", "", "a file with the token that uploads must carry; without it nobody uploads")
			fs.StringSliceVar(&o.trust, "trusted-keys", nil, "public keys that vouch for uploaded items without a content address")
			fs.StringVar(&o.maxSize, "max-size", "64G", "the largest upload that is taken")
			fs.IntVar(&o.priority, "priority", origin.DefaultPriority, "which caches clients ask first: those of a low number")
			fs.BoolVar(&o.compress, "compress", false, "compress archives on the way, for slow networks")
			return o.run
		},
	}
}

type serveOptions struct {
	listen, key, token, maxSize string

	trust    []string
	priority int
	compress bool
}

func (o *serveOptions) run(ctx context.Context, a *app, args []string) error {
	if len(args) > 0 {
		return usagef("serve takes no arguments")
	}
	key, err := readKey(o.key)
	if err != nil {
		return err
	}
	token, err := readToken(o.token)
	if err != nil {
		return err
	}
	trust, err := (sharing{keys: o.trust}).effective()
	if err != nil {
		return err
	}
	limit, err := parseSize(o.maxSize)
	if err != nil {
		return err
	}
	if token != "" {
		a.sync = syncBatch // who is told that an upload was taken believes it
	}
	s, lease, err := a.openServed(token != "")
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("cannot serve: %w (choose another address with --listen)", err)
	}
	url := "http://" + l.Addr().String()
	if a.json {
		err = a.printJSON(map[string]string{"url": url})
	} else {
		_, err = fmt.Fprintln(a.stdout, url)
	}
	if err != nil {
		return err
	}
	from := newOrigin(s)
	from.Key, from.Priority = key, o.priority
	server := &serve.Server{
		Origin: from, Lease: lease, Token: token, Policy: trust, MaxSize: limit, Compress: o.compress,
	}
	if !a.quiet {
		server.Log = a.stderr
	}
	if err := server.Serve(ctx, l); err != nil {
		return fmt.Errorf("cannot serve: %w", err)
	}
	a.say("stopped")
	return nil
}

// openServed opens what is served: a store of this user or, where nobody
// uploads, one that can only be read.
func (a *app) openServed(uploads bool) (*store.Store, *store.Lease, error) {
	s, lease, err := a.openLease()
	if err == nil || uploads || !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
		return s, lease, err
	}
	root, rootErr := a.rootDir()
	if rootErr != nil {
		return nil, nil, rootErr
	}
	s, openErr := store.Open(root, store.Options{ReadOnly: true})
	if openErr != nil {
		return nil, nil, openErr
	}
	a.say("warning: the store at %s can only be read, so nothing keeps its owner from collecting what is being fetched", root)
	return s, nil, nil
}
