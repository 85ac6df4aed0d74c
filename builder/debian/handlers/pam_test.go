// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"osbuild/builder/debian/deb"
	"osbuild/builder/debian/rootfs"
)

// pamRoot is a root with these profiles, and templates of two lines that tell
// the blocks apart.
func pamRoot(t *testing.T, profiles map[string]string) *root {
	t.Helper()
	r, err := open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range pamStacks {
		text := "# " + s.file + ": $" + s.variable + "_primary\n$" + s.variable + "_primary\n--\n$" + s.variable + "_additional\n# end\n"
		if err := r.Create(pamTemplateDir+"/common-"+s.file, text); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range profiles {
		if err := r.Create(pamProfileDir+"/"+name, text); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// pamMade are the files that were made, by name; those of the state begin
// with "state/".
func pamMade(t *testing.T, r *root) map[string]string {
	t.Helper()
	out := map[string]string{}
	for dir, prefix := range map[string]string{pamConfigDir: "", pamStateDir: "state/"} {
		n, _, err := r.Find(dir, true)
		if err != nil {
			continue
		}
		for name, kid := range n.Kids {
			if prefix == "" && !strings.HasPrefix(name, "common-") {
				continue
			}
			text, err := kid.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			out[prefix+name] = text
		}
	}
	return out
}

// pamProfileText is a profile of one stack.
func pamProfileText(priority, more, kind, lines string) string {
	return "Name: x\nDefault: yes\nPriority: " + priority + "\n" + more + "Auth-Type: " + kind + "\nAuth:\n" + lines
}

func TestPAM(t *testing.T) {
	const null = "auth\t[default=1]\t\t\tpam_permit.so\n"
	tests := []struct {
		summary  string
		profiles map[string]string
		// primary and additional are those of common-auth.
		primary, additional string
		state               string
	}{{
		summary: "priority, then the last name, jumps to the end of each block",
		profiles: map[string]string{
			"low":  pamProfileText("-1", "", "Primary", "\t[success=end default=ignore]\tlow.so\n"),
			"a":    pamProfileText("10", "", "Primary", "\t[success=end other=end default=ignore]\ta.so one\n\trequired two.so\n"),
			"b":    pamProfileText("10", "", "Primary", " required b.so a   b\tc=[d e]\n"),
			"none": "Default: yes\nAuth-Type: Primary\nAuth: required none.so\n",
			"more": pamProfileText("5", "", "Additional", "\t[success=end]   more.so success=end\n\toptional last.so\n"),
			"type": pamProfileText("5", "", "Other", "\trequired type.so\n"),
		},
		primary: "auth\trequired b.so a b c=[d e]\n" +
			"auth\t[success=4 other=4 default=ignore]\ta.so one\n" +
			"auth\trequired two.so \n" +
			"auth\trequired none.so \n" +
			"auth\t[success=1 default=ignore]\tlow.so \n",
		additional: "auth\t[success=1]   more.so success=end\nauth\toptional last.so \n",
		state: "Module: b\nrequired b.so a   b\tc=[d e]\nModule: a\n[success=end other=end default=ignore]\ta.so one\nrequired two.so\n" +
			"Module: none\nrequired none.so\nModule: low\n[success=end default=ignore]\tlow.so\n" +
			"Module: more\n[success=end]   more.so success=end\noptional last.so\n",
	}, {
		summary: "the first of a block says it in another way, and so may all",
		profiles: map[string]string{
			"a": pamProfileText("9", "", "Primary", "\trequired a.so plain\nAuth-Initial:\n\trequired a.so initial\n"),
			"b": pamProfileText("8", "", "Primary", "\trequired b.so plain\nAuth-Initial:\n\trequired b.so initial\n"),
			"c": pamProfileText("7", "", "Primary", "\trequired c.so plain\nAuth-Final:\n\trequired c.so final\n"),
			"d": pamProfileText("6", "", "Additional", "\trequired d.so plain\nAuth-Final:\n\trequired d.so final\n"),
			"e": pamProfileText("5", "", "Additional", "\trequired e.so plain\nAuth-Initial:\n\trequired e.so initial\n"),
		},
		primary:    "auth\trequired a.so initial\nauth\trequired b.so plain\nauth\trequired c.so final\n",
		additional: "auth\trequired d.so final\nauth\trequired e.so plain\n",
	}, {
		summary: "a first one that says nothing is the first all the same",
		profiles: map[string]string{
			"a": "Default: yes\nPriority: 9\nAuth-Type: Primary\n",
			"b": pamProfileText("8", "", "Primary", "\trequired b.so plain\nAuth-Initial:\n\trequired b.so initial\n"),
		},
		primary: "auth\trequired b.so plain\n",
		state:   "Module: b\nrequired b.so plain\n",
	}, {
		summary: "what is off or a leftover counts nowhere",
		profiles: map[string]string{
			"off":  "Default: no\nConflicts: on\nAuth-Type: Primary\nAuth: required off.so\n",
			"Yes":  "Default: Yes\nAuth-Type: Primary\nAuth: required off.so\n",
			"none": "Auth-Type: Primary\nAuth: required off.so\n",
			"on~":  pamProfileText("9", "", "Primary", "\trequired old.so\n"),
			"on":   pamProfileText("9", "", "Primary", "\trequired on.so\n"),
		},
		primary: "auth\trequired on.so \n",
	}, {
		summary: "conflicts: who names the other stays, unless it is away itself",
		profiles: map[string]string{
			"a": pamProfileText("9", "Conflicts: b, zzz\n", "Primary", "\trequired a.so\n"),
			"b": pamProfileText("8", "Conflicts: c\n", "Primary", "\trequired b.so\n"),
			"c": pamProfileText("7", "", "Primary", "\trequired c.so\n"),
			"d": pamProfileText("6", "Conflicts: c\n", "Primary", "\trequired d.so\n"),
		},
		primary: "auth\trequired a.so \nauth\trequired d.so \n",
	}, {
		summary:  "a block that nobody fills lets the next decide",
		profiles: map[string]string{"a": pamProfileText("9", "", "Additional", "\toptional a.so\n")},
		primary:  null, additional: "auth\toptional a.so \n",
		state: "Module: null\n[default=1]\t\t\tpam_permit.so\nModule: a\noptional a.so\n",
	}, {
		summary:  "without any profile everybody is refused",
		profiles: map[string]string{},
	}, {
		summary: "lines that are none of PAM are left out, and not counted",
		profiles: map[string]string{"a": "# text\nDefault: yes\n\nwhat is this\nAuth-Type: Primary\nAuth:\n" +
			"\t# text\n\t[success=end]\ta.so\n\trequired\n\t[success=end\n\t[x]b.so\n\t-optional c.so\n\n\trequired\td.so\t\n"},
		primary: "auth\t[success=2]\ta.so \nauth\trequired\td.so \n",
	}}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			r := pamRoot(t, test.profiles)
			if err := finishPAM(r); err != nil {
				t.Fatal(err)
			}
			made := pamMade(t, r)
			if want := "# auth: $auth_primary\n" + test.primary + "--\n" + test.additional + "# end\n"; made["common-auth"] != want {
				t.Errorf("common-auth is\n%swant\n%s", made["common-auth"], want)
			}
			if test.state != "" && made["state/auth"] != test.state {
				t.Errorf("the state is\n%swant\n%s", made["state/auth"], test.state)
			}
		})
	}
}

func TestPAMSessions(t *testing.T) {
	r := pamRoot(t, map[string]string{
		"a": "Default: yes\nPriority: 2\nSession-Type: Primary\nSession-Interactive-Only: yes\nSession: required a.so\n",
		"b": "Default: yes\nPriority: 1\nSession-Type: Primary\nSession-Interactive-Only: no\nSession: required b.so\nSession-Initial: required b.so first\n",
		"c": "Default: no\n",
	})
	if err := finishPAM(r); err != nil {
		t.Fatal(err)
	}
	made := pamMade(t, r)
	for name, want := range map[string]string{
		"common-session":                "# session: $session_primary\nsession\trequired a.so \nsession\trequired b.so \n--\n# end\n",
		"common-session-noninteractive": "# session-noninteractive: $session_nonint_primary\nsession\trequired b.so first\n--\n# end\n",
		"common-password":               "# password: $password_primary\npassword\t[default=1]\t\t\tpam_permit.so\n--\n# end\n",
		"state/seen":                    "a\nb\nc\n",
	} {
		if made[name] != want {
			t.Errorf("%s is\n%swant\n%s", name, made[name], want)
		}
	}
}

// A file that is there is the work of a package that knows better, and a
// system without the templates has no such files at all.
func TestPAMLeavesAlone(t *testing.T) {
	r := pamRoot(t, map[string]string{"a": pamProfileText("1", "", "Primary", "\trequired a.so\n")})
	if err := r.Create(pamConfigDir+"/common-auth", "own\n"); err != nil {
		t.Fatal(err)
	}
	if err := finishPAM(r); err != nil {
		t.Fatal(err)
	}
	if made := pamMade(t, r); made["common-auth"] != "own\n" || made["common-account"] == "" {
		t.Errorf("made %q", made)
	}
	r = pamRoot(t, nil)
	if err := r.Remove(pamTemplateDir, true); err != nil {
		t.Fatal(err)
	}
	if err := finishPAM(r); err != nil {
		t.Fatal(err)
	}
	if made := pamMade(t, r); len(made) > 0 {
		t.Errorf("made %q", made)
	}
}

func FuzzPAM(f *testing.F) {
	f.Add("a\nb", pamProfileText("9", "Conflicts: b, c\n", "Primary", "\t[success=end default=ignore]\ta.so b\n"))
	f.Add("$auth_primary\n", "Auth-Initial:\n\tx y\nAuth-Type: Primary\n :\n\t[ ] x")
	f.Fuzz(func(t *testing.T, template, text string) {
		p := parsePAM("p", text)
		for _, s := range pamStacks {
			s.fill(template, choosePAM([]pamProfile{p}))
			for _, kind := range []string{"Primary", "Additional"} {
				config, _ := s.block(kind, []pamProfile{p})
				for _, line := range config {
					if strings.Count(line, "\n") != 1 || !strings.HasPrefix(line, s.kind+"\t") || len(strings.Fields(line)) < 3 {
						t.Errorf("%q is no line of PAM", line)
					}
				}
			}
		}
	})
}

// pamPackages bring libpam-runtime itself, and profiles of all kinds.
var pamPackages = []string{
	"libpam-runtime", "libpam-modules", "libpam-cap", "libpam-systemd",
	"libpam-krb5", "libpam-sss", "libpam-ldapd", "libpam-mount", "libpam-pwquality", "libpam-passwdqc", "libpam-tmpdir", "libpam-ccreds",
}

// oddPAM are profiles that no package has.
var oddPAM = map[string]string{
	"first":  "Default: yes\nPriority:  900 \nAuth-Type: Primary\nPassword-Type: Primary\nPassword: include foo\n",
	"second": "Default: yes\nPriority: 800\nAuth-Type: Primary\nAuth: required second.so\nAuth-Initial: required second.so initial\nAuth: [success=end a=end]  second.so success=end  x\n",
	"third":  "Default: yes\nPriority: 800\nSession-Type: Additional\nSession:\n\trequired third.so\n\t[success=end]\tthird.so\nSession-Final:\n\t[success=end]\tthird.so  final\n\t[success=end]\tthird.so b=[c   d] final\nAuth-Type: Additional\nAuth: optional third.so\n",
	"fourth": "Default: yes\nSession-Type: Primary\nSession-Interactive-Only: yes\nSession: required fourth.so\nConflicts: fifth, third~\nSeventh: x\n",
	"fifth":  "Default: yes\nPriority: 10\nConflicts: third\nAuth-Type: Primary\nAuth: required fifth.so\n",
	"sixth":  "Default: yes\nPriority: 7\nConflicts: seventh,second\nAuth-Type: Primary\nAuth-Initial:\nAuth-Final:\nAuth: required sixth.so\n",
	"third~": "Default: yes\nPriority: 7\nAuth-Type: Primary\nAuth: required old.so\n",
	"yes":    "Default: yes \nAuth-Type: Primary\nAuth: required yes.so\n",
}

// TestPAMAuthUpdate compares with what pam-auth-update makes when the scripts
// of libpam-runtime run on a new system.
func TestPAMAuthUpdate(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP-ENV: only root can give a program another root")
	}
	for _, p := range []string{"/usr/sbin/pam-auth-update", "/usr/share/debconf/frontend", "/usr/bin/perl", pamProfileDir, pamTemplateDir} {
		if _, err := os.Stat(p); err != nil {
			t.Skipf("SKIP-ENV: nothing to compare with: %v", err)
		}
	}
	debs := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "apt-get", append([]string{"-q", "-o", "Acquire::Retries=1", "download"}, pamPackages...)...)
	cmd.Dir = debs
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("SKIP-ENV: cannot get packages: %v: %.300s", err, out)
	}
	pkgs := map[string]*pkg{}
	files, _ := filepath.Glob(filepath.Join(debs, "*.deb"))
	for _, file := range files {
		p := unpackDeb(t, file)
		pkgs[p.Name] = p
	}
	runtime := pkgs["libpam-runtime"]
	compare := func(t *testing.T, r *root) {
		t.Helper()
		got := pamMade(t, r)
		want := realPAM(t, runtime, r)
		if diff := cmp.Diff(want, got); diff != "" || len(want) != 11 {
			t.Errorf("%d files are not as pam-auth-update makes them (-want +got):\n%s", len(want), diff)
		}
	}
	for _, names := range [][]string{{"libpam-runtime", "libpam-modules"}, {"libpam-runtime", "libpam-modules", "libpam-cap", "libpam-systemd"}, pamPackages} {
		t.Run(names[len(names)-1], func(t *testing.T) {
			var list []*pkg
			for _, name := range names {
				p := *pkgs[name]
				list = append(list, &p)
			}
			r, err := compose(t.Context(), list)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range r.warn(nil) {
				if strings.HasPrefix(w, "package ") && (strings.Contains(w, "pam-auth-update") || strings.Contains(w, "libpam-runtime")) {
					t.Errorf("warning: %s", w)
				}
			}
			compare(t, r)
		})
	}
	t.Run("odd profiles", func(t *testing.T) {
		p := *runtime
		r, err := open(t.Context(), []*pkg{&p})
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range oddPAM {
			if err := r.Create(pamProfileDir+"/"+name, text); err != nil {
				t.Fatal(err)
			}
		}
		if err := finishPAM(r); err != nil {
			t.Fatal(err)
		}
		compare(t, r)
	})
}

// unpackDeb makes a package of a file.
func unpackDeb(t *testing.T, name string) *pkg {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "item")
	meta, err := deb.Unpack(t.Context(), f, info.Size(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return &pkg{Package: &rootfs.Package{Name: meta.Package, Version: meta.Version, Item: "/osbuild/store/x-" + meta.Package, Dir: dir}}
}

// realPAMScript runs the script of libpam-runtime in the root $1, which has
// /usr of this machine with other profiles and templates. Mounts and processes
// end with it.
const realPAMScript = `set -e
mount --make-rprivate /
mount --bind /usr "$1/usr"
mount -o remount,bind,ro "$1/usr"
mount --bind "$1/profiles" "$1/usr/share/pam-configs"
mount --bind "$1/templates" "$1/usr/share/pam"
mount --bind /dev/null "$1/dev/null"
cp /etc/debconf.conf "$1/etc/"
DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin exec chroot "$1" \
	/usr/share/debconf/frontend /var/lib/dpkg/info/libpam-runtime.postinst configure ""
`

// realPAM are the files that the real thing makes of the profiles in r.
func realPAM(t *testing.T, runtime *pkg, r *root) map[string]string {
	t.Helper()
	top := t.TempDir()
	for _, dir := range []string{"usr", "dev", "proc", "tmp", "etc/pam.d", "var/lib/pam", "var/cache/debconf", "var/lib/dpkg/info", "profiles", "templates"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(top, name)); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("dev/null", "")
	for _, member := range []string{"postinst", "templates"} {
		text, err := runtime.Member(member)
		if err != nil {
			t.Fatal(err)
		}
		write("var/lib/dpkg/info/libpam-runtime."+member, text)
	}
	for from, to := range map[string]string{pamProfileDir: "profiles/", pamTemplateDir: "templates/"} {
		dir, _, err := r.Find(from, true)
		if err != nil {
			t.Fatal(err)
		}
		for name, n := range dir.Kids {
			text, err := n.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			write(to+name, text)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", realPAMScript, "sh", top)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "mount: ") || os.IsPermission(err) {
			t.Skipf("SKIP-ENV: cannot mount: %v: %.300s", err, out)
		}
		t.Fatalf("%v: %.2000s", err, out)
	}
	want := map[string]string{}
	for dir, prefix := range map[string]string{pamConfigDir: "", pamStateDir: "state/"} {
		files, err := filepath.Glob(filepath.Join(top, dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want[prefix+filepath.Base(name)] = string(text)
		}
	}
	return want
}
