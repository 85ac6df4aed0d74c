// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package rootfs

import "strings"

// aliases are the links of a merged system; a deb item has nothing there.
var aliases = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// give makes what a container has without any package.
func (r *Root) give(unread string) {
	for _, name := range aliases {
		r.Top.Kids[name] = &Node{Kind: Link, Text: "usr/" + name, Given: true}
	}
	for _, name := range append([]string{"usr", "etc", "var"}, volatile...) {
		n := NewFolder()
		n.Given = true
		r.Top.Kids[name] = n
	}
	r.Top.Kids["dev"].Kids["null"] = &Node{Kind: File, Given: true}
	lock := NewFolder()
	lock.Given = true
	r.Top.Kids["run"].Kids["lock"] = lock
	for name, target := range map[string]string{"run": "/run", "lock": "/run/lock"} {
		r.Top.Kids["var"].Kids[name] = &Node{Kind: Link, Text: target, alias: true}
	}
	for _, name := range ownFiles {
		r.Top.Kids["etc"].Kids[name] = &Node{Kind: File, Text: unread, Given: true}
	}
}

// volatile are the folders that the kernel, the runner and activation fill.
// What scripts make in /run is made at each boot; the rest is left out.
var volatile = []string{"dev", "proc", "run", "sys", "tmp"}

// ownFiles are the files of /etc that activation makes of the accounts and
// of what the system declares: packages do not bring them.
var ownFiles = []string{"group", "gshadow", "hostname", "hosts", "machine-id", "mtab", "passwd", "resolv.conf", "shadow", "subgid", "subuid"}

// Merged is a path as deb items have it: without the links of a merged system.
func Merged(p string) string {
	for _, a := range aliases {
		if strings.HasPrefix(p, "/"+a+"/") {
			return "/usr" + p
		}
	}
	return p
}
