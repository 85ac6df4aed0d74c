// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"path"
	"strings"
)

// Path makes a path absolute.
func (sh *Shell) Path(p string) string {
	if path.IsAbs(p) || !Known(p) {
		return p
	}
	return path.Join(sh.vars["PWD"].Str, p)
}

// has says whether a path exists, through links.
func (sh *Shell) has(p string) bool {
	_, _, err := sh.world.Find(p, true)
	return err == nil
}

// Save writes the output of a command to a file.
func (sh *Shell) Save(p, text string, add bool) {
	p = sh.Path(p)
	if strings.HasPrefix(p, "/dev/") {
		return
	}
	if add && Known(p) {
		if have := sh.Content(p); sh.has(p) {
			text = have + text
		}
	}
	text = bounded(text)
	if !sh.Spend(len(text)) || !Known(p) || sh.maybe > 0 || !Known(text) && !strings.HasPrefix(p, "/tmp/") {
		sh.Leave("> " + p)
		return
	}
	if err := sh.Write(p, text); err != nil {
		sh.Leave("> " + p)
		sh.last = Failure
	}
}

// Write writes a file; one that was not there gets the mode that the umask
// leaves.
func (sh *Shell) Write(p, text string) error { return sh.world.Write(p, text, sh.mask) }

// Content is what a file has, as far as it can be known.
func (sh *Shell) Content(p string) string {
	if p == "/dev/null" {
		return ""
	}
	n, _, err := sh.world.Find(sh.Path(p), true)
	if err != nil || !n.Type().IsRegular() {
		return Unknown
	}
	text, err := n.Text(maxText)
	if err != nil || !sh.Spend(len(text)) {
		return Unknown
	}
	return bounded(text)
}
