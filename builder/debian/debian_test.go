// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"osbuild/builder/debian/apt"
	"osbuild/builder/debian/control"
	"osbuild/builder/debian/lock"
	"osbuild/builder/debian/recipe"
	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/store"
)

type noSources struct{}

func (noSources) HashTree(context.Context, string, store.Filter) (store.Hash, int64, error) {
	return store.Hash{}, 0, errors.New("no sources here")
}

// archive is an index of a few packages.
type archive []*control.Package

func (a archive) Indexes(context.Context, apt.IndexOptions) (*apt.Snapshot, error) {
	return &apt.Snapshot{
		Suites:   []lock.Suite{{Name: "bookworm", InReleaseSHA256: strings.Repeat("a", 64), Date: "Sat, 01 Jan 2022 00:00:00 UTC", Signer: strings.Repeat("A", 40)}},
		Packages: a,
	}, nil
}

func (archive) Suites() []string { return []string{"bookworm", "bookworm-security", "trixie"} }

func TestSuitesOf(t *testing.T) {
	all := archive{}.Suites()
	for suite, want := range map[string]string{
		"": "", "bookworm": "bookworm bookworm-security", "bookworm-security": "bookworm-security", "trixie": "trixie", "sid": "sid",
	} {
		if got := strings.Join(suitesOf(suite, all), " "); got != want {
			t.Errorf("%q: %q, want %q", suite, got, want)
		}
	}
}

const index = `Package: web
Version: 1.2-3
Architecture: amd64
Depends: libc6 (>= 2)
Filename: pool/w/web.deb
Size: 100
SHA256: 1111111111111111111111111111111111111111111111111111111111111111

Package: libc6
Version: 2:2.36~1
Architecture: amd64
Filename: pool/l/libc6.deb
Size: 200
SHA256: 2222222222222222222222222222222222222222222222222222222222222222

Package: tool
Version: 5
Architecture: all
Filename: pool/t/tool.deb
Size: 300
SHA256: 3333333333333333333333333333333333333333333333333333333333333333
`

func newArchive(t *testing.T, text string) archive {
	t.Helper()
	var a archive
	err := control.ReadPackages(strings.NewReader(text), "bookworm", func(p *control.Package) error {
		a = append(a, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func pos(line int) derivation.Position {
	return derivation.Position{File: "system.star", Line: line, Col: 3}
}

// evaluate is what a declaration does that names packages.
func evaluate(t *testing.T, l *lock.Lock, names ...string) (*Source, map[string]string) {
	t.Helper()
	s := NewSource(derivation.NewGraph(noSources{}), l)
	items := map[string]string{}
	for i, name := range names {
		item, err := s.Package(name, pos(i+1))
		if err != nil {
			t.Fatal(err)
		}
		items[name] = item
	}
	return s, items
}

func relock(t *testing.T, s *Source, a archive, u Update) *lock.Lock {
	t.Helper()
	l, err := s.Relock(context.Background(), a, "amd64", u)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func names(l *lock.Lock) string {
	var all []string
	for _, p := range l.Packages {
		all = append(all, p.Name+"="+p.Version)
	}
	return strings.Join(all, " ")
}

func TestLockServesTheDeclaration(t *testing.T) {
	a := newArchive(t, index)
	s, before := evaluate(t, nil, "web")
	if got := s.Missing(); !slices.Equal(got, []string{"web"}) || !s.Stale() {
		t.Errorf("missing %v, stale %v", got, s.Stale())
	}
	l := relock(t, s, a, Update{})
	if got, want := names(l), "libc6=2:2.36~1 web=1.2-3"; got != want {
		t.Errorf("locked %s, want %s", got, want)
	}

	s, after := evaluate(t, l, "web")
	if s.Stale() {
		t.Errorf("the lock still lacks %v", s.Missing())
	}
	if before["web"] == after["web"] {
		t.Error("the stand-in is the same as the package")
	}
	d := derive(t, s, after["web"])
	if len(d.Args) != 2 || derive(t, s, d.Args[0]).Env["package"] != "web" || derive(t, s, d.Args[1]).Env["sha256"] != strings.Repeat("2", 64) {
		t.Errorf("the package item is made of %v", d.Args)
	}
	if !s.Is(after["web"]) || s.Is(d.Args[0]) {
		t.Error("what is a package is not known")
	}

	// What is locked stays; a new name comes along, an old one goes when asked.
	newer := newArchive(t, strings.Replace(index, "1.2-3", "1.2-4", 1))
	s, _ = evaluate(t, l, "tool")
	if got, want := names(relock(t, s, newer, Update{})), "libc6=2:2.36~1 tool=5 web=1.2-3"; got != want {
		t.Errorf("extended to %s, want %s", got, want)
	}
	if got, want := names(relock(t, s, newer, Update{Prune: true})), "tool=5"; got != want {
		t.Errorf("pruned to %s, want %s", got, want)
	}
	s, _ = evaluate(t, l, "web")
	if got, want := names(relock(t, s, newer, Update{All: true})), "libc6=2:2.36~1 web=1.2-4"; got != want {
		t.Errorf("updated to %s, want %s", got, want)
	}
}

func derive(t *testing.T, s *Source, item string) *derivation.Derivation {
	t.Helper()
	ref, _ := s.graph.Lookup(item)
	d, ok := s.graph.Derivation(ref.Drv)
	if !ok {
		t.Fatalf("%s is no derivation", item)
	}
	return d
}

// The root of a system hangs on whether packages are among what its items are
// made from, however far away, and not on their order.
func TestRoot(t *testing.T) {
	s, items := evaluate(t, nil, "web")
	plain, err := s.graph.Text("plain", "nothing", false, derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := s.graph.Text("config", items["web"]+"/usr/bin/web", false, derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	far, err := s.graph.FileUnion("far", map[string]string{"config": config}, false, derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if root, err := s.Root([]string{plain}, false, pos(1)); err != nil || root != "" {
		t.Errorf("without packages: %q, %v", root, err)
	}
	first, err := s.Root([]string{plain, far}, false, pos(1))
	if err != nil || first == "" {
		t.Fatalf("with packages: %q, %v", first, err)
	}
	second, err := s.Root([]string{far, plain, far}, false, pos(2))
	if err != nil || second != first {
		t.Errorf("in another order: %q and %q, %v", first, second, err)
	}
	if name, _ := derive(t, s, first).Builtin(); name != recipe.BuiltinRoot {
		t.Errorf("the root is made by %q", name)
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		summary string
		do      func(s *Source) error
		want    string
	}{
		{"a name of another kind", func(s *Source) error {
			_, err := s.Package("Nginx_Light", pos(4))
			return err
		}, `system.star:4:3: cannot use package "Nginx_Light": 'N' cannot stand in the name of a package, such as nginx-light`},
		{"no name", func(s *Source) error {
			_, err := s.Package("", pos(4))
			return err
		}, `system.star:4:3: cannot use package "": the name of a package has at least two letters`},
		{"two policies", func(s *Source) error {
			_, err := s.Use(service.PackagePolicy{Essential: "none", Pos: pos(4)})
			if err == nil {
				_, err = s.Use(service.PackagePolicy{Essential: "full", Pos: pos(9)})
			}
			return err
		}, `system.star:9:3: cannot choose the packages of this system in another way than those of the system at system.star:4:3: all systems of a file share one choice of packages and one lock`},
		{"an unknown package", func(s *Source) error {
			if _, err := s.Package("wbe", pos(7)); err != nil {
				return err
			}
			_, err := s.Relock(context.Background(), newArchive(t, index), "amd64", Update{})
			return err
		}, `system.star:7:3: cannot lock packages: cannot find the package "wbe"; did you mean web?`},
	} {
		s, _ := evaluate(t, nil)
		err := tc.do(s)
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v\nwant %s", tc.summary, err, tc.want)
		}
	}
}

// A change of how packages are chosen needs another lock, though no name is
// missing; a declaration without a system takes the lock as it is.
func TestPolicy(t *testing.T) {
	s, _ := evaluate(t, nil, "web")
	l := relock(t, s, newArchive(t, index), Update{})
	s, _ = evaluate(t, l, "web")
	if s.Stale() {
		t.Error("without a policy: stale")
	}
	if _, err := s.Use(service.PackagePolicy{Essential: "none", Suite: "bookworm"}); err != nil || !s.Stale() {
		t.Errorf("with another suite: stale %v, %v", s.Stale(), err)
	}
}

// Programs of packages are found wherever a system names them; other paths are
// not looked at.
func TestPrograms(t *testing.T) {
	s, items := evaluate(t, nil, "web", "tool")
	text := func(name, content string) string {
		t.Helper()
		item, err := s.graph.Text(name, content, false, derivation.Position{})
		if err != nil {
			t.Fatal(err)
		}
		return item
	}
	web, tool := items["web"], items["tool"]
	plan := text("plan", `{"argv":["`+web+`/usr/sbin/web","-c","`+text("conf", "x "+tool+"/bin/tool; "+web+"/var/lib/web")+`"]} `+tool+`/usr/lib/tool/1.2/bin/run.`)
	made, err := s.graph.Derive(derivation.Derivation{Name: "made", Builder: web + "/usr/bin/build-time"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.graph.FileUnion("system", map[string]string{"plan": plan, "made": made}, false, derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(s.programs([]string{all}), " "), "/bin/tool /usr/lib/tool/1.2/bin/run /usr/sbin/web"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
