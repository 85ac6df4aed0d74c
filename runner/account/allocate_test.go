// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/runner/spec"
)

func id(n int) *int { return &n }

// groups makes declarations from words: "name", "name=ID", "name!" and
// "name!=ID" for system groups.
func groups(words ...string) (out []spec.Group) {
	for _, w := range words {
		name, value, explicit := strings.Cut(w, "=")
		g := spec.Group{Name: strings.TrimSuffix(name, "!"), System: strings.HasSuffix(name, "!")}
		if explicit {
			var n int
			fmt.Sscan(value, &n)
			g.GID = &n
		}
		out = append(out, g)
	}
	return out
}

func TestGroupIDs(t *testing.T) {
	tests := []struct {
		summary  string
		declared []spec.Group
		present  map[string]int // in the file now
		kept     map[string]int // of removed names
		top      int
		want     map[string]int
		wantErr  error
		warning  string
	}{
		{
			summary:  "system ids run down, regular ids up, a declared id moves the cursor",
			declared: groups("s1!", "s2!=900", "s3!", "r1", "r2", "r3"),
			want:     map[string]int{"s1": 999, "s2": 900, "s3": 899, "r1": 1000, "r2": 1001, "r3": 1002},
		},
		{
			summary:  "a declared id is not given to an earlier name",
			declared: groups("b", "a=1001", "c"),
			want:     map[string]int{"a": 1001, "b": 1000, "c": 1002},
		},
		{
			summary:  "declared ids move the regular cursor both ways",
			declared: groups("x=2000", "y", "z=1500", "w"),
			want:     map[string]int{"x": 2000, "y": 2001, "z": 1500, "w": 1501},
		},
		{
			summary:  "declared system ids move the system cursor",
			declared: groups("a!", "b!=300", "c!"),
			want:     map[string]int{"a": 999, "b": 300, "c": 299},
		},
		{
			summary:  "a known name keeps its id, new ones continue",
			declared: groups("bob", "alice", "carol"),
			present:  map[string]int{"alice": 1000, "bob": 1234},
			want:     map[string]int{"alice": 1000, "bob": 1234, "carol": 1235},
		},
		{
			summary:  "system ids continue below the lowest",
			declared: groups("s!", "t!"),
			kept:     map[string]int{"removed": 999},
			want:     map[string]int{"s": 998, "t": 997},
		},
		{
			summary:  "the id of a removed name is not given to another, and waits for its own",
			declared: groups("dan", "bob"),
			present:  map[string]int{"alice": 1000},
			kept:     map[string]int{"bob": 1001},
			want:     map[string]int{"dan": 1002, "bob": 1001},
		},
		{
			summary:  "after the last regular id the search wraps",
			declared: groups("new", "newer"),
			present:  map[string]int{"last": 59999, "first": 1000},
			want:     map[string]int{"new": 1001, "newer": 1002},
		},
		{
			summary:  "after the lowest system id the search wraps",
			declared: groups("new!"),
			present:  map[string]int{"low": 101, "high": 999},
			want:     map[string]int{"new": 100},
		},
		{
			summary:  "in a container regular ids end where subordinate ids begin",
			declared: groups("new"),
			present:  map[string]int{"last": 9999},
			top:      9999,
			want:     map[string]int{"new": 1000},
		},
		{
			summary:  "the overflow id is no regular one",
			declared: groups("nogroup=65534", "new"),
			want:     map[string]int{"nogroup": 65534, "new": 1000},
		},
		{
			summary:  "a declared id may change, with a warning",
			declared: groups("alice=1777"),
			present:  map[string]int{"alice": 1000},
			want:     map[string]int{"alice": 1777},
			warning:  "changes its gid from 1000 to 1777",
		},
		{
			summary:  "a declared id may be that of a removed name, with a warning",
			declared: groups("bob=1000"),
			kept:     map[string]int{"alice": 1000},
			want:     map[string]int{"bob": 1000},
			warning:  `the removed "alice" had`,
		},
		{
			summary:  "a declared id of another known name is refused",
			declared: groups("bob=1000", "alice"),
			present:  map[string]int{"alice": 1000},
			wantErr:  ErrTaken,
		},
		{
			summary:  "two names cannot declare one id",
			declared: groups("a=7", "b=7"),
			wantErr:  ErrTaken,
		},
		{
			summary:  "no more system ids",
			declared: groups(many("s%d!", 901)...),
			wantErr:  ErrExhausted,
		},
		{
			summary:  "all system ids but no more",
			declared: groups(many("s%d!", 900)...)[:900],
		},
		{
			summary:  "names of a damaged file with one id keep it, and it is given to no third",
			declared: groups("a", "b", "c"),
			present:  map[string]int{"a": 1000, "b": 1000},
			want:     map[string]int{"a": 1000, "b": 1001, "c": 1002},
		},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			prev := Previous{IDs: IDs{Groups: tt.kept}}
			for _, name := range sortedKeys(tt.present) {
				prev.Groups = append(prev.Groups, Group{Name: name, GID: tt.present[name]})
			}
			db, err := Build(spec.Accounts{Groups: tt.declared}, prev, tt.top, 1)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("error %v, want %v", err, tt.wantErr)
			}
			if err != nil || tt.want == nil {
				return
			}
			got := map[string]int{}
			for _, g := range db.Groups {
				got[g.Name] = g.GID
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
			warnings := strings.Join(db.Warnings, "\n")
			if tt.warning == "" && warnings != "" || !strings.Contains(warnings, tt.warning) {
				t.Errorf("warnings %q, want %q", warnings, tt.warning)
			}
		})
	}
}

func many(format string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}

// TestGenerations follows one machine: what a boot gives away, no later boot
// gives to someone else.
func TestGenerations(t *testing.T) {
	var prev Previous
	boot := func(names ...string) map[string]int {
		t.Helper()
		var decl spec.Accounts
		decl.Groups = groups("users=100")
		for _, n := range names {
			decl.Users = append(decl.Users, spec.User{Name: n, Group: "users", Home: "/home/" + n, Shell: "/bin/sh"})
		}
		db, err := Build(decl, prev, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		prev = Previous{Users: db.Users, Shadow: db.Shadow, Groups: db.Groups, IDs: db.IDs}
		got := map[string]int{}
		for _, u := range db.Users {
			got[u.Name] = u.UID
		}
		return got
	}
	for i, step := range []struct {
		names []string
		want  map[string]int
	}{
		{[]string{"alice", "bob"}, map[string]int{"alice": 1000, "bob": 1001}},
		{[]string{"alice"}, map[string]int{"alice": 1000}},
		{[]string{"alice", "dan"}, map[string]int{"alice": 1000, "dan": 1002}},
		{[]string{"bob", "dan", "alice"}, map[string]int{"alice": 1000, "bob": 1001, "dan": 1002}},
	} {
		if diff := cmp.Diff(step.want, boot(step.names...)); diff != "" {
			t.Errorf("boot %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestUserIDs is what becomes of users whom the last boot knew.
func TestUserIDs(t *testing.T) {
	prev := Previous{
		Users:  []User{{Name: "a", UID: 1234, GID: 5, Comment: "hers", Home: "/old", Shell: "/old"}, {Name: "gone", UID: 1235}},
		Shadow: []Shadow{{Name: "a", Password: "$6$a", Rest: [7]string{"1", "2"}}, {Name: "gone", Password: "$6$gone"}},
	}
	user := func(name string, system bool) spec.User {
		return spec.User{Name: name, Group: "users", Comment: "declared", Home: "/new", Shell: "/new", System: system}
	}
	decl := spec.Accounts{Groups: groups("users=100"), Users: []spec.User{user("b", false), user("a", false), user("s", true), user("c", false)}}
	db, err := Build(decl, prev, 0, 20000)
	if err != nil {
		t.Fatal(err)
	}
	want := "b:x:1236:100:declared:/new:/new\na:x:1234:100:hers:/new:/new\ns:x:999:100:declared:/new:/new\nc:x:1237:100:declared:/new:/new\n"
	if diff := cmp.Diff(want, string(FormatPasswd(db.Users))); diff != "" {
		t.Errorf("passwd (-want +got):\n%s", diff)
	}
	want = "b:!:20000::::::\na:$6$a:1:2:::::\ns:!:20000::::::\nc:!:20000::::::\n"
	if diff := cmp.Diff(want, string(FormatShadow(db.Shadow))); diff != "" {
		t.Errorf("shadow (-want +got):\n%s", diff)
	}
}

// TestFormerIDs follows an id that a declaration took from a name.
func TestFormerIDs(t *testing.T) {
	var prev Previous
	for i, step := range []struct {
		summary, declared, warning string
		want                       map[string]int
	}{
		{"the first boot", "alice", "", map[string]int{"alice": 1000}},
		{"another id is declared", "alice=1777", "changes its gid from 1000 to 1777", map[string]int{"alice": 1777}},
		{"the old one is given to nobody", "alice bob=1002 carol", "", map[string]int{"alice": 1777, "bob": 1002, "carol": 1003}},
		{"but to whom it is declared for", "alice bob dave=1000", `"dave" gets the gid 1000, which "alice" had before`, map[string]int{"alice": 1777, "bob": 1002, "dave": 1000}},
		{"two may change places", "bob=1000 dave=1002", `"bob" changes its gid from 1002 to 1000`, map[string]int{"bob": 1000, "dave": 1002}},
		{"and stay", "bob dave erin", "", map[string]int{"bob": 1000, "dave": 1002, "erin": 1778}},
		{"an id changed by hand is kept from others too", "bob dave erin frank", "", map[string]int{"bob": 1000, "dave": 1002, "erin": 1900, "frank": 1901}},
		{"the same again", "bob dave erin frank gina=1778", `"gina" gets the gid 1778, which "erin" had before`, map[string]int{"bob": 1000, "dave": 1002, "erin": 1900, "frank": 1901, "gina": 1778}},
	} {
		if i == 6 {
			for j, g := range prev.Groups {
				if g.Name == "erin" {
					prev.Groups[j].GID = 1900
				}
			}
		}
		db, err := Build(spec.Accounts{Groups: groups(strings.Fields(step.declared)...)}, prev, 0, 1)
		if err != nil {
			t.Fatalf("%s: %v", step.summary, err)
		}
		prev = Previous{Groups: db.Groups, IDs: db.IDs}
		got := map[string]int{}
		for _, g := range db.Groups {
			got[g.Name] = g.GID
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.summary, diff)
		}
		if text := strings.Join(db.Warnings, "\n"); (text == "") != (step.warning == "") || !strings.Contains(text, step.warning) {
			t.Errorf("%s: warnings %q, want %q", step.summary, text, step.warning)
		}
	}
}

func TestBuildFiles(t *testing.T) {
	decl := spec.Accounts{
		Groups: groups("root!=0", "wheel!", "users=100"),
		Users: []spec.User{
			{Name: "root", UID: id(0), Group: "root", Home: "/root", Shell: "/bin/sh", System: true, Comment: "System"},
			{Name: "carol", Group: "users", SupplementaryGroups: []string{"wheel"}, Home: "/home/carol", Shell: "/bin/sh", Password: "$6$x"},
			{Name: "alice", Group: "users", SupplementaryGroups: []string{"wheel", "wheel"}, Home: "/home/new", Shell: "/bin/new", Comment: "declared", Password: "$6$ignored"},
			{Name: "num", Group: "42", Home: "/", Shell: "/bin/sh", System: true},
		},
	}
	prev := Previous{
		Users:  []User{{Name: "alice", UID: 1234, GID: 1, Comment: "by chfn", Home: "/home/old", Shell: "/bin/old"}, {Name: "gone", UID: 1300}},
		Shadow: []Shadow{{Name: "alice", Password: "$6$hers", Rest: [7]string{"15000", "0", "99999", "7"}}},
		Groups: []Group{{Name: "wheel", Password: "secret", GID: 998, Members: []string{"mallory"}}},
	}
	db, err := Build(decl, prev, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimLeft(`
root:x:0:0:System:/root:/bin/sh
carol:x:1301:100::/home/carol:/bin/sh
alice:x:1234:100:by chfn:/home/new:/bin/new
num:x:999:42::/:/bin/sh
--
root:!:1::::::
carol:$6$x:1::::::
alice:$6$hers:15000:0:99999:7:::
num:!:1::::::
--
root:x:0:
wheel:secret:998:carol,alice
users:x:100:
`, "\n")
	got := fmt.Sprintf("%s--\n%s--\n%s", FormatPasswd(db.Users), FormatShadow(db.Shadow), FormatGroup(db.Groups))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, tt := range []struct {
		summary string
		decl    spec.Accounts
		want    string
	}{
		{"a colon in a home", spec.Accounts{Groups: groups("g"), Users: []spec.User{{Name: "a", Group: "g", Home: "/x:0:0"}}}, "holds a colon"},
		{"a new line in a comment", spec.Accounts{Groups: groups("g"), Users: []spec.User{{Name: "a", Group: "g", Comment: "x\nroot::0:0:::"}}}, "control character"},
		{"a name with a slash", spec.Accounts{Groups: groups("g/h")}, "choose letters"},
		{"an empty name", spec.Accounts{Users: []spec.User{{}}}, "without a name"},
		{"an undeclared group", spec.Accounts{Users: []spec.User{{Name: "a", Group: "nope"}}}, `its group "nope" is not declared`},
		{"a name twice", spec.Accounts{Groups: groups("g", "g")}, "declared twice"},
		{"an id that is none", spec.Accounts{Groups: groups("g=-1")}, "it is not an id"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			if _, err := Build(tt.decl, Previous{}, 0, 1); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	n := ParseNames([]byte("alice:x:1000:100::/:/bin/sh\n# comment\n\nbroken\n"), []byte("users:x:100:alice\n"))
	for _, tt := range []struct {
		user     string
		uid, gid int
		fails    bool
	}{
		{"", 0, 0, false},
		{"root", 0, 0, false},
		{"alice", 1000, 100, false},
		{"1000", 1000, 100, false},
		{"77", 77, 77, false},
		{"bob", 0, 0, true},
		{"-1", 0, 0, true},
	} {
		uid, gid, err := n.User(tt.user)
		if uid != tt.uid || gid != tt.gid || (err != nil) != tt.fails {
			t.Errorf("user %q: %d, %d, %v", tt.user, uid, gid, err)
		}
	}
	for group, want := range map[string]int{"": 0, "root": 0, "users": 100, "5": 5, "nope": -1} {
		gid, err := n.Group(group)
		if want < 0 && err == nil || want >= 0 && gid != want {
			t.Errorf("group %q: %d, %v", group, gid, err)
		}
	}
}
