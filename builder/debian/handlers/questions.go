// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strings"

	"osbuild/builder/debian/ldso"
	"osbuild/builder/debian/script"
)

// questions are commands that only ask, and whose answer is of this system.
// They are done under conditions that cannot be known too; unsure means that
// the answer, and what they print, is not known.
var questions map[string]command

func init() {
	notKnown := func(*call) script.Status { return script.Unsure }
	questions = map[string]command{
		"getent": getent, "id": id, "dpkg": dpkg, "dpkg-query": dpkgQuery, "uname": uname,
		"aa-enabled": func(*call) script.Status { return script.Failure }, "getcap": func(*call) script.Status { return script.Success },
		"pam_getenv": notKnown, "pg_conftool": notKnown, "pg_lsclusters": func(*call) script.Status { return script.Success },
		"dpkg-vendor": notKnown, "dpkg-architecture": notKnown, "systemd-detect-virt": notKnown, "lsb_release": notKnown, "ischroot": notKnown,
	}
}

// uname knows the system and the processor, not the kernel.
func uname(c *call) script.Status {
	switch strings.Join(c.Args, " ") {
	case "", "-s":
		c.Print("Linux\n")
	case "-m":
		abi, ok := ldso.ABIOf(c.r.arch())
		machine, _, _ := strings.Cut(abi.Triplet, "-")
		if !ok {
			return script.Unsure
		}
		c.Print(machine + "\n")
	default:
		return script.Unsure
	}
	return script.Success
}
