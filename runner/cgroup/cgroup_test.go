// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake makes a folder that looks like a hierarchy to what is written here: a
// file for each line `path: content`, and folders as needed.
func fake(t *testing.T, lines ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, line := range lines {
		name, content, _ := strings.Cut(line, ": ")
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents are the files below dir, as fake takes them.
func contents(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		out = append(out, rel+": "+string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLimit(t *testing.T) {
	const host = "cpuset cpu io memory hugetlb pids"
	for _, tc := range []struct {
		summary string
		limits  Limits
		host    string
		files   []string
		want    []string
		err     string
	}{
		{
			summary: "all three, each by one write",
			limits:  Limits{Memory: 512 << 20, PIDs: 100, CPUs: 1.5},
			host:    host,
			files:   []string{"c/cgroup.controllers: cpu memory pids", "c/cpu.max: max 100000", "c/memory.max: max", "c/pids.max: max"},
			want:    []string{"c/cgroup.controllers: cpu memory pids", "c/cpu.max: 150000 100000", "c/memory.max: 536870912", "c/pids.max: 100"},
		},
		{
			summary: "no limit, no write",
			host:    host,
			files:   []string{"c/cgroup.controllers: ", "c/pids.max: max"},
			want:    []string{"c/cgroup.controllers: ", "c/pids.max: max"},
		},
		{
			summary: "the smallest share of a processor",
			limits:  Limits{CPUs: MinCPUs},
			host:    host,
			files:   []string{"c/cgroup.controllers: cpu", "c/cpu.max: max 100000"},
			want:    []string{"c/cgroup.controllers: cpu", "c/cpu.max: 1000 100000"},
		},
		{
			summary: "controllers that the host has in version 1",
			limits:  Limits{Memory: 1, PIDs: 1},
			host:    "hugetlb",
			files:   []string{"c/cgroup.controllers: hugetlb"},
			err: "cannot limit the container's memory, pids: the host's control groups at ROOT have no controller memory, pids (they have: hugetlb); " +
				"boot the host with cgroup_no_v1=memory,pids, or leave the limits out",
		},
		{
			summary: "a controller that is not passed on",
			limits:  Limits{PIDs: 1},
			host:    host,
			files:   []string{"c/cgroup.controllers: memory"},
			err: "cannot limit the container's pids: they cannot be enabled for the groups in ROOT, where other processes are; " +
				"as a user, start osbuild by `systemd-run --user --scope --property=Delegate=yes`",
		},
		{
			summary: "a value that is refused",
			limits:  Limits{Memory: 1},
			host:    host,
			files:   []string{"c/cgroup.controllers: memory"},
			err:     "cannot limit the container's memory to 1: open ROOT/c/memory.max: no such file or directory",
		},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			dir := fake(t, tc.files...)
			if err := os.WriteFile(filepath.Join(dir, controllers), []byte(tc.host), 0o644); err != nil {
				t.Fatal(err)
			}
			err := Hierarchy{Root: dir}.limit(Request{Dir: filepath.Join(dir, "c"), Limits: tc.limits})
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), dir, "ROOT")
			}
			if diff := cmp.Diff(tc.err, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if tc.err == "" {
				if diff := cmp.Diff(append(tc.want, controllers+": "+tc.host)[1:], contents(t, dir)[1:]); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestOffer: what the host has of cpu, cpuset, memory and pids is enabled on
// the way to the groups of containers, and nothing else.
func TestOffer(t *testing.T) {
	files := []string{
		"cgroup.controllers: cpu hugetlb pids", "cgroup.subtree_control: pids",
		"osbuild/cgroup.controllers: cpu pids", "osbuild/cgroup.subtree_control: cpu pids",
	}
	dir := fake(t, files...)
	Hierarchy{Root: dir}.offer(filepath.Join(dir, topName), Limits{})
	files[1] = "cgroup.subtree_control: +cpu"
	if diff := cmp.Diff(files, contents(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPlace says where groups lie: root's at the top, a user's in their own one.
func TestPlace(t *testing.T) {
	dir := fake(t, "own/cgroup.procs: ")
	h := Hierarchy{Root: dir, Own: filepath.Join(dir, "own")}
	for _, tc := range []struct {
		summary string
		h       Hierarchy
		asRoot  bool
		want    string
	}{
		{"root", h, true, "/osbuild/web"},
		{"root outside of what is seen", Hierarchy{Root: dir}, true, "/osbuild/web"},
		{"a user with a group", h, false, "/own/osbuild-web"},
		{"a user without one", Hierarchy{Root: dir}, false, ""},
		{"a folder that is no group", Hierarchy{Root: dir, Own: dir}, false, ""},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			got, err := tc.h.Place("web", tc.asRoot)
			if tc.want == "" {
				if !errors.Is(err, ErrNone) {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if err != nil || strings.TrimPrefix(got, dir) != tc.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestStepDown: only a process that is alone leaves its group.
func TestStepDown(t *testing.T) {
	for _, tc := range []struct {
		summary, members string
		want             bool
	}{
		{"alone", "SELF\n", true},
		{"with others", "1\nSELF\n", false},
		{"not in it", "1\n", false},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			members := strings.ReplaceAll(tc.members, "SELF", strconv.Itoa(os.Getpid()))
			dir := fake(t, "cgroup.procs: "+members, runnerGroup+"/cgroup.procs: ")
			stepDown(dir)
			data, err := os.ReadFile(filepath.Join(dir, runnerGroup, procs))
			if err != nil {
				t.Fatal(err)
			}
			if moved := string(data) == strconv.Itoa(os.Getpid()); moved != tc.want {
				t.Errorf("the leaf holds %q", data)
			}
		})
	}
}

func TestFind(t *testing.T) {
	const hybrid = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
36 31 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:7 - cgroup2 cgroup2 rw
`
	for _, tc := range []struct {
		summary, mounts, own, root, want string
	}{
		{"beside version 1", hybrid, "4:memory:/x\n0::/a/b\n", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a/b"},
		{"at the top", hybrid, "0::/\n", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"},
		{"above what is seen", hybrid, "0::/../other\n", "/sys/fs/cgroup/unified", ""},
		{"no version 2 for us", hybrid, "4:memory:/x\n", "/sys/fs/cgroup/unified", ""},
		{"a mount of a part", "5 1 0:9 /docker/1 /cg rw - cgroup2 c rw\n", "0::/docker/1/sub\n", "/cg", "/cg/sub"},
		{"outside of the part", "5 1 0:9 /docker/1 /cg rw - cgroup2 c rw\n", "0::/docker/12\n", "/cg", ""},
		{"a place with a space", `5 1 0:9 / /my\040cg rw - cgroup2 c rw` + "\n", "0::/x\n", "/my cg", "/my cg/x"},
		{"none", "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n", "0::/\n", "", ""},
		{"broken lines", " - cgroup2\n5 1 0:9 / /x\n - \n", "0::/\n", "", ""},
	} {
		t.Run(tc.summary, func(t *testing.T) {
			h, ok := find(tc.mounts, tc.own)
			if ok != (tc.root != "") || h.Root != tc.root || h.Own != tc.want {
				t.Errorf("got %+v, %v", h, ok)
			}
		})
	}
}

// FuzzFind holds that whatever stands in the two files, a group is never found
// outside of the hierarchy.
func FuzzFind(f *testing.F) {
	f.Add("41 31 0:38 / /sys/fs/cgroup/unified rw shared:7 - cgroup2 cgroup2 rw\n", "0::/a/b\n")
	f.Add("5 1 0:9 /docker/1 /my\\040cg rw - cgroup2 c rw\n", "0::/docker/1/../../x\n")
	f.Fuzz(func(t *testing.T, mounts, own string) {
		h, ok := find(mounts, own)
		if !ok || h.Own == "" {
			return
		}
		if root := filepath.Clean(h.Root); h.Own != root && !strings.HasPrefix(h.Own, strings.TrimSuffix(root, "/")+"/") {
			t.Errorf("%q is not in %q", h.Own, h.Root)
		}
	})
}
