// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package idmap

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/runner/spec"
)

var alice = &user.User{Uid: "1000", Gid: "1000", Username: "alice"}

func files(t *testing.T, subuid, subgid, passwd string) Files {
	t.Helper()
	dir := t.TempDir()
	f := Files{Subuid: filepath.Join(dir, "subuid"), Subgid: filepath.Join(dir, "subgid"), Passwd: filepath.Join(dir, "passwd")}
	for path, text := range map[string]string{f.Subuid: subuid, f.Subgid: subgid, f.Passwd: passwd} {
		if text == "missing" {
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestRootless(t *testing.T) {
	tests := []struct {
		summary, subuid, subgid string
		want                    []spec.Extent // of users
		err                     string
	}{
		{
			summary: "one range", subuid: "bob:1:5\nalice:100000:65536\n", subgid: "alice:100000:65536\n",
			want: []spec.Extent{{Inside: 0, Outside: 1000, Count: 1}, {Inside: 1, Outside: 100000, Count: 65535}},
		},
		{
			summary: "two ranges, one by number", subuid: "alice:100000:30000\n1000:200000:65536\n", subgid: "alice:100000:65535\n",
			want: []spec.Extent{
				{Inside: 0, Outside: 1000, Count: 1},
				{Inside: 1, Outside: 100000, Count: 30000},
				{Inside: 30001, Outside: 200000, Count: 35535},
			},
		},
		{summary: "nothing", subuid: "", subgid: "", err: "/subuid gives alice 0 of the 65535"},
		{summary: "no files", subuid: "missing", subgid: "missing", err: "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 alice"},
		{summary: "too few groups", subuid: "alice:100000:65536", subgid: "alice:5000:10\nbob:300000:1000", err: "--add-subuids 301000-366535 --add-subgids 301000-366535 alice"},
		{summary: "a range with her own id", subuid: "alice:0:70000", subgid: "alice:100000:65536", err: "gives alice 0"},
		{summary: "lines that are none", subuid: "alice:x:65536\nalice:1\n:::\n#\nalice:100000:-1", subgid: "alice:100000:65536", err: "gives alice 0"},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			got, err := files(t, tt.subuid, tt.subgid, "").Rootless(alice, spec.Ids)
			if tt.err != "" {
				if !errors.Is(err, ErrNoSubids) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.UIDs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestIdentityFollowsItsParent(t *testing.T) {
	outer := []spec.Extent{{Inside: 0, Outside: 1000, Count: 1}, {Inside: 1, Outside: 100000, Count: 65535}}
	got := Identity(spec.IDMap{UIDs: outer, GIDs: outer[:1]})
	if Format(got.UIDs) != "0 0 1\n1 1 65535\n" || Format(got.GIDs) != "0 0 1\n" {
		t.Errorf("got %q, %q", Format(got.UIDs), Format(got.GIDs))
	}
}

func TestAllocate(t *testing.T) {
	f := files(t, "alice:524288:1\n", "bob:700000:10\n", "x:x:851967:1::/:\n")
	dir := filepath.Join(t.TempDir(), "ids")
	next := func(count int, seed string) *Range {
		t.Helper()
		r, err := f.Allocate(dir, count, seed)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// 524288 and 655360 have subordinate ids, 786432 has an account.
	a, b, c := next(65536, ""), next(65536, ""), next(1, "")
	if a.Base != 589824 || b.Base != 720896 || c.Base != 851968 {
		t.Errorf("got %d, %d, %d", a.Base, b.Base, c.Base)
	}
	wide := next(3*65536, "")
	if wide.Base != 917504 || next(1, "").Base != 917504+3*65536 {
		t.Errorf("a wide range is at %d", wide.Base)
	}
	if _, err := Reserve(dir, b.Base, 65536); !errors.Is(err, ErrRangeInUse) {
		t.Errorf("a range was given twice: %v", err)
	}
	b.Release()
	again, err := Reserve(dir, b.Base, 65536)
	if err != nil {
		t.Fatal(err)
	}
	again.Release()
	if got := next(65536, "").Base; got != b.Base {
		t.Errorf("a free range is not used again: %d", got)
	}
	one, two := next(65536, "/srv/one"), next(65536, "/srv/two")
	one.Release()
	if one.Base == two.Base || next(65536, "/srv/one").Base != one.Base {
		t.Errorf("ranges by seed: %d, %d", one.Base, two.Base)
	}
	if Format(a.Map().UIDs) != "0 589824 65536\n" {
		t.Errorf("got %q", Format(a.Map().UIDs))
	}
}

func TestReserveRefuses(t *testing.T) {
	for _, base := range []int{0, 65536, 524289, lastID + 1} {
		if _, err := Reserve(t.TempDir(), base, 65536); err == nil {
			t.Errorf("the ids from %d were given", base)
		}
	}
}

func TestParse(t *testing.T) {
	text := "         0          0 4294967295\n"
	got, err := Parse(text)
	if err != nil || len(got) != 1 || got[0].Count != 1<<32-1 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"1 2\n", "a b c\n", "1 2 3 4\n", "-1 0 1\n"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestDoctorNamesRemedies(t *testing.T) {
	for _, f := range Doctor() {
		if f.What == "" || f.Detail == "" || !f.OK && f.Remedy == "" {
			t.Errorf("an incomplete finding: %+v", f)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if f := helper("newuidmap"); f.OK || !strings.Contains(f.Remedy, "apt-get install uidmap") {
		t.Errorf("got %+v", f)
	}
	if _, _, err := Helpers(); !errors.Is(err, ErrNoHelper) || !strings.Contains(err.Error(), "apt-get install uidmap") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseSubids(f *testing.F) {
	f.Add("alice:100000:65536\n1000:1:1\n")
	f.Add("a:4294967295:4294967295\n::\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseSubids(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, s := range list {
			if s.Owner == "" || s.Start < 0 || s.Count < 1 || s.Start+s.Count > 1<<32 {
				t.Errorf("got %+v of %q", s, text)
			}
		}
	})
}
