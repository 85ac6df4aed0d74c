// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package activate makes the mutable part of a running system what its
// activation plan says: accounts, /etc, folders, privileged programs, homes.
//
// It owns the order of the phases, what each kind of step does, and what is
// kept in /var/lib/osbuild from one boot to the next. A step that fails is
// reported and the rest goes on; one for which the privilege is lacking, as
// under some container engines, is reported as skipped. It never starts a
// service and never looks at anything outside the root folder it is given.
// Start with [Run].
package activate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// Options are the circumstances of one activation.
type Options struct {
	// System is the logical path of the system item, to which
	// /run/current-system will point; "" leaves that link alone.
	System string
	// Boot says that the system is booting: what only a boot does is done,
	// and what earlier boots kept is restored.
	Boot bool
	// Ids is how many ids this user namespace has, counted from 0; 0 means
	// that there is no such bound.
	Ids int
	// Today counts the days since 1970.
	Today int
	// Exec runs the program of a user step to its end. nil skips such steps.
	Exec func(step string, p spec.Process) error
	// Mounts makes the mounts that privileged programs need. nil leaves them
	// out, as is right for a tree that nobody has booted.
	Mounts Mounts
	// Limits tells which resource limits sessions may have. nil takes them as
	// they are declared, as is right for a tree that nobody has booted.
	Limits Limits
	// Message gets lines for the console that are no failure.
	Message func(line string)
}

// Mounts are the mounts that an activation may make.
type Mounts interface {
	// PermitSetID makes sure that set-id bits below dir have an effect.
	PermitSetID(dir string) error
	// Bind puts the file source in the place of the file target.
	Bind(source, target string) error
	// Unmount takes away what Bind put there.
	Unmount(target string) error
}

// run is one activation under way.
type run struct {
	*tree.Root
	Options
	statuses []spec.StepStatus
	trees    trees
	// made is what the etc step made, for the steps that add files to it.
	made *etc
	// brought are the trees of packages that the plan copies.
	brought []spec.Tree
	// generated are files that steps after the etc step make.
	generated []string
	buf       []byte
}

// Run carries out the plan and returns the steps that did not simply succeed.
func Run(root *tree.Root, plan spec.ActivationPlan, o Options) []spec.StepStatus {
	if o.Message == nil {
		o.Message = func(string) {}
	}
	r := &run{Root: root, Options: o}
	if o.Boot {
		r.step(spec.PhaseState, "state", r.restore)
	}
	r.loadTrees()
	privileged := false
	for _, s := range plan.Steps {
		privileged = privileged || s.Privileged != nil
		if s.Tree != nil {
			r.brought = append(r.brought, *s.Tree)
		}
		if s.Limits != nil {
			r.generated = append(r.generated, s.Limits.To)
		}
	}
	known := spec.Phases()
	for _, phase := range known {
		if phase == spec.PhaseAccounts {
			// Behind the cleanup, which empties /run, and before all else.
			r.step(phase, "current-system", r.currentSystem)
		}
		for _, s := range plan.Steps {
			if s.Phase == phase && (o.Boot || !s.BootOnly) {
				r.step(phase, s.Name, func() []error { return r.one(s) })
			}
		}
		switch {
		case phase == spec.PhaseEtc:
			r.step(phase, "trees", r.saveTrees)
		case phase == spec.PhaseDirectories:
			r.step(phase, "login-records", r.loginRecords)
		case phase == spec.PhasePrivileged && !privileged && r.Kind(spec.PrivilegedDir) != 0:
			// The last system had programs with privileges, this one has none.
			r.step(phase, "privileged", func() []error { return r.privileged(nil) })
		}
	}
	for _, s := range plan.Steps {
		if !slices.Contains(known, s.Phase) {
			r.step(s.Phase, s.Name, func() []error {
				return []error{fmt.Errorf("there is no phase %q; known are %s", s.Phase, strings.Join(known, ", "))}
			})
		}
	}
	return r.statuses
}

// maxReasons is how many problems of one step its status spells out.
const maxReasons = 5

// step does one step and records how it went.
func (r *run) step(phase, name string, do func() []error) {
	problems := do()
	if len(problems) == 0 {
		return
	}
	status := spec.StepStatus{Phase: phase, Name: name}
	var reasons []string
	alike := map[unix.Errno]bool{}
	failures, refusals := 0, 0
	for _, err := range problems {
		var careful caution
		switch {
		case errors.As(err, &careful):
		case Unable(err):
			refusals++
		default:
			failures++
		}
		// A refusal is spelt out once: the others have the same cause.
		var errno unix.Errno
		if Unable(err) && errors.As(err, &errno) {
			if alike[errno] {
				continue
			}
			alike[errno] = true
		}
		if len(reasons) < maxReasons {
			reasons = append(reasons, err.Error())
		}
	}
	if more := len(problems) - len(reasons); more > 0 {
		reasons = append(reasons, fmt.Sprintf("and %d more", more))
	}
	// One real failure among refusals makes the step a failed one.
	status.Skipped = failures == 0 && refusals > 0
	status.Warning = failures == 0 && refusals == 0
	status.Reason = strings.Join(reasons, "; ")
	r.statuses = append(r.statuses, status)
}

// caution is a problem of a step that was done, but not as it was declared.
type caution string

func (c caution) Error() string { return string(c) }

// Unable says whether err means that the privilege for an operation is
// lacking, rather than that something is wrong with it.
func Unable(err error) bool {
	for _, lack := range []error{tree.ErrOwner, unix.EPERM, unix.EACCES, unix.EROFS, errNoPrograms} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

// errNoPrograms is the reason why the user steps of a tree are skipped.
var errNoPrograms = errors.New("programs are run in a booted system only")

// one does one step of the plan.
func (r *run) one(s spec.Step) []error {
	switch {
	case s.Cleanup != nil:
		return r.cleanup(*s.Cleanup)
	case s.Accounts != nil:
		return r.accounts(*s.Accounts)
	case s.Etc != nil:
		return r.etc(*s.Etc)
	case s.Limits != nil:
		return r.limits(*s.Limits)
	case s.Tree != nil:
		return r.tree(*s.Tree)
	case s.Run != nil:
		if r.Exec == nil {
			return []error{errNoPrograms}
		}
		if err := r.Exec(s.Name, *s.Run); err != nil {
			return []error{err}
		}
		return nil
	case s.Privileged != nil:
		return r.privileged(s.Privileged)
	}
	var problems []error
	for _, l := range s.Links {
		problems = append(problems, r.link(l)...)
	}
	return append(problems, Directories(r.Root, s.Directories)...)
}

// link makes one symbolic link and the folders above it.
func (r *run) link(l spec.Link) []error {
	if err := r.parent(l.Path); err != nil {
		return []error{err}
	}
	if err := r.Symlink(l.Path, l.Target); err != nil {
		return []error{err}
	}
	return nil
}

// cleanup removes what a boot must not inherit.
func (r *run) cleanup(c spec.Cleanup) []error {
	var problems []error
	for _, name := range c.Remove {
		if err := r.Remove(name); err != nil {
			problems = append(problems, err)
		}
	}
	for _, d := range c.Empty {
		// A folder that is a link has been emptied where it points to.
		if r.Kind(d.Path) == unix.S_IFLNK {
			continue
		}
		problems = append(problems, r.Empty(d.Path)...)
		problems = append(problems, Directories(r.Root, []spec.Dir{d})...)
	}
	return problems
}

// Directories makes folders, their parents and their owners. A folder that
// exists gets the mode and owner too.
func Directories(root *tree.Root, dirs []spec.Dir) []error {
	var problems []error
	names := names(root)
	for _, d := range dirs {
		if err := directory(root, d, names); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

func directory(root *tree.Root, d spec.Dir, names account.Names) error {
	uid, _, err := names.User(d.User)
	if err != nil {
		return fmt.Errorf("cannot make the folder %s: %w", d.Path, err)
	}
	gid, err := names.Group(d.Group)
	if err != nil {
		return fmt.Errorf("cannot make the folder %s: %w", d.Path, err)
	}
	if err := straight(root, d.Path); err != nil {
		return fmt.Errorf("cannot make the folder %s: %w", d.Path, err)
	}
	if err := root.MkdirAll(d.Path); err != nil && !errors.Is(err, tree.ErrOwner) {
		return err
	}
	return root.SetDir(d.Path, d.Mode, tree.Owner{UID: uid, GID: gid})
}

// straight refuses a way that leads over a link of a user, who owns a folder on
// it: the link could lead to any place where only root may make folders.
func straight(root *tree.Root, name string) error {
	for i, c := range name {
		if c != '/' || i == 0 {
			continue
		}
		st, err := root.Lstat(name[:i])
		if err != nil {
			return nil // what is not there yet is root's to make
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			return fmt.Errorf("%s is a link that the user %d made; remove it", name[:i], st.Uid)
		}
	}
	return nil
}

// names are the accounts of the tree as they are now.
func names(root *tree.Root) account.Names {
	passwd, _ := root.ReadFile("/etc/passwd")
	group, _ := root.ReadFile("/etc/group")
	return account.ParseNames(passwd, group)
}

// parent makes the folders above name.
func (r *run) parent(name string) error {
	err := r.MkdirAll(name[:max(strings.LastIndexByte(name, '/'), 0)])
	if errors.Is(err, tree.ErrOwner) {
		return nil
	}
	return err
}

// writeOnce replaces name unless it holds the content already.
func (r *run) writeOnce(name string, content []byte, mode uint32, o tree.Owner) error {
	st, err := r.Lstat(name)
	if err == nil && st.Mode == unix.S_IFREG|mode && int(st.Uid) == o.UID && int(st.Gid) == o.GID {
		if old, err := r.ReadFile(name); err == nil && bytes.Equal(old, content) {
			return nil
		}
	}
	return r.WriteFile(name, bytes.NewReader(content), mode, o)
}

// absent says whether err means that a file is not there.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }
