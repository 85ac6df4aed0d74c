// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/builder/derivation"
	"osbuild/runner/spec"
	"osbuild/store"
)

// attempt is one run of a builder, in a folder of its own.
type attempt struct {
	*build
	// dir holds the two folders of the builder: storeDir stands for the store
	// dir and gets the outputs, workDir is the current folder.
	dir, storeDir, workDir string
	scratch                map[string]store.Path
	// closure are the items that the builder sees.
	closure []store.Path
	log     *buildLog
	// ran says that a program ran to its end, whichever that was.
	ran bool
}

func (b *build) prepare() (*attempt, error) {
	a := &attempt{build: b, scratch: map[string]store.Path{}}
	for _, o := range b.drv.Outputs {
		a.scratch[o] = derivation.ScratchPath(b.rkey, b.drv.Name, o)
	}
	inputs := make([]store.Path, len(b.resolved.Inputs))
	for i, in := range b.resolved.Inputs {
		inputs[i] = in.Path
	}
	var err error
	if a.closure, err = b.s.closure(inputs); err != nil {
		return nil, err
	}
	tmp, err := b.s.Lease.TempDir()
	if err != nil {
		return nil, err
	}
	if a.dir, err = os.MkdirTemp(tmp, "build-"); err != nil {
		return nil, fmt.Errorf("cannot make a build folder: %w", err)
	}
	a.storeDir, a.workDir = filepath.Join(a.dir, "store"), filepath.Join(a.dir, "build")
	for _, dir := range []string{a.storeDir, a.workDir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot make a build folder: %w", err), a.remove())
		}
	}
	a.log = &buildLog{path: b.s.Store.LogFile(string(b.rkey))}
	return a, nil
}

// out is where an output lies physically while it is made.
func (a *attempt) out(output string) string {
	return filepath.Join(a.storeDir, a.scratch[output].Base())
}

func (a *attempt) run() error {
	d := a.resolved.WithSelf(a.scratch)
	if _, ok := d.Builtin(); ok {
		return a.runBuiltin(d)
	}
	if d.System != "" && d.System != derivation.HostSystem() {
		return fmt.Errorf("its builder needs %s, and this machine is %s: build it on such a machine, or fetch what was built there", d.System, derivation.HostSystem())
	}
	if a.s.Executor == nil {
		return errors.New("its builder is a program, and nothing here can run programs")
	}
	var err error
	b := spec.Build{
		Name:     d.Name,
		StoreDir: a.storeDir,
		WorkDir:  a.workDir,
		Argv:     append([]string{d.Builder}, d.Args...),
		Env:      a.environment(d.Env),
	}
	for _, p := range a.closure {
		b.Items = append(b.Items, spec.Item{Logical: string(p), Physical: a.s.Store.Physical(p)})
	}
	if b.Root, err = a.root(d.Root); err != nil {
		return err
	}
	for _, h := range d.Host {
		physical, ok := a.s.g.HostPath(h.Hash)
		if !ok {
			return fmt.Errorf("the host tree at %s is not known", h.Target)
		}
		b.Host = append(b.Host, spec.Mapping{Source: physical, Target: h.Target})
	}
	var exit spec.Exit
	exit, err = a.s.Executor.Run(a.s.ctx, b, a.log)
	if err != nil {
		return err
	}
	// The program could write to these folders, and so lock them as well.
	for _, dir := range []string{a.storeDir, a.workDir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	a.ran = true
	if exit.Status() != 0 {
		return &ExitError{exit}
	}
	return nil
}

// root reads what the packages in the item root put at /usr.
func (a *attempt) root(root string) (*spec.Root, error) {
	if root == "" {
		return nil, nil
	}
	p, err := store.ParsePath(root)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(a.s.Store.Physical(p), spec.PackagesRoot))
	if err != nil {
		return nil, fmt.Errorf("cannot read what its packages put at /usr: %w", err)
	}
	r := &spec.Root{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("cannot read what its packages put at /usr: %s: %w", root, err)
	}
	return r, nil
}

// environment is what every builder program gets, besides and below what the
// derivation declares: the path of each output under the output's name, and
// three variables that keep programs from the host and from the clock. PATH is
// not among them: a builder names the programs it uses.
func (a *attempt) environment(declared map[string]string) []string {
	env := map[string]string{
		"HOME":              "/homeless", // does not exist
		"TMPDIR":            "/build",
		"SOURCE_DATE_EPOCH": "1",
	}
	for k, v := range declared {
		env[k] = v
	}
	for o, p := range a.scratch {
		env[o] = string(p)
	}
	var list []string
	for _, k := range sortedKeys(env) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// builtin gives the builtin that makes d, nil where there is none.
func (s *session) builtin(d *derivation.Derivation) Builtin {
	name, ok := d.Builtin()
	if !ok {
		return nil
	}
	for _, b := range s.Builtins {
		if b.Name() == name && b.Version() == d.Version {
			return b
		}
	}
	return nil
}

func (a *attempt) runBuiltin(d *derivation.Derivation) error {
	builtin := a.s.builtin(d)
	if builtin == nil {
		name, _ := d.Builtin()
		return fmt.Errorf("this osbuild has no builtin %q of version %d", name, d.Version)
	}
	r := Request{
		Drv:      d,
		Physical: a.s.Store.Physical,
		Closure:  a.closure,
		Outs:     map[string]string{},
		Scratch:  a.scratch,
		TempDir:  a.workDir,
		Log:      a.log,
		Warn:     func(text string) { a.event(Event{Kind: EventWarning, Detail: text}) },
		Progress: func(done, total int64) { a.event(Event{Kind: EventProgress, Done: done, Total: total}) },
		Offline:  a.s.Offline,
	}
	for _, o := range d.Outputs {
		r.Outs[o] = a.out(o)
	}
	return builtin.Build(a.s.ctx, r)
}

// fail cleans up behind a failed build, and gives its error.
func (a *attempt) fail(cause error) error {
	e := &BuildError{
		Name: a.drv.Name, Key: a.key, Pos: a.drv.Pos, Cause: cause,
		LogTail: a.log.tail(), LogPath: a.log.written(),
	}
	if fullDisk(a.dir, cause, e.LogTail) {
		e.Hint = a.s.fullDiskHint()
	}
	var mismatch *store.HashMismatchError
	if errors.As(cause, &mismatch) {
		e.Hint = "if the new content is right, declare its hash instead"
	}
	var different *DifferenceError
	differs := errors.As(cause, &different)
	switch {
	case a.s.KeepFailed && (a.ran || differs):
		kept, err := a.keep()
		if err != nil {
			e.Hint = err.Error()
			break
		}
		e.KeptDir = kept
		if differs {
			different.KeptDir = kept
		}
	case a.ran && e.Hint == "":
		e.Hint = "run again with --keep-failed to keep the build folder and look into it"
	}
	if err := a.remove(); err != nil && e.Hint == "" {
		e.Hint = err.Error()
	}
	if differs {
		return different
	}
	return e
}

// keep moves the folder to where no collection of garbage finds it. What it
// holds was made by a program that nobody vouches for: outputs get the modes
// of items, and no file keeps the right to run as another user.
func (a *attempt) keep() (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("cannot keep the build folder: %w", err) }
	for _, o := range a.drv.Outputs {
		if err := store.Canonicalise(a.out(o)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fail(err)
		}
	}
	if err := disarm(a.workDir); err != nil {
		return fail(err)
	}
	parent := filepath.Join(a.s.Store.Root(), "failed")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fail(err)
	}
	// The folder's own name ends in a random number.
	kept := filepath.Join(parent, a.drv.Name+strings.TrimPrefix(filepath.Base(a.dir), "build"))
	if err := os.Rename(a.dir, kept); err != nil {
		return fail(err)
	}
	return kept, nil
}

// disarm takes the right to run as another user from all files, and gives the
// owner back the right to look into all folders.
func disarm(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		perm := info.Mode().Perm()
		if e.IsDir() {
			perm |= 0o700
		}
		if perm == info.Mode().Perm() && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) == 0 {
			return nil
		}
		return os.Chmod(path, perm)
	})
}

// remove deletes the folder, also where the builder took away the right to.
func (a *attempt) remove() error {
	err := os.RemoveAll(a.dir)
	if err == nil {
		return nil
	}
	_ = filepath.WalkDir(a.dir, func(path string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		// Errors show in the second attempt to remove everything.
		return nil
	})
	if err := os.RemoveAll(a.dir); err != nil {
		return fmt.Errorf("cannot remove the build folder %s: %w", a.dir, err)
	}
	return nil
}

// fullDisk says whether a failure is likely that of a full disk. A program can
// say so only in words, and may have made room again before it ended.
func fullDisk(dir string, cause error, log []string) bool {
	if errors.Is(cause, unix.ENOSPC) {
		return true
	}
	for _, line := range log {
		if strings.Contains(strings.ToLower(line), "no space left on device") {
			return true
		}
	}
	var st unix.Statfs_t
	const little = 256 << 10
	return unix.Statfs(dir, &st) == nil && st.Bavail*uint64(st.Bsize) < little
}

func signalName(n int) string {
	if s := unix.SignalName(unix.Signal(n)); s != "" {
		return s
	}
	return "unknown"
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
