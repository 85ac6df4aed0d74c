// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"osbuild/runner/spec"
)

// lowersDir is where the trees that are merged stand while a root is made.
// Before anything runs in the root, the place is gone again: what was merged
// from there stays, because an overlay holds copies of its lowers' mounts.
const lowersDir = "/osbuild/lowers"

// Views are folders of the host that show the lowers of /usr and /opt as one
// tree, in place of an overlay. "" means that there is none.
type Views struct{ Usr, Opt string }

// ErrOverlay is wrapped by the refusal of a merge that only a view can do.
var ErrOverlay = errors.New("too much for an overlay")

const (
	// maxLowers is how many trees overlayfs merges.
	maxLowers = 500
	// maxMountInfo is how long the line of an overlay in mountinfo may be.
	// Programs that run containers read it with a buffer of 64 KiB.
	maxMountInfo = 60000
)

// CheckOverlay says whether the kernel may be able to merge lowers at target.
// What depends on the file system, only trying can tell.
func CheckOverlay(target string, lowers []spec.Lower) error {
	if len(lowers) > maxLowers {
		return fmt.Errorf("cannot make %s of %d trees: the kernel merges at most %d: %w", target, len(lowers), maxLowers, ErrOverlay)
	}
	size := 0
	for _, lower := range lowers {
		size += len(",lowerdir+=") + len(path.Base(lower.Item)) + 1 + len(lower.Sub)
	}
	if size > maxMountInfo {
		return fmt.Errorf("cannot make %s of %d trees: their names fill %d bytes of mountinfo: %w", target, len(lowers), size, ErrOverlay)
	}
	return nil
}

// merge is one place of the hierarchy and what stands there.
type merge struct {
	target string
	lowers []spec.Lower
	view   string
}

func merges(r spec.Root, v Views) []merge {
	return []merge{{"/usr", r.Usr, v.Usr}, {"/opt", r.Opt, v.Opt}}
}

// shown are the items that appear under the store dir: all but those that
// stand in the hierarchy alone.
func shown(items []Item, r spec.Root) []Item {
	hidden := FHSItems(r)
	if len(hidden) == 0 {
		return items
	}
	out := make([]Item, 0, len(items))
	for _, it := range items {
		if !hidden[it.Logical] {
			out = append(out, it)
		}
	}
	return out
}

// FHSItems are the logical paths of the items that stand in the hierarchy of r
// alone.
func FHSItems(r spec.Root) map[string]bool {
	out := map[string]bool{}
	for _, m := range merges(r, Views{}) {
		for _, lower := range m.lowers {
			if lower.FHS {
				out[lower.Item] = true
			}
		}
	}
	return out
}

// hierarchy puts the trees of packages at /usr and /opt.
func (l *layout) hierarchy(r spec.Root, items []Item, v Views, idmap bool) error {
	byPath := make(map[string]Item, len(items))
	for _, it := range items {
		byPath[it.Logical] = it
	}
	places := l.places(r, v, byPath)
	for _, p := range places {
		err := l.bind(Bind{
			Source: p.source, Target: p.at, Dir: true,
			Flags: Flags{ReadOnly: true, NoSuid: true, NoDev: true, IDMap: idmap},
		})
		if err != nil {
			return err
		}
	}
	for _, m := range merges(r, v) {
		if err := l.merge(m, byPath, places, idmap); err != nil {
			return err
		}
	}
	for _, p := range places {
		l.add(Step{Stage: Outer, Op: OpDetach, Target: p.at})
		delete(l.made, p.at)
	}
	return nil
}

// place is where a folder of the host that holds items stands for a moment.
type place struct{ source, at string }

// places are the folders of the host that hold lowers which are not shown under
// the store dir. One bind a folder, of which there is but one as a rule, is
// far less than one for each lower.
func (l *layout) places(r spec.Root, v Views, items map[string]Item) []place {
	var out []place
	seen := map[string]bool{}
	for _, m := range merges(r, v) {
		if m.view != "" || !anyFHS(m.lowers) {
			continue
		}
		for _, lower := range m.lowers {
			dir := path.Dir(items[lower.Item].Physical)
			if !seen[dir] {
				seen[dir] = true
				out = append(out, place{source: dir, at: lowersDir})
			}
		}
	}
	if len(out) > 1 {
		for i := range out {
			out[i].at += strconv.Itoa(i)
		}
	}
	return out
}

func anyFHS(lowers []spec.Lower) bool {
	for _, lower := range lowers {
		if lower.FHS {
			return true
		}
	}
	return false
}

// merge mounts what stands at one place.
func (l *layout) merge(m merge, items map[string]Item, places []place, idmap bool) error {
	if len(m.lowers) == 0 {
		return nil
	}
	ro := Flags{ReadOnly: true, NoSuid: true, NoDev: true}
	if m.view != "" {
		ro.IDMap = idmap
		return l.mount(Step{Stage: Outer, Op: OpBind, Target: m.target, Source: m.view, Flags: ro}, true)
	}
	// The places hold all items; what is shown read-only and mapped already is
	// as good.
	from, hidden := spec.StoreDir, anyFHS(m.lowers)
	switch {
	case hidden && len(places) > 1:
		from = path.Dir(lowersDir)
	case hidden:
		from = lowersDir
	}
	var names []string
	for _, lower := range m.lowers {
		it, ok := items[lower.Item]
		if !ok || !it.Dir {
			return fmt.Errorf("cannot make %s: %s is not an item of the closure, or not a folder", m.target, lower.Item)
		}
		base := path.Base(it.Logical)
		for _, p := range places {
			if !hidden || p.source != path.Dir(it.Physical) {
				continue
			}
			if base = path.Base(it.Physical); len(places) > 1 {
				base = path.Join(path.Base(p.at), base)
			}
		}
		name, err := lowerName(m.target, base, lower)
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	if len(names) == 1 {
		return l.mount(Step{
			Stage: Outer, Op: OpBind, Target: m.target, Source: path.Join(from, names[0]), FromRoot: true, Flags: ro,
		}, true)
	}
	if err := CheckOverlay(m.target, m.lowers); err != nil {
		return err
	}
	return l.mount(Step{Stage: Outer, Op: OpOverlay, Target: m.target, Source: from, Lowers: names, Flags: ro}, true)
}

// lowerName is the lower's path below the folder it is named in. The characters
// that overlayfs gives a meaning are refused, there is no quoting that all
// kernels know.
func lowerName(target, base string, lower spec.Lower) (string, error) {
	name := path.Join(base, lower.Sub)
	for _, c := range name {
		if c == ':' || c == ',' || c == '\\' || c < ' ' {
			return "", fmt.Errorf("cannot make %s of %s/%s: %q in a path cannot be merged", target, lower.Item, lower.Sub, string(c))
		}
	}
	if lower.Sub != "" && !fs.ValidPath(lower.Sub) || len(name) >= 256 {
		return "", fmt.Errorf("cannot make %s of %s/%s: the path is too long or leaves the item", target, lower.Item, lower.Sub)
	}
	return name, nil
}
