// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strings"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
)

// capabilities claims setcap: an item cannot have what it gives, so the
// program becomes a privileged one.
var capabilities = class{name: "capabilities", commands: map[string]command{"setcap": setcap}}

func setcap(c *call) script.Status {
	args := c.Args
	for len(args) > 0 && (args[0] == "-q" || args[0] == "-v") {
		args = args[1:]
	}
	if len(args) != 2 {
		return script.Unsure
	}
	if args[0] == "-r" {
		return script.Success
	}
	names, how, ok := strings.Cut(args[0], "=")
	if !ok {
		names, how, ok = strings.Cut(args[0], "+")
	}
	if !ok || how != "ep" && how != "eip" && how != "pe" {
		return script.Unsure
	}
	n, real, err := c.r.Find(c.Path(args[1]), true)
	if err != nil || n.Kind != rootfs.File {
		return script.Failure
	}
	c.r.capabilities[real] = strings.Split(names, ",")
	return script.Success
}
