// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strconv"
	"strings"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
	"osbuild/runner/spec"
)

// temporaryFiles does what tmpfiles.d(5) says of folders and links: a system
// with systemd would make them at each boot, and its script, or nobody, at
// installation. Other kinds of lines are for a running system.
var temporaryFiles = class{
	name:     "tmpfiles",
	commands: map[string]command{"systemd-tmpfiles": func(*call) script.Status { return script.Success }},
	finish: func(r *root) error {
		dir, _, err := r.Find("/usr/lib/tmpfiles.d", true)
		if err != nil {
			return nil
		}
		for _, name := range dir.Names() {
			n := dir.Kids[name]
			// systemd's own are for a system that it boots.
			if n.Kind != rootfs.File || n.From != nil && n.From.Name == "systemd" || !strings.HasSuffix(name, ".conf") {
				continue
			}
			text, err := n.Bytes()
			if err != nil {
				return err
			}
			for _, line := range lines(text) {
				r.temporaryFile(words(line))
			}
		}
		return nil
	},
}

// temporaryFile does one line: type, path, mode, user, group, age, argument.
func (r *root) temporaryFile(f []string) {
	if len(f) < 2 || strings.HasPrefix(f[0], "#") || strings.Contains(f[1], "%") || !strings.HasPrefix(f[1], "/") {
		return
	}
	for len(f) < 7 {
		f = append(f, "-")
	}
	o := spec.Owner{Mode: 0o755}
	if m, err := strconv.ParseUint(strings.TrimLeft(f[2], "~:"), 8, 13); err == nil {
		o.Mode = uint32(m)
	}
	if f[3] != "-" {
		o.User = f[3]
	}
	if f[4] != "-" {
		o.Group = f[4]
	}
	switch strings.TrimRight(f[0], "!-=~^$") {
	case "d", "D":
		n, err := r.MkdirAll(f[1])
		if err == nil && !n.Given {
			n.Owner = &o
		}
	case "L", "L+":
		if f[6] != "-" && !r.Has(f[1]) {
			_ = r.Put(f[1], &rootfs.Node{Kind: rootfs.Link, Text: f[6]}) // a folder in the way stays
		}
	}
}
