// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// Ways to make /usr and /opt of several trees.
const (
	// UsrAuto is an overlay, or a view where the kernel cannot merge the trees.
	UsrAuto = "auto"
	// UsrOverlay is the kernel's overlayfs.
	UsrOverlay = "overlay"
	// UsrView is a folder that shows the trees merged already.
	UsrView = "view"
)

// Hierarchy says how /usr and /opt are made of the trees of packages. The zero
// value is UsrAuto without views, which is UsrOverlay.
type Hierarchy struct {
	// Usr is UsrAuto, UsrOverlay or UsrView; "" is UsrAuto.
	Usr string
	// View gives a folder of the host that shows trees as one, the topmost
	// first. It is in use until release is called. Nil: there are no views.
	View ViewFunc `json:"-"`
}

// ViewFunc is [Hierarchy].View; package closure/view has one.
type ViewFunc func(ctx context.Context, lowers []spec.Lower) (dir string, release func(), err error)

// views are the folders that a root uses in place of overlays.
type views struct {
	mount.Views
	release []func()
}

// dirs are the folders of the host among them.
func (v *views) dirs() (out []string) {
	for _, dir := range []string{v.Usr, v.Opt} {
		if dir != "" {
			out = append(out, dir)
		}
	}
	return out
}

func (v *views) close() {
	for _, f := range slices.Backward(v.release) {
		f()
	}
	v.release = nil
}

// choose makes the views that a root takes: all with force, otherwise those
// without which it is known not to start.
func (h Hierarchy) choose(ctx context.Context, r *spec.Root, force bool) (_ *views, err error) {
	v := &views{}
	if r == nil {
		return v, nil
	}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	switch h.Usr {
	case "", UsrAuto, UsrOverlay:
	case UsrView:
		force = true
	default:
		return nil, fmt.Errorf("cannot make /usr by %q: choose auto, overlay or view", h.Usr)
	}
	for _, m := range []struct {
		target string
		lowers []spec.Lower
		dir    *string
	}{{"/usr", r.Usr, &v.Usr}, {"/opt", r.Opt, &v.Opt}} {
		if len(m.lowers) < 2 {
			continue // one tree needs no merging
		}
		refused := mount.CheckOverlay(m.target, m.lowers)
		if !force && refused == nil {
			continue
		}
		switch {
		case !force && h.Usr == UsrOverlay:
			return nil, fmt.Errorf("%w; start it with --usr=view", refused)
		case h.View == nil && refused != nil:
			return nil, refused
		case h.View == nil:
			return nil, fmt.Errorf("cannot make %s by a view: there is no place for views", m.target)
		}
		dir, release, err := h.View(ctx, m.lowers)
		if err != nil {
			return nil, fmt.Errorf("cannot make %s of %d trees: %w", m.target, len(m.lowers), err)
		}
		*m.dir = dir
		v.release = append(v.release, release)
	}
	return v, nil
}

// overlayError is a merge that the kernel refused.
type overlayError struct {
	err   error
	errno syscall.Errno
}

func (e *overlayError) Error() string { return e.err.Error() }
func (e *overlayError) Unwrap() error { return e.err }

// canView says whether a start that failed may succeed with views: when the
// kernel refused an overlay, and not because a link stood on the way.
func (h Hierarchy) canView(err error) bool {
	var o *overlayError
	return errors.As(err, &o) && o.errno != unix.ELOOP && h.View != nil && (h.Usr == "" || h.Usr == UsrAuto)
}

// packagesOf is what packages put on the root of a single program.
func packagesOf(root *spec.Root, v *views, items []mount.Item) (mount.Packages, error) {
	if root == nil {
		return mount.Packages{}, nil
	}
	p := mount.Packages{Root: *root, Views: v.Views}
	for _, tree := range root.Trees {
		if tree.To != "/etc" {
			continue
		}
		names, err := namesIn(items, tree.From)
		if err != nil {
			return p, fmt.Errorf("cannot show the files of packages in /etc: %w", err)
		}
		for _, name := range names {
			p.Etc = append(p.Etc, spec.Link{Path: "/etc/" + name, Target: tree.From + "/" + name})
		}
	}
	return p, nil
}

// namesIn lists a folder inside an item, by its logical path.
func namesIn(items []mount.Item, logical string) ([]string, error) {
	for _, it := range items {
		sub, ok := strings.CutPrefix(logical, it.Logical)
		if !ok || sub != "" && sub[0] != '/' {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(it.Physical, sub))
		if err != nil {
			return nil, err
		}
		names := make([]string, len(entries))
		for i, e := range entries {
			names[i] = e.Name()
		}
		return names, nil
	}
	return nil, fmt.Errorf("%s is not in the closure", logical)
}

// laid is a root that is planned, and the views it uses.
type laid struct {
	Hierarchy
	plan mount.Plan
	// root is what packages put on it, build plans it with views.
	root  *spec.Root
	build func(*views) (mount.Plan, error)
	views *views
}

// lay plans a root.
func (h Hierarchy) lay(ctx context.Context, root *spec.Root, plan func(*views) (mount.Plan, error)) (*laid, error) {
	l := &laid{Hierarchy: h, root: root, build: plan, views: &views{}}
	if err := l.again(ctx, false); err != nil {
		return nil, err
	}
	return l, nil
}

// again plans the root anew, with force on views alone.
func (l *laid) again(ctx context.Context, force bool) error {
	v, err := l.choose(ctx, l.root, force)
	if err != nil {
		return err
	}
	plan, err := l.build(v)
	if err != nil {
		v.close()
		return err
	}
	l.views.close()
	l.views, l.plan = v, plan
	return nil
}

// start starts a job on the root. Where the kernel refuses an overlay, it says
// so and starts it on views.
func (l *laid) start(ctx context.Context, j *job, say func(string)) (*process, error) {
	j.plan = l.plan
	p, err := start(j)
	if err == nil || !l.canView(err) {
		return p, err
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	say("warning: " + text + "; a view of hard links takes its place")
	if verr := l.again(ctx, true); verr != nil {
		return nil, errors.Join(err, verr)
	}
	j.plan = l.plan
	return start(j)
}

func (l *laid) close() { l.views.close() }
