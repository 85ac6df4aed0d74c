// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"osbuild/closure/segment"
	"osbuild/runner/spec"
)

// standard are the folders of every image. Those that a container mounts
// something on are among them, because engines differ in what they make.
var standard = []spec.Dir{
	{Path: "/dev", Mode: 0o755},
	{Path: "/etc", Mode: 0o755},
	{Path: "/home", Mode: 0o755},
	{Path: "/proc", Mode: 0o555},
	{Path: "/root", Mode: 0o700},
	{Path: "/run", Mode: 0o755},
	{Path: "/srv", Mode: 0o755},
	{Path: "/sys", Mode: 0o555},
	{Path: "/tmp", Mode: 0o1777},
	{Path: "/usr", Mode: 0o755},
	{Path: "/var", Mode: 0o755},
	{Path: "/var/tmp", Mode: 0o1777},
}

// fixed puts folders and links on the root.
func (b *builder) fixed(part int, root spec.Root) error {
	for _, d := range slices.Concat(root.Dirs, standard) {
		name, err := relative(d.Path)
		if err != nil {
			return err
		}
		who, fixed := b.ids.find(d.User, d.Group, d.Mode)
		if !fixed {
			who = b.nobodys(name, d.User, d.Group, d.Mode)
		}
		if err := b.folder(part, path.Dir(name)); err != nil {
			return err
		}
		if n, ok := b.add(part, segment.Entry{Path: name, Type: segment.Directory, Mode: who.mode, UID: who.uid, GID: who.gid}); !ok {
			return fmt.Errorf("/%s must be a folder, and the system puts something else there", n.Path)
		}
	}
	for _, l := range root.Links {
		name, err := relative(l.Path)
		if err != nil {
			return err
		}
		if err := b.folder(part, path.Dir(name)); err != nil {
			return err
		}
		if _, ok := b.add(part, segment.Entry{Path: name, Type: segment.Symlink, Target: l.Target}); !ok {
			return fmt.Errorf("container.json puts two things at %s", l.Path)
		}
	}
	return nil
}

// atBoot are the paths that the activation of the system makes before it copies
// the files of packages.
func (b *builder) atBoot(ctx context.Context, plan spec.ActivationPlan) (map[string]segment.Type, error) {
	out := map[string]segment.Type{}
	for _, step := range plan.Steps {
		for _, l := range step.Links {
			out[strings.TrimPrefix(l.Path, "/")] = segment.Symlink
		}
		if step.Etc == nil {
			continue
		}
		phys, err := b.folderOf(step.Etc.Tree)
		if err != nil {
			return nil, err
		}
		err = b.walk(ctx, phys, "etc", func(e segment.Entry) bool {
			name := strings.TrimPrefix(e.Path, "etc/")
			if !slices.Contains(step.Etc.Yields, name) {
				out[e.Path] = e.Type
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// writable puts the files that a container's activation copies into the image,
// but for those whose owners only the activation knows, and those in whose
// place it puts what the system declares.
func (b *builder) writable(ctx context.Context, part int, t spec.Tree, atBoot map[string]segment.Type) error {
	phys, err := b.folderOf(t.From)
	if err != nil {
		return err
	}
	to, err := relative(t.To)
	if err != nil {
		return err
	}
	table, err := byPath(t.Owners)
	if err != nil {
		return err
	}
	if err := b.folder(part, path.Dir(to)); err != nil {
		return err
	}
	return b.walk(ctx, phys, to, func(e segment.Entry) bool {
		if other, ok := atBoot[e.Path]; ok && (other != segment.Directory || e.Type != segment.Directory) {
			return false
		}
		if o, ok := table[e.Path]; ok && e.Type != segment.Symlink {
			who, fixed := b.ids.find(o.User, o.Group, o.Mode)
			if !fixed {
				return false
			}
			e.UID, e.GID, e.Mode = who.uid, who.gid, who.mode
		}
		_, added := b.add(part, e)
		return added
	})
}
