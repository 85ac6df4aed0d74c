// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import "osbuild/builder/debian/script"

// aliases are the links of a merged system; a deb item has nothing there.
var aliases = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// give makes what a container has without any package.
func (r *root) give() {
	for _, name := range aliases {
		r.top.kids[name] = &node{kind: link, text: "usr/" + name, given: true}
	}
	for _, name := range append([]string{"usr", "etc", "var"}, volatile...) {
		n := newFolder()
		n.given = true
		r.top.kids[name] = n
	}
	r.top.kids["dev"].kids["null"] = &node{kind: file, given: true}
	lock := newFolder()
	lock.given = true
	r.top.kids["run"].kids["lock"] = lock
	for name, target := range map[string]string{"run": "/run", "lock": "/run/lock"} {
		r.top.kids["var"].kids[name] = &node{kind: link, text: target, alias: true}
	}
	for _, name := range ownFiles {
		r.top.kids["etc"].kids[name] = &node{kind: file, text: script.Unknown, given: true}
	}
}

// volatile are the folders that the kernel, the runner and activation fill.
// What scripts make in /run is made at each boot; the rest is left out.
var volatile = []string{"dev", "proc", "run", "sys", "tmp"}

// ownFiles are the files of /etc that activation makes of the accounts and
// of what the system declares: packages do not bring them.
var ownFiles = []string{"group", "gshadow", "hostname", "hosts", "machine-id", "mtab", "passwd", "resolv.conf", "shadow", "subgid", "subuid"}
