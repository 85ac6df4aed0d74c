// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"strings"
	"testing"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
)

// shelf is a source of packages that are all there.
type shelf struct {
	graph *derivation.Graph
	asked []string
}

func (s *shelf) Package(name string, pos derivation.Position) (string, error) {
	s.asked = append(s.asked, name)
	return s.graph.Text(name, "the package "+name, false, pos)
}
func (s *shelf) Is(string) bool                              { return false }
func (s *shelf) Use(service.PackagePolicy) ([]string, error) { return nil, nil }
func (s *shelf) Root(items []string, _ bool, _ derivation.Position) (string, error) {
	if len(items) == 3 {
		return s.graph.Text("root-of-the-check", strings.Join(items, "\n"), false, derivation.Position{})
	}
	return "", nil
}

func TestSudoers(t *testing.T) {
	const own = "root ALL=(ALL) ALL\n"
	for _, tt := range []struct {
		summary  string
		declared bool
		packages bool
		add      []string
		asked    string
	}{
		{summary: "the default needs no check"},
		{summary: "the default, where there are packages", packages: true},
		{summary: "a declared one, where there are none", declared: true},
		{summary: "a declared one", declared: true, packages: true, asked: "sudo dash"},
		{summary: "a declared one beside a package that conflicts with sudo", declared: true, packages: true, add: []string{"sudo-ldap"}, asked: "sudo-ldap dash sudo-ldap"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			env := newEnv(t)
			o := New()
			o.Pos = at(3)
			if tt.declared {
				o.Sudoers = text(t, env, "mine", own)
			}
			s := &shelf{graph: env.Graph}
			if tt.packages {
				env.Packages = s
			}
			o.Packages = tt.add
			sys, err := Lower(env, o)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(s.asked, " "); got != tt.asked {
				t.Errorf("packages asked for: %q, want %q", got, tt.asked)
			}
			for _, step := range sys.Activation.Steps {
				if step.Etc != nil && step.Etc.Copies["sudoers"] != 0o440 {
					t.Errorf("it is not a regular file of mode 0440: %v", step.Etc.Copies)
				}
			}
			file := union(t, env, union(t, env, sys.Path)["etc"])["sudoers"]
			if !tt.declared {
				if got := content(t, env, file); !strings.HasPrefix(got, "root ALL=(ALL) ALL\n%wheel ALL=(ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n") {
					t.Errorf("it is %q", got)
				}
				return
			}
			if !tt.packages {
				if got := content(t, env, file); got != own {
					t.Errorf("it is %q", got)
				}
				return
			}
			ref, _ := env.Graph.Lookup(file)
			d, ok := env.Graph.Derivation(ref.Drv)
			if !ok || !strings.HasSuffix(d.Builder, "-dash/usr/bin/dash") || d.Root == "" || d.Pos != at(3) {
				t.Fatalf("it is no build that runs in the tree of its packages: %+v", d)
			}
			name := strings.Fields(tt.asked)[0]
			if script := content(t, env, d.Args[0]); !strings.Contains(script, "-"+name+"/usr/sbin/visudo -c -f "+o.Sudoers+"\n") {
				t.Errorf("the check is\n%s", script)
			}
		})
	}
}

// TestTimezone holds that a system of packages has the files of time zones.
func TestTimezone(t *testing.T) {
	for _, tt := range []struct {
		summary  string
		packages []string
		zone     string
		asked    string
	}{
		{"a zone and packages", []string{"curl"}, "Europe/Paris", "curl tzdata"},
		{"a zone and the package itself", []string{"tzdata", "curl"}, "Europe/Paris", "tzdata curl"},
		{"packages", []string{"curl"}, "", "curl"},
		{"a zone and no packages", nil, "Europe/Paris", ""},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			env := newEnv(t)
			s := &shelf{graph: env.Graph}
			env.Packages = s
			o := New()
			o.Packages, o.Timezone = tt.packages, tt.zone
			lower(t, env, o)
			if got := strings.Join(s.asked, " "); got != tt.asked {
				t.Errorf("packages asked for: %q, want %q", got, tt.asked)
			}
		})
	}
}
