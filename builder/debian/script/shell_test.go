// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestShell reads small scripts. What they would print to the file /etc/out
// says which way they went.
func TestShell(t *testing.T) {
	const say = "\nsay() { echo \"$*\" >> /etc/out; }\n"
	for _, test := range []struct {
		summary, script string
		want            string   // of /etc/out, lines joined by "; "
		left            []string // commands that nobody does
	}{
		{"a fresh installation", `if [ "$1" = configure ] && [ -z "$2" ]; then say new; else say old; fi`, "new", nil},
		{"case with patterns", `case "$1" in upgrade|abort-*) say no;; conf*) say yes;; *) say other;; esac`, "yes", nil},
		{"variables and functions", `D=/etc; f() { local a="$1"; say "$a $D/$2"; }; f one two`, "one /etc/two", nil},
		{"expansion", `P=postgresql-15; say ${P##*-} ${P%%-*} ${X:-default} "${Y-}" ${#P}`, "15 postgresql default  13", nil},
		{"a here-document", "cat > /etc/out <<EOF\n$1 a\nb\nEOF\n", "configure a; b", nil},
		{"a quoted here-document", "cat > /etc/out <<'EOF'\n$1 a\nEOF\n", "$1 a", nil},
		{"a here-document without tabs", "cat > /etc/out <<-EOF\n\t\ta\n\tb\n\tEOF\n", "a; b", nil},
		{"for", `for i in a "b c" d; do [ "$i" = d ] && break; say "<$i>"; done`, "<a>; <b c>", nil},
		{"for over arguments", `set -- one two; for i; do say $i; done; shift; say $#`, "one; two; 1", nil},
		{"while read", `printf '%s\n' "a b c" d | while read x y; do say "$x,$y"; done`, "a,b c; d,", nil},
		{"until", `n=0; until [ $n -ge 3 ]; do n=$((n+1)); done; say $n`, "3", nil},
		{"break of two loops", `for a in 1 2; do for b in 1 2; do say $a$b; break 2; done; done`, "11", nil},
		{"continue", `for a in 1 2 3; do [ $a = 2 ] && continue; say $a; done`, "1; 3", nil},
		{"globs", `for f in /usr/share/x/*.conf /none/*.c; do say $f; done`, "/usr/share/x/a.conf; /usr/share/x/b.conf; /none/*.c", nil},
		{"pipes", `say $(echo "a:b:c" | cut -d: -f2) $(echo x.tar.gz | sed 's/\.tar.*//') $(echo AB | tr A-Z a-z)`, "b x ab", nil},
		{"grep", `echo "one two" | grep -qw two && say word; echo onetwo | grep -qw two || say part; echo "shadow:x:42:" | grep -q '^shadow:[^:]*:42' && say id`, "word; part; id", nil},
		{"a file's content", `say $(cat /usr/share/x/a.conf) $(sed -n 's/x/y/p' /usr/share/x/a.conf)`, "", []string{"> /etc/out"}},
		{"test with not, and, or", `[ ! -e /none -a -d /usr -o -n "" ] && say yes; [ ! \( -e /usr -a -e /etc \) ] || say no; test -f /usr/share/x/a.conf && say file`, "yes; no; file", nil},
		{"links", `[ -L /usr/share/x/l ] && say link; [ -e /usr/share/x/l ] || say dangling; say $(readlink /usr/share/x/l)`, "link; dangling; /nowhere", nil},
		{"command -v", `command -v tool >/dev/null && say has; which none >/dev/null 2>&1 || say not; [ -x "$(command -v tool)" ] && say x`, "has; not; x", nil},
		{"exit ends the script", `say a; exit 0; say b`, "a", nil},
		{"return ends a function", `f() { say a; return 1; say b; }; f || say failed`, "a; failed", nil},
		{"a script that fails", `say a; exit 3`, "a", []string{"exit 3"}},
		{"a condition that is not known", `if frob; then say yes; mkdir /etc/yes; else say no; fi; say on`, "on", []string{"frob", "> /etc/out", "mkdir /etc/yes"}},
		{"an unknown condition of a simple kind", `[ "$(date +%Y)" -gt 2000 ] && touch /etc/new; say on`, "on", []string{"touch /etc/new"}},
		{"what is unknown stays unknown", `X=$(frobnicate); Y="a-$X"; chown $Y /etc; case $Y in a*) say a;; esac`, "", []string{"frobnicate", "chown a-… /etc", "> /etc/out"}},
		{"variables set under an unknown condition", `A=1; if frob; then A=2; fi; mkdir /var/$A`, "", []string{"frob", "mkdir /var/…"}},
		{"unknown commands are said once", `frob a; frob a; /usr/lib/x/tool --all`, "", []string{"frob a", "tool --all"}},
		{"a long command is cut", "frob " + strings.Repeat("0123456789", 10), "", []string{"frob " + strings.Repeat("0123456789", 5) + "0123…"}},
		{"sed in place", `echo "#Port 22" > /etc/p; sed -i 's/^#*Port .*/Port 23/' /etc/p; say $(cat /etc/p); sed -i '1,3p' /etc/p`, "Port 23", []string{"sed -i 1,3p /etc/p"}},
		{"what sources", `. /usr/share/x/lib.sh; greet you`, "hello you", nil},
		{"what cannot be sourced", `. /usr/share/none.sh`, "", []string{". /usr/share/none.sh"}},
		{"eval", `eval "say $1"; eval "$(frob)"`, "configure", []string{"frob", "eval …"}},
		{"exec and env", `env LANG=C say no; LC_ALL=C say yes; exec true; say never`, "no; yes", nil},
		{"a subshell's variables are its own", `A=1; (A=2; cd /usr; say $A); say $A`, "2; 1", nil},
		{"relative paths", `cd /usr/share/x; [ -f a.conf ] && say here; cd /none || say not`, "here; not", nil},
		{"an endless loop", `while true; do :; done`, "", []string{"postinst, as a whole: it is too long to be read"}},
		{"endless recursion", `f() { f; }; f`, "", []string{}},
		{"a loop of arithmetic", `x=1; while [ $x -lt 5 ]; do x=$((x*2)); done; say $x`, "8", nil},
		{"words that grow", `x=aaaaaaaaaa; for i in 1 2 3 4 5 6 7 8; do x=$x$x$x$x$x$x$x$x; done; mkdir /var/$x`, "", []string{"mkdir /var/…"}},
		{"a background command", `frob &`, "", []string{"frob"}},
		{"find", `[ -z "$(find /none -name x)" ] && say nothing; find /usr -empty -delete; find /usr -exec frob {} +; [ -z "$(find /usr)" ] && frob`, "nothing", []string{"find /usr -exec frob {} +", "frob"}},
		{"another shell", `sh -c 'mkdir /var/a' && [ -d /var/a ] && say made; bash -e /usr/bin/frob --all; sh -x y`, "made", []string{"frob --all", "sh -x y"}},
		{"tr", `say $(echo a,b | tr ',' ' ') $(echo a-b | tr -d -) $(echo Ab | tr '[:upper:]' '[:lower:]')`, "a b ab ab", nil},
		{"listing", `say $(ls /usr/share/x); ls /none 2>/dev/null || say none`, "a.conf b.conf l lib.sh; none", nil},
		{"unset and shift", `X=1; unset X; say "<$X>"; set -- a b c; shift 2; say $1; shift 9 || say short`, "<>; c; short", nil},
		{"filters of nothing", `for c in $(: | awk '{ print $2 }' | sort -u); do frob; done; say $(echo b | sort) on`, "", []string{"> /etc/out"}},
		{"su that is not known", `su none -c true; su www-data`, "", []string{"su none -c true", "su www-data"}},
		{"trap and set", `set -e; trap 'frob' EXIT; set -o nounset; say $#`, "2", nil},
	} {
		w := run("#!/bin/sh\n" + say + test.script)
		got := ""
		if n := w.nodes["/etc/out"]; n != nil {
			got = strings.Join(lines(n.text), "; ")
		}
		if got != test.want || !slices.Equal(w.left, test.left) {
			t.Errorf("%s:\n got %q, left %q\nwant %q, left %q", test.summary, got, w.left, test.want, test.left)
		}
	}
}

// TestOtherLanguages are scripts that are left as a whole.
func TestOtherLanguages(t *testing.T) {
	for _, test := range []struct{ summary, script, want string }{
		{"perl", "#!/usr/bin/perl -w\nprint 1;\n", "postinst, as a whole: it is written for /usr/bin/perl"},
		{"python by env", "#!/usr/bin/env python3\n", "postinst, as a whole: it is written for python3"},
		{"compiled", "\x7fELF\x02", "postinst, as a whole: it is compiled"},
		{"no interpreter", "#!\n", "postinst, as a whole: its first line names no interpreter"},
		{"bash", "#!/bin/bash\nif [[ $1 == conf* && ! -e /none ]]; then mkdir /etc/x; fi\na=(1 2); frob ${a[1]} $(x)\n", "x frob 2 …"},
		{"tests of bash", "#!/bin/bash\nif [[ ( -n $1 && ! -e /none ) || a < b ]] && [[ x != y* ]] && [[ 2 -gt 1 ]]; then frob yes; fi; for ((i=0;i<2;i++)); do x; done; let y=1\n", "frob yes "},
		{"broken", "#!/bin/sh\nif\n", "postinst, as a whole: "},
	} {
		w := run(test.script)
		if got := fmt.Sprint(w.left); !strings.HasPrefix(got, "["+test.want) {
			t.Errorf("%s: %s, want %s", test.summary, got, test.want)
		}
	}
}

func FuzzShell(f *testing.F) {
	for _, s := range []string{
		"#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then mkdir /var/lib; fi\n",
		"case $1 in a*|[b-d]) f() { g; };; esac; f \"$@\" <<-E\n\ta\n\tE\n",
		"x=${y:=$(echo a | sed 's/a/b/g')}; cut -d: -f1 <<E\n$x\nE\n",
		"echo $((1/0)) ${x#*} ${#x} ${x^^} `frob`; printf %d%s%% 1 2 3",
		"while :; do eval \"x=$x$x\"; done",
		"#!/bin/bash\na=(1 2); [[ ${a[1]} == 2 && ! -e /usr/*/x ]] || frob ${a[@]}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, text string) { run(text) })
}
