// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/spec"
)

// taskService is a one-shot whose program is a task plan.
func taskService(t *testing.T, dir, name string, requirement []string, tasks ...spec.Task) spec.Service {
	t.Helper()
	data, err := json.Marshal(spec.TaskPlan{Version: spec.Version, Tasks: tasks})
	if err != nil {
		t.Fatal(err)
	}
	program := "/osbuild/store/t-" + name
	if err := os.WriteFile(filepath.Join(dir, program), []byte("#!"+initPath+" task\n"+string(data)), 0o755); err != nil {
		t.Fatal(err)
	}
	return spec.Service{
		Provision: []string{name}, Requirement: requirement, AutoStart: true, OneShot: true,
		Start: spec.Start{Run: []spec.Process{{Argv: []string{program}}}}, Stop: spec.Stop{Kind: spec.StopNone},
	}
}

// The chain of rootless podman, on trees that look like control groups: what
// could not be done is in the status of the services, which are done all the
// same; only a tree that is none makes them fail, and what needs them.
func TestTasks(t *testing.T) {
	dir := image(t)
	for name, text := range map[string]string{
		"good/cgroup.controllers": "cpuset cpu memory pids\n", "good/cgroup.subtree_control": "", "good/cgroup.procs": "", "good/cgroup.threads": "",
		"poor/cgroup.controllers": "hugetlb pids\n", "poor/cgroup.subtree_control": "", "poor/cgroup.procs": "", "poor/cgroup.threads": "",
		"good/cgroup.type": "domain\n", "poor/cgroup.type": "domain\n",
		"whole/cgroup.controllers": "cpuset cpu memory pids\n", "whole/cgroup.subtree_control": "",
		"none/readme": "",
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var services []spec.Service
	for _, tree := range []string{"good", "poor", "whole", "none"} {
		services = append(
			services,
			taskService(t, dir, tree+"-limits", []string{"share"}, spec.Task{Controllers: &spec.Controllers{
				Root: "/" + tree, Enable: []string{"cpu", "cpuset", "memory", "pids"},
			}}),
			taskService(t, dir, tree+"-owner", []string{tree + "-limits"}, spec.Task{CgroupOwner: &spec.CgroupOwner{
				Root: "/" + tree, User: "root", Group: "users", DirMode: 0o775, FileMode: 0o664,
				Files: []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"},
			}}),
		)
	}
	services = append(services, taskService(t, dir, "share", nil, spec.Task{ShareMount: "/"}))
	plan, err := json.Marshal(spec.ServicePlan{Version: spec.Version, Services: services})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, systemPath, "services"), plan, 0o644); err != nil {
		t.Fatal(err)
	}

	m := bootImage(t, dir, false)
	reply := m.ask(spec.Request{Op: spec.OpWait, TimeoutMS: int(patience.Milliseconds())})
	got := map[string]spec.ServiceStatus{}
	for _, s := range reply.Services {
		got[s.Name] = s
	}
	root := os.Getuid() == 0
	owner := func(tree string) []string {
		if root {
			return nil
		}
		return []string{"cannot make root:users the owner of /" + tree + ": invalid argument; limits of containers of users have no effect"}
	}
	for name, want := range map[string][]string{
		"share":       nil,
		"good-limits": nil,
		"good-owner":  owner("good"),
		"poor-limits": {"cannot limit cpu, cpuset, memory in containers of users: the host gives the control group /poor no such controllers; delegate them to it there"},
		"poor-owner":  owner("poor"),
		"whole-limits": {"cannot limit cpu, cpuset, memory, pids in containers of users by /whole: it is the control group of the whole machine; " +
			"give the container one of its own"},
		"whole-owner": {"cannot make root:users the owner of /whole: it is the control group of the whole machine; " +
			"give the container one of its own"},
	} {
		if s := got[name]; s.State != spec.StateDone || !slices.Equal(s.Warnings, want) {
			t.Errorf("%s is %s with the warnings %q, want %q", name, s.State, s.Warnings, want)
		}
	}
	if s := got["none-limits"]; s.State != spec.StateFailed ||
		!strings.Contains(s.Reason, "cannot enable controllers: there is no control group at /none; mount a file system of type cgroup2 there") {
		t.Errorf("none-limits is %s: %q", s.State, s.Reason)
	}
	if s := got["none-owner"]; s.State != spec.StateFailed || !strings.Contains(s.Reason, "none-limits") {
		t.Errorf("none-owner is %s: %q", s.State, s.Reason)
	}
	for tree, want := range map[string]string{"good": "+cpu +cpuset +memory +pids", "poor": "+pids", "whole": ""} {
		if diff := cmp.Diff(want, m.file(tree+"/cgroup.subtree_control")); diff != "" {
			t.Errorf("%s/cgroup.subtree_control (-want +got):\n%s", tree, diff)
		}
	}
	if root {
		users, err := account.ParseNames(nil, []byte(m.file("etc/group"))).Group("users")
		if err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]uint32{"": 0o775, "cgroup.procs": 0o664, "cgroup.subtree_control": 0o664, "cgroup.threads": 0o664} {
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(dir, "good", name), &st); err != nil {
				t.Fatal(err)
			}
			if st.Uid != 0 || int(st.Gid) != users || st.Mode&0o7777 != mode {
				t.Errorf("good/%s is %d:%d %o, want 0:%d %o", name, st.Uid, st.Gid, st.Mode&0o7777, users, mode)
			}
		}
	}
	if status, out := m.run("herd", "status", "poor-limits"); status != 0 || !strings.Contains(out, "cannot limit cpu, cpuset, memory") {
		t.Errorf("herd status poor-limits: %d\n%s", status, out)
	}
}

func TestTaskArguments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan")
	if err := os.WriteFile(file, []byte(`{"version":1,"tasks":[{}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		summary string
		args    []string
		want    string
	}{
		{"no plan", nil, "task takes the absolute path of a task plan"},
		{"two plans", []string{file, file}, "task takes the absolute path of a task plan"},
		{"a relative path", []string{"plan"}, "task takes the absolute path of a task plan"},
		{"a plan that is not there", []string{file + "x"}, "no such file or directory"},
		{"a task without anything to do", []string{file}, "cannot do task 1: a task has exactly one thing to do"},
	} {
		if _, err := runTask(tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.summary, err, tt.want)
		}
	}
}
