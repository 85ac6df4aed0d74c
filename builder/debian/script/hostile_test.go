// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"strings"
	"testing"
)

// TestHostileScripts reads scripts that want all time or memory: each ends,
// and what could not be done is left. Without bounds most of these never end,
// or end the process.
func TestHostileScripts(t *testing.T) {
	const long = "x=aaaaaaaaaa; x=$x$x$x$x$x$x$x$x$x$x; x=$x$x$x$x$x$x$x$x$x$x; x=$x$x$x$x$x$x$x$x$x$x; x=$x$x$x$x$x$x$x$x$x$x; "
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	tooLong := "postinst, as a whole: it is too long to be read"
	for _, test := range []struct{ summary, script, left string }{
		{"substitutions in each other", many("$(", 1_000_000), tooLong},
		{"brackets in each other", many("(", 3_000_000), tooLong},
		{"a number in brackets", "x=$((" + many("(", 1_000_000) + "1" + many(")", 1_000_000) + "))", tooLong},
		{"a long variable, many times in a word", long + "y=" + many("$x", 20_000) + "; mkdir /var/$y", "mkdir /var/…"},
		{"a long variable, many times in a command", long + "frob " + many("$x ", 20_000), "…"},
		{"arguments that double", "set -- a a; for i in " + many("1 ", 40) + `; do set -- "$@" "$@"; done; frob "$@"`, "…"},
		{"a long text put for each letter", "#!/bin/bash\n" + long + "mkdir /var/${x//a/$x}", "…"},
		{"patterns that multiply", "for i in 1 2 3 4 5 6 7 8 9; do mkdir /var/$i; done; frob /var/*/.." + many("/*/..", 12), "…"},
		{"a large file, again and again", "while :; do cat /usr/big /usr/big; done", tooLong},
		{"a file that grows", "while :; do cat /usr/big >> /var/y; done", "> /var/y"},
		{"searching without an end", "while :; do grep -q 'a*[^b]b' /usr/big; done", tooLong},
		{"changing without an end", "while :; do sed 's/a*b/c/' /usr/big; done", tooLong},
		{"an expression that multiplies", "grep '" + many(`\(a\|b\)\{999\}`, 50) + "' /usr/big || frob", "frob"},
		{"a text that grows with each change", "frob $(echo aaaaaaaaaaaaaaaa | sed" + many(" -e 's/a/&&&&&&&&&&&&&&&&&&&&/g'", 10) + ")", "frob …"},
	} {
		if !strings.HasPrefix(test.script, "#!") {
			test.script = "#!/bin/sh\n" + test.script
		}
		w := run(test.script)
		if len(w.left) == 0 || w.left[0] != test.left {
			t.Errorf("%s: left %.200q, want %q", test.summary, w.left, test.left)
		}
		if n := w.nodes["/var/y"]; n != nil && !Known(n.text) {
			t.Errorf("%s: a file has what is not known", test.summary)
		}
	}
}
