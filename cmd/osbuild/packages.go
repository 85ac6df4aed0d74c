// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"osbuild/builder/debian"
	"osbuild/builder/debian/apt"
	"osbuild/builder/debian/lock"
)

// aptRoot is the root whose etc/apt says where packages come from: that of
// this machine, or the folder of OSBUILD_APT_ROOT, such as a chroot of another
// release.
func aptRoot() string {
	if dir := os.Getenv("OSBUILD_APT_ROOT"); dir != "" {
		return dir
	}
	return "/"
}

// aptHost is the apt configuration of this machine, once it was needed.
type aptHost struct {
	mu   sync.Mutex
	host *apt.Host
}

// host opens the host's apt configuration, once.
func (a *app) host(ctx context.Context) (*apt.Host, error) {
	a.packages.mu.Lock()
	defer a.packages.mu.Unlock()
	if a.packages.host != nil {
		return a.packages.host, nil
	}
	root, err := a.rootDir()
	if err != nil {
		return nil, err
	}
	a.packages.host, err = apt.Open(ctx, apt.Config{
		Root:     aptRoot(),
		Cache:    filepath.Join(root, "cache", "apt"),
		Offline:  a.offline,
		Progress: a.indexProgress(),
		Warn:     func(text string) { a.say("warning: %s", text) },
	})
	return a.packages.host, err
}

// readLock reads the lock of a declaration; nil, where there is none.
func readLock(file string) (*lock.Lock, error) {
	if file == "" {
		return nil, nil
	}
	l, err := lock.Read(debian.LockFile(file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return l, err
}

// extendLock adds the packages that a declaration uses and its lock lacks, and
// leaves what is locked as it is.
func (a *app) extendLock(ctx context.Context, file string, e *evaluation, old *lock.Lock) (*lock.Lock, error) {
	names := strings.Join(e.packages.Missing(), ", ")
	if names == "" {
		names = "a change of package_source"
	}
	switch {
	case file == "":
		return nil, fmt.Errorf("cannot use packages (%s) in an expression alone: their lock lies beside a file; name that FILE too", names)
	case a.locked:
		return nil, fmt.Errorf("cannot go on with %s as it is (--locked): it lacks %s; run `osbuild lock %s`", debian.LockFile(file), names, file)
	}
	a.say("locking %s", names)
	l, err := a.relock(ctx, e, debian.Update{})
	if err != nil {
		return nil, err
	}
	if !l.Fits(e.packages.Policy()) || len(l.Missing(e.packages.Names())) > 0 {
		return nil, fmt.Errorf("cannot lock %s: the new lock lacks it too; please report this", names)
	}
	if err := l.Write(debian.LockFile(file)); err != nil {
		return nil, err
	}
	a.saidChanges(file, old, l)
	return l, nil
}

// relock chooses packages for an evaluation.
func (a *app) relock(ctx context.Context, e *evaluation, u debian.Update) (*lock.Lock, error) {
	h, err := a.host(ctx)
	if err != nil {
		return nil, err
	}
	arch, err := debian.Arch(e.env.System)
	if err != nil {
		return nil, err
	}
	return e.packages.Relock(ctx, h, arch, u)
}

// saidChanges tells in one line what became of a lock.
func (a *app) saidChanges(file string, old, l *lock.Lock) {
	if old == nil {
		old = &lock.Lock{}
	}
	var size int64
	for _, p := range l.Packages {
		size += p.Size
	}
	count := "1 package"
	if n := len(l.Packages); n != 1 {
		count = fmt.Sprintf("%d packages", n)
	}
	a.say("%s: %s, %s, %d of them new or changed", debian.LockFile(file), count, showSize(size), len(lock.Diff(old, l)))
}
