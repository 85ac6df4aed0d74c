// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package launch is the part of the command line that starts containers. It is
// shared by `osbuild run-container` and by the launcher inside every
// run-container script, `osbuild-init run`, so that both take the same flags
// and behave alike.
//
// It owns the words of those flags and their checks, before anything is built
// or started. It never evaluates a declaration and never looks into a store's
// database. Start with [Flags].
package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"osbuild/runner"
	"osbuild/runner/spec"
)

// Flags are the options of a start. Nothing in them changes a system's hash.
type Flags struct {
	mappings Mappings
	secrets  []string
	publish  []string
	limits   limits

	network  bool
	name     string
	detach   bool
	pidFile  string
	state    string
	wait     time.Duration
	ids      int
	singleID bool
	nested   bool
	usr      string
	dryRun   bool
}

// Declare adds the flags to fs.
func (f *Flags) Declare(fs *pflag.FlagSet) {
	f.mappings.Declare(fs)
	fs.BoolVar(&f.network, "network", false, "share the host's network")
	fs.StringArrayVar(&f.publish, "publish", nil, "open a TCP port on the host that leads to one of the container: `[ADDRESS:]PORT:PORT`; the address is 127.0.0.1 if left out")
	fs.StringVar(&f.name, "name", "", "the container's `NAME` (default: the host name and a number)")
	fs.BoolVar(&f.detach, "detach", false, "go to the background once the services are up")
	fs.StringVar(&f.pidFile, "pid-file", "", "write the container's PID to `FILE`")
	fs.StringVar(&f.state, "state", "", "keep /var, /home, /root, /srv and the ids in `DIR`")
	fs.StringArrayVar(&f.secrets, "secret", nil, "give the file as /run/secrets/NAME: `NAME=FILE`")
	fs.DurationVar(&f.wait, "wait", 30*time.Second, "how long to wait for the services before the command")
	fs.IntVar(&f.ids, "ids", 0, "give the container `N` ids instead of 65536 (root only)")
	fs.BoolVar(&f.singleID, "single-id", false, "map root alone, where there are no subordinate ids")
	fs.BoolVar(&f.nested, "nested", false, "give the container what containers in it need: cgroups, FUSE, TUN")
	f.limits.declare(fs)
	fs.StringVar(&f.usr, "usr", runner.UsrAuto, "merge packages by `overlay|view`; auto takes a view where the kernel has no overlay")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print what would be done, as a list of steps, and do nothing")
}

// Network says that the host's network is shared: it changes the system.
func (f *Flags) Network() bool { return f.network }

// Detach says that the container goes to the background.
func (f *Flags) Detach() bool { return f.detach }

// DryRun says that the plan is only printed.
func (f *Flags) DryRun() bool { return f.dryRun }

// Options checks the flags and turns them into the runner's options. The
// system itself is added by the caller.
func (f *Flags) Options(command []string) (runner.Options, error) {
	o := runner.Options{
		Name:      f.name,
		PIDFile:   f.pidFile,
		Wait:      f.wait,
		Command:   command,
		IDs:       f.ids,
		SingleID:  f.singleID,
		Nested:    f.nested,
		Secrets:   map[string]string{},
		Hierarchy: runner.Hierarchy{Usr: f.usr},
		Stdin:     os.Stdin,
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
	}
	if ways := []string{runner.UsrAuto, runner.UsrOverlay, runner.UsrView}; !slices.Contains(ways, f.usr) {
		return o, fmt.Errorf("cannot merge packages by %q: --usr takes %s", f.usr, strings.Join(ways, ", "))
	}
	if f.ids != 0 && os.Geteuid() != 0 {
		return o, errors.New("cannot give the container another number of ids: --ids is for root only")
	}
	if f.wait < 0 {
		return o, fmt.Errorf("cannot wait %s for the services: --wait takes a time from 0s", f.wait)
	}
	if f.detach && len(command) > 0 {
		return o, errors.New("cannot detach from a command: leave out --detach, or the command")
	}
	var err error
	if o.Mappings, err = f.mappings.Parse(); err != nil {
		return o, err
	}
	if o.Limits, err = f.limits.parse(); err != nil {
		return o, err
	}
	if f.network && len(f.publish) > 0 {
		return o, errors.New("cannot publish ports with --network: the container's ports are the host's then; leave out one of the two")
	}
	for _, p := range f.publish {
		port, err := parsePort(p)
		if err != nil {
			return o, err
		}
		o.Publish = append(o.Publish, port)
	}
	for _, s := range f.secrets {
		name, file, ok := strings.Cut(s, "=")
		if !ok || name == "" || strings.ContainsRune(name, '/') || name[0] == '.' {
			return o, fmt.Errorf("cannot give secret %q: want NAME=FILE, where NAME is a file name", s)
		}
		path, err := existing("give secret "+name, file)
		if err != nil {
			return o, err
		}
		o.Secrets[name] = path
	}
	for _, p := range []struct{ from, to *string }{{&f.state, &o.StateDir}, {&f.pidFile, &o.PIDFile}} {
		if *p.from == "" {
			continue
		}
		if *p.to, err = filepath.Abs(*p.from); err != nil {
			return o, err
		}
	}
	return o, nil
}

// ReadContainer reads container.json of a system item. storeDir is where the
// store lies physically: links in items name logical paths, so each one that
// leads into the store is followed by hand.
func ReadContainer(storeDir, system string) (spec.Container, error) {
	fail := func(err error) (spec.Container, error) {
		return spec.Container{}, fmt.Errorf("cannot boot %s: %w", system, err)
	}
	path := filepath.Join(storeDir, filepath.Base(system), "container.json")
	if target, err := os.Readlink(path); err == nil {
		if rest, ok := strings.CutPrefix(target, spec.StoreDir+"/"); ok {
			path = filepath.Join(storeDir, rest)
		}
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(errors.New("it has no container.json, so it is not a system"))
	} else if err != nil {
		return fail(err)
	}
	var c spec.Container
	if err := json.Unmarshal(text, &c); err != nil {
		return fail(fmt.Errorf("container.json: %w", err))
	}
	if c.Version != spec.Version {
		return fail(fmt.Errorf("container.json has version %d, and this osbuild knows %d; build the system again", c.Version, spec.Version))
	}
	return c, nil
}

// Item is a store item that lies in storeDir.
func Item(storeDir, logical string) spec.Item {
	return spec.Item{Logical: logical, Physical: filepath.Join(storeDir, filepath.Base(logical))}
}
