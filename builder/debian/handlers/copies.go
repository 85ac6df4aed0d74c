// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"path"
	"strings"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
	"osbuild/runner/spec"
)

// into gives the path of a copy or link called name at dst, which may be a
// folder.
func (c *call) into(dst, name string) string {
	dst = c.Path(dst)
	if n, _, err := c.r.Find(dst, true); err == nil && n.Kind == rootfs.Folder {
		return path.Join(dst, path.Base(name))
	}
	return dst
}

func ln(c *call) script.Status {
	set, _, rest, ok := script.Options(c.Args, "sfnvrT", "", map[string]string{"symbolic": "s", "force": "f", "no-dereference": "n", "relative": "r"})
	if !ok || len(rest) == 0 || set['r'] || !set['s'] {
		return script.Unsure
	}
	if len(rest) == 1 {
		rest = append(rest, ".")
	}
	if len(rest) > 2 {
		return script.Unsure
	}
	at := c.Path(rest[1])
	if !set['T'] {
		n, _, err := c.r.Find(at, !set['n'])
		if err == nil && n.Kind == rootfs.Folder {
			at = path.Join(at, path.Base(rest[0]))
		}
	}
	if n, _, err := c.r.Find(at, false); err == nil && (!set['f'] || n.Kind == rootfs.Folder) {
		return script.Failure
	}
	return script.When(c.r.Put(at, &rootfs.Node{Kind: rootfs.Link, Text: rest[0]}) == nil)
}

// copyCost bounds how much scripts copy, as if each file had this many bytes.
const copyCost = 2 << 10

// copied makes a copy of what stands at src, with its owner where keep says
// so.
func (c *call) copied(src, dst string, keep bool) bool {
	n, real, err := c.r.Find(c.Path(src), true)
	if err != nil || n.Kind == rootfs.Folder && !keep || !c.Spend(copyCost) {
		return false
	}
	o := c.r.OwnerOf(real, n)
	twin := &rootfs.Node{Kind: n.Kind, From: nil, Disk: n.Disk, Text: n.Text, Exec: n.Exec}
	if keep || o.Mode&0o111 != 0 {
		twin.Owner = &spec.Owner{User: o.User, Group: o.Group, Mode: o.Mode}
	}
	if n.Kind == rootfs.Folder {
		twin.Kids = map[string]*rootfs.Node{}
	}
	// A folder that is there stays, with what it has.
	if have, _, err := c.r.Find(dst, true); n.Kind != rootfs.Folder || err != nil || have.Kind != rootfs.Folder {
		if err := c.r.Put(dst, twin); err != nil {
			return false
		}
	}
	for _, name := range n.Names() {
		k := n.Kids[name]
		if k.Kind == rootfs.Link {
			target, err := k.Target()
			if err != nil || c.r.Put(path.Join(dst, name), &rootfs.Node{Kind: rootfs.Link, Text: target}) != nil {
				return false
			}
			continue
		}
		if !c.copied(path.Join(real, name), path.Join(dst, name), keep) {
			return false
		}
	}
	return true
}

func cp(c *call) script.Status {
	set, _, rest, ok := script.Options(c.Args, "pafrRdnvLPZuT", "", map[string]string{"preserve": "p", "archive": "a", "no-clobber": "n", "force": "f", "recursive": "r"})
	if !ok || len(rest) < 2 {
		return script.Unsure
	}
	result := script.Success
	for _, src := range rest[:len(rest)-1] {
		dst := c.into(rest[len(rest)-1], src)
		if set['n'] && c.r.Has(dst) {
			continue
		}
		if !c.copied(src, dst, set['p'] || set['a'] || set['r'] || set['R']) {
			result = script.Failure
		}
	}
	return result
}

func mv(c *call) script.Status {
	_, _, rest, ok := script.Options(c.Args, "fvnTZ", "", nil)
	if !ok || len(rest) != 2 {
		return script.Unsure
	}
	n, real, err := c.r.Find(c.Path(rest[0]), false)
	if err != nil {
		return script.Failure
	}
	if n.Given || n == c.r.Top || n.HoldsKept() {
		return script.Unsure
	}
	dst := c.into(rest[1], rest[0])
	// Nothing goes into itself, nor deeper than an item can be.
	if _, at, _ := c.r.Find(dst, false); strings.HasPrefix(at+"/", real+"/") || n.TooDeep(dst) {
		return script.Failure
	}
	if err := c.r.Put(dst, n); err != nil {
		return script.Failure
	}
	dir, _, err := c.r.Find(path.Dir(real), true)
	if err != nil {
		return script.Failure
	}
	delete(dir.Kids, path.Base(real))
	return script.Success
}

func install(c *call) script.Status {
	set, values, rest, ok := script.Options(c.Args, "dDpvcTZ", "mogt", map[string]string{"directory": "d", "mode": "m", "owner": "o", "group": "g"})
	if !ok || len(rest) == 0 || len(values['t']) > 0 {
		return script.Unsure
	}
	text := "0755"
	if len(values['m']) > 0 {
		text = values['m'][0]
	}
	mode, ok := parseMode(text)
	if !ok {
		return script.Unsure
	}
	one := func(letter byte) *string {
		if v := values[letter]; len(v) > 0 {
			return &v[0]
		}
		return nil
	}
	give := func(p string) script.Status { return c.own(p, one('o'), one('g'), mode) }
	if set['d'] {
		for _, p := range rest {
			if _, err := c.r.MkdirAll(c.Path(p)); err != nil {
				return script.Failure
			}
			give(p)
		}
		return script.Success
	}
	if len(rest) != 2 {
		return script.Unsure
	}
	dst := c.into(rest[1], rest[0])
	if !c.copied(rest[0], dst, false) {
		return script.Failure
	}
	return give(dst)
}

// ucf puts the default of a configuration file in its place, unless there is
// one already.
func ucf(c *call) script.Status {
	set, _, rest, ok := script.Options(c.Args, "p", "s", map[string]string{"three-way": "", "debconf-ok": "", "sum-file": "s", "src-dir": "s", "debug": "", "purge": "p"})
	if ok && set['p'] {
		return script.Success // of an older version
	}
	if !ok || len(rest) != 2 {
		return script.Unsure
	}
	if c.r.Has(c.Path(rest[1])) {
		return script.Success
	}
	if !script.Known(c.Content(rest[0])) {
		return script.Unsure
	}
	return script.When(c.copied(rest[0], c.Path(rest[1]), false))
}
