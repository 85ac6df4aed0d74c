// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
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
		{"no version before", `if dpkg --compare-versions "$2" lt-nl 1.0; then say upgrade; fi; if dpkg --compare-versions "$2" lt 1.0; then say lt; fi`, "lt", nil},
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
		{"an account", `getent passwd www-data >/dev/null && say www; getent group nobody-has >/dev/null || say none; say $(id -u www-data) $(id -Gn postgres 2>/dev/null)`, "www; none; 33", nil},
		{"an account without a fixed id", `adduser --system --group x; if [ "$(id -u x)" -eq 0 ]; then echo root >&2; exit 1; fi; say on`, "on", nil},
		{"su asks about owners", `adduser --system --group --no-create-home x; mkdir /var/x; su x -c "test -O /var/x" || chown x:x /var/x; su -s /bin/sh x -c "test -O /var/x && test -G /var/x" && say mine`, "mine", nil},
		{"exit ends the script", `say a; exit 0; say b`, "a", nil},
		{"return ends a function", `f() { say a; return 1; say b; }; f || say failed`, "a; failed", nil},
		{"a script that fails", `say a; exit 3`, "a", []string{"exit 3"}},
		{"a condition that is not known", `if frob; then say yes; mkdir /etc/yes; else say no; fi; say on`, "on", []string{"frob", "> /etc/out", "mkdir /etc/yes"}},
		{"an unknown condition of a simple kind", `[ "$(date +%Y)" -gt 2000 ] && touch /etc/new; say on`, "on", []string{"touch /etc/new"}},
		{"what is unknown stays unknown", `X=$(frobnicate); Y="a-$X"; chown $Y /etc; case $Y in a*) say a;; esac`, "", []string{"frobnicate", "chown a-… /etc", "> /etc/out"}},
		{"variables set under an unknown condition", `A=1; if frob; then A=2; fi; mkdir /var/$A`, "", []string{"frob", "mkdir /var/…"}},
		{"removing is never missed", `rm -rf /var/cache/$(frob)`, "", []string{"frob"}},
		{"commands of services", `systemctl --system daemon-reload || true; invoke-rc.d x start || exit 1; update-rc.d x defaults >/dev/null; deb-systemd-helper enable x.service`, "", nil},
		{"unknown commands are said once", `frob a; frob a; /usr/lib/x/tool --all`, "", []string{"frob a", "tool --all"}},
		{"a long command is cut", "frob " + strings.Repeat("0123456789", 10), "", []string{"frob " + strings.Repeat("0123456789", 5) + "0123…"}},
		{"a temporary file", `T=$(mktemp); sed 's/one/two/' /usr/share/x/a.conf > $T; ucf $T /etc/x.conf; rm -f $T; say $(cat /etc/x.conf)`, "two", nil},
		{"ucf keeps a file", `echo mine > /etc/x.conf; ucf --three-way /usr/share/x/a.conf /etc/x.conf; say $(cat /etc/x.conf)`, "mine", nil},
		{"sed in place", `echo "#Port 22" > /etc/p; sed -i 's/^#*Port .*/Port 23/' /etc/p; say $(cat /etc/p); sed -i '1,3p' /etc/p`, "Port 23", []string{"sed -i 1,3p /etc/p"}},
		{"what sources", `. /usr/share/x/lib.sh; greet you`, "hello you", nil},
		{"what cannot be sourced", `. /usr/share/none.sh`, "", []string{". /usr/share/none.sh"}},
		{"eval", `eval "say $1"; eval "$(frob)"`, "configure", []string{"frob", "eval …"}},
		{"exec and env", `env LANG=C say no; LC_ALL=C say yes; exec true; say never`, "no; yes", nil},
		{"a subshell's variables are its own", `A=1; (A=2; cd /usr; say $A); say $A`, "2; 1", nil},
		{"relative paths", `cd /usr/share/x; [ -f a.conf ] && say here; cd /none || say not`, "here; not", nil},
		{"umask", `umask 077; touch /etc/secret; umask 022; say done`, "done", nil},
		{"kept files are not removed", `rm -f /usr/share/x/a.conf; rm -rf /usr/share/none`, "", []string{"rm /usr/share/x/a.conf"}},
		{"an endless loop", `while true; do :; done`, "", []string{"postinst, as a whole: it is too long to be read"}},
		{"endless recursion", `f() { f; }; f`, "", []string{}},
		{"a loop of arithmetic", `x=1; while [ $x -lt 5 ]; do x=$((x*2)); done; say $x`, "8", nil},
		{"words that grow", `x=aaaaaaaaaa; for i in 1 2 3 4 5 6 7 8; do x=$x$x$x$x$x$x$x$x; done; mkdir /var/$x`, "", []string{"mkdir /var/…"}},
		{"a background command", `frob &`, "", []string{"frob"}},
		{"xargs", `printf 'a\nb\n' | xargs -r mkdir -p /var/x; [ -d /var/x ] && say made; : | xargs -r frob`, "made", nil},
		{"find", `[ -z "$(find /none -name x)" ] && say nothing; find /usr -empty -delete; find /usr -exec frob {} +; [ -z "$(find /usr)" ] && frob`, "nothing", []string{"find /usr -exec frob {} +", "frob"}},
		{"an empty log", `install -m 640 -o root -g adm /dev/null /etc/log; [ -s /etc/log ] || say empty`, "empty", nil},
		{"run-parts of nothing", `mkdir /etc/x.d; run-parts /etc/x.d; touch /etc/x.d/a; run-parts /etc/x.d`, "", []string{"run-parts /etc/x.d"}},
		{"an owner that is asked for", `dpkg-statoverride --list $(frob) || say no; aa-enabled --quiet && frob`, "", []string{"frob", "> /etc/out"}},
		{"another shell", `sh -c 'mkdir /var/a' && [ -d /var/a ] && say made; bash -e /usr/bin/frob --all; sh -x y`, "made", []string{"frob --all", "sh -x y"}},
		{"names of paths", `say $(basename /a/b.c .c) $(dirname /a/b.c) $(seq 3 -1 1) $(uname -m) $(printf %s-%d x 1)`, "b /a 3 2 1 x86_64 x-1", nil},
		{"tr", `say $(echo a,b | tr ',' ' ') $(echo a-b | tr -d -) $(echo Ab | tr '[:upper:]' '[:lower:]')`, "a b ab ab", nil},
		{"listing", `say $(ls /usr/share/x); ls /none 2>/dev/null || say none`, "a.conf b.conf l lib.sh; none", nil},
		{"packages", `say $(dpkg -L lib | grep -E 'conf$'); dpkg -s none >/dev/null 2>&1 || say lacks; dpkg-query -W lib:amd64 >/dev/null; dpkg-query -W none || say none; say $(dpkg --print-architecture)`, "/usr/share/x/a.conf /usr/share/x/b.conf; lacks; none; amd64", nil},
		{"folders that go", `mkdir -p /var/a/b/c; rmdir -p --ignore-fail-on-non-empty /var/a/b/c; [ -d /var/a ] || say gone; rmdir /usr/share 2>/dev/null || say full; rm /var/none || say missing`, "gone; full; missing", nil},
		{"folders that come", `mkdir /var/a/b || say no; mkdir -m 700 /var/a && mkdir /var/a || say twice; mkdir -p -m x /var/b`, "no; twice", []string{"mkdir -p -m x /var/b"}},
		{"tee", `echo one | tee /etc/tee >/dev/null; echo two | tee -a /etc/tee | grep -q two && say $(cat /etc/tee)`, "one two", nil},
		{"temporary folders", `d=$(mktemp -d /tmp/x.XXXX); touch $d/f && [ -f $d/f ] && say temporary`, "temporary", nil},
		{"unset and shift", `X=1; unset X; say "<$X>"; set -- a b c; shift 2; say $1; shift 9 || say short`, "<>; c; short", nil},
		{"moving and copying", `echo a > /etc/a; mv /etc/a /etc/b; cp /etc/b /var/; cp -n /usr/share/x/a.conf /var/b; cp -a /usr/share/x /var/x; say $(cat /var/b) $(readlink /var/x/l); mv /usr/share/x /y`, "a /nowhere", []string{"mv /usr/share/x /y"}},
		{"filters of nothing", `for c in $(: | awk '{ print $2 }' | sort -u); do frob; done; say $(echo b | sort) on`, "", []string{"> /etc/out"}},
		{"compiling Python", `python3.11 -E -S /usr/lib/python3.11/py_compile.py $(frob); python3 -c 'print(1)'; perl -e "" || say noperl; perl -e 1`, "noperl", []string{"frob", "python -c print(1)", "perl -e 1"}},
		{"locales", `update-locale --no-checks LANG; update-locale LANG=C.UTF-8 X=1; update-locale X; locale-gen; say $(cat /etc/default/locale); echo de_DE > /etc/locale.gen; locale-gen`, "# File generated by update-locale LANG=C.UTF-8", []string{"locale-gen"}},
		{"diversions", `say "<$(dpkg-divert --listpackage /usr/bin/tool)>"; dpkg-divert --package me --divert /bin/tool.me --add /bin/tool; say $(dpkg-divert --listpackage /bin/tool) $(dpkg-divert --truename /usr/bin/tool); dpkg-divert --list /bin/tool && dpkg-divert --remove /bin/tool; dpkg-divert --list /bin/tool || say gone; dpkg-divert --help`, "<>; me /usr/bin/tool.me; gone", []string{"dpkg-divert --help"}},
		{"groups", `groupadd old; groupmod -n new old; getent group new >/dev/null && say new; groupmod -n x none || say none; gpasswd -a nobody-here new || say nobody`, "new; none; nobody", nil},
		{"su that is not known", `su none -c true; su www-data`, "", []string{"su none -c true", "su www-data"}},
		{"trap and set", `set -e; trap 'frob' EXIT; set -o nounset; say $#`, "2", nil},
	} {
		r, p := script(t, "#!/bin/sh\n"+say+test.script, `
-- lib/control --
-- lib/root/usr/bin/tool --
#!/bin/sh
-- lib/root/usr/share/x/a.conf --
one
-- lib/root/usr/share/x/b.conf --
-- lib/root/usr/share/x/l --
-> /nowhere
-- lib/root/usr/share/x/lib.sh --
greet() { say "hello $1"; }
`)
		got := ""
		if n, _, err := r.find("/etc/out", true); err == nil {
			text, err := n.bytes()
			if err != nil {
				t.Fatal(err)
			}
			got = strings.Join(lines(text), "; ")
		}
		if got != test.want || !slices.Equal(p.left, test.left) {
			t.Errorf("%s:\n got %q, left %q\nwant %q, left %q", test.summary, got, p.left, test.want, test.left)
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
		_, p := script(t, test.script)
		if got := fmt.Sprint(p.left); !strings.HasPrefix(got, "["+test.want) {
			t.Errorf("%s: %s, want %s", test.summary, got, test.want)
		}
	}
}

func FuzzScript(f *testing.F) {
	for _, s := range []string{
		"#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then mkdir -p /var/lib/x; fi\n",
		"case $1 in a*|[b-d]) f() { g; };; esac; f \"$@\" <<-E\n\ta\n\tE\n",
		"x=${y:=$(echo a | sed 's/a/b/g')}; cut -d: -f1 <<E\n$x\nE\n",
		"chmod u+s,g=rx /usr/bin/x; chown -R a:b /etc; ln -s a /etc/b; cp -a /etc /var/x; mv /var/x /y",
		"update-alternatives --install /usr/bin/a a /usr/bin/b 1 --slave x y z",
		"echo $((1/0)) ${x#*} ${#x} ${x^^} `frob`; printf %d%s%% 1 2 3",
		"while :; do eval \"x=$x$x\"; done",
	} {
		f.Add(s)
	}
	planted := plant(f, txtar.Parse([]byte("-- x/control --\n-- x/root/usr/bin/tool --\n#!/bin/sh\n")))
	f.Fuzz(func(t *testing.T, text string) {
		p := *planted[0]
		r, err := open(t.Context(), []*pkg{&p})
		if err != nil {
			t.Fatal(err)
		}
		r.readScript(&p, "postinst", text, "configure", "")
		for _, k := range classes() {
			if k.finish != nil {
				_ = k.finish(r) // an error is fine, a panic is not
			}
		}
	})
}
