// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/pflag"

	"osbuild/store"
	"osbuild/store/fsys"
)

// app is one run of the program: the global flags and where output goes.
type app struct {
	stdout, stderr io.Writer

	root    string
	json    bool
	jobs    int
	offline bool
	quiet   bool
	verbose bool
	sync    string
	// locked forbids to change a lock file.
	locked bool
	// sharing is what the flags say of substituters.
	sharing sharing

	// packages is opened on first use; builders run at the same time.
	packages *aptHost

	// purpose is the verb and what it acts on: what a lease says it is for.
	purpose string
	// fs makes the store's changes; nil is the real file system. Crash tests
	// put faults here.
	fs fsys.FS
	// store is opened on first use and closed by main.
	store *store.Store
	lease *store.Lease
	// status is the last line of a terminal.
	status *status
	// ordered says that what runs sees to a second signal itself.
	ordered *atomic.Bool
}

func newApp(stdout, stderr io.Writer) *app {
	return &app{stdout: stdout, stderr: stderr, packages: &aptHost{}, status: &status{}, ordered: new(atomic.Bool)}
}

// globals declares the flags that every verb takes.
func (a *app) globals(fs *pflag.FlagSet) {
	fs.StringVar(&a.root, "root", os.Getenv("OSBUILD_ROOT"), "the folder that holds the store (OSBUILD_ROOT)")
	fs.BoolVar(&a.json, "json", false, "print results as JSON")
	fs.IntVarP(&a.jobs, "jobs", "j", 0, "how many builders, or checks of items, run at once (0: one a processor)")
	fs.BoolVar(&a.offline, "offline", false, "fetch nothing")
	fs.StringVar(&a.sync, "sync", cmp.Or(os.Getenv("OSBUILD_SYNC"), syncBatch), "batch: wait for the disk at the end; lazy: do not (OSBUILD_SYNC)")
	fs.BoolVarP(&a.quiet, "quiet", "q", false, "print results and errors only")
	fs.BoolVarP(&a.verbose, "verbose", "v", false, "say more")
}

// What --sync may say.
const (
	syncBatch = "batch"
	syncLazy  = "lazy"
)

// usageError is wrong use of the command line: exit status 2.
type usageError struct{ msg string }

func (e usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error {
	return usageError{fmt.Sprintf(format, args...)}
}

// exitError ends osbuild with the status of a program that it ran, or with
// 125 where osbuild itself failed before or around such a program.
type exitError struct {
	code int
	err  error // printed unless nil
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// statusOwnFailure is the exit status of verbs that pass on a program's own
// status when osbuild failed instead of the program.
const statusOwnFailure = 125

func (a *app) main(ctx context.Context, args []string) int {
	err := a.dispatch(ctx, args)
	a.status.print(a.stderr, "")
	if cerr := a.close(); err == nil {
		err = cerr
	}
	if err == nil {
		return 0
	}
	var exit exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintf(a.stderr, "osbuild: %v\n", exit.err)
		}
		return exit.code
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		fmt.Fprintln(a.stderr, "osbuild: interrupted")
		return 1
	}
	fmt.Fprintf(a.stderr, "osbuild: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

// openStore opens the store of --root, making it if need be.
func (a *app) openStore() (*store.Store, error) {
	if a.store != nil {
		return a.store, nil
	}
	root, err := a.rootDir()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(root, store.Options{FS: a.fs, Lazy: a.sync == syncLazy})
	if err != nil {
		return nil, err
	}
	a.store = s
	return s, nil
}

// openLease opens the store and a lease that lasts until the program ends.
func (a *app) openLease() (*store.Store, *store.Lease, error) {
	s, err := a.openStore()
	if err != nil {
		return nil, nil, err
	}
	if a.lease == nil {
		if a.lease, err = s.NewLease(a.purpose); err != nil {
			return nil, nil, err
		}
	}
	return s, a.lease, nil
}

// close makes what was registered durable, unless --sync=lazy, and gives up the lease.
func (a *app) close() error {
	var err error
	if a.store != nil {
		err = a.store.Sync()
	}
	if a.lease != nil {
		if cerr := a.lease.Close(); err == nil {
			err = cerr
		}
	}
	return err
}

// rootDir is where the store lies: --root, OSBUILD_ROOT, or the default of
// this user. Root and users have different ones, because two users never
// share a store for writing.
func (a *app) rootDir() (string, error) {
	if a.root != "" {
		return filepath.Abs(a.root)
	}
	if os.Geteuid() == 0 {
		return "/var/lib/osbuild", nil
	}
	if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "osbuild"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("cannot choose a store: %w; give one with --root", err)
	}
	return filepath.Join(home, ".local", "share", "osbuild"), nil
}

// printJSON prints v as the result of a verb.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// say prints a message to the user, unless --quiet.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		a.status.print(a.stderr, fmt.Sprintf(format, args...)+"\n")
	}
}
