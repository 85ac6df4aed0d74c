// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/spec"
)

// fake is a kernel that remembers what was asked of it, a line a call. A call
// that fails holds its errors, one for each time.
type fake struct {
	files map[string]string
	fail  map[string][]error
	calls []string
	// after changes the fake when a call was done.
	after map[string]func(*fake)
}

func (f *fake) call(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	f.calls = append(f.calls, line)
	if left := f.fail[line]; len(left) > 0 {
		f.fail[line] = left[1:]
		return left[0]
	}
	if then := f.after[line]; then != nil {
		then(f)
	}
	return nil
}

func (f *fake) Share(path string) error { return f.call("share %s", path) }

func (f *fake) ReadFile(name string) ([]byte, error) {
	text, ok := f.files[name]
	if !ok {
		return nil, &os.PathError{Op: "open", Path: name, Err: unix.ENOENT}
	}
	return []byte(text), f.call("read %s", name)
}

func (f *fake) Write(name, text string) error { return f.call("write %q to %s", text, name) }

func (f *fake) Mkdir(name string, mode uint32) error { return f.call("mkdir %#o %s", mode, name) }

func (f *fake) Chown(name string, uid, gid int) error {
	return f.call("chown %d:%d %s", uid, gid, name)
}

func (f *fake) Chmod(name string, mode uint32) error { return f.call("chmod %#o %s", mode, name) }

var names = account.ParseNames([]byte("root:x:0:0::/root:/bin/sh\n"), []byte("root:x:0:\ncgroup:x:987:alice\n"))

// do carries out one task, and gives its warnings and its error.
func do(t spec.Task, k Kernel) (warnings []string, failure string) {
	err := Run(spec.TaskPlan{Version: spec.Version, Tasks: []spec.Task{t}}, Options{
		Kernel: k, Machine: true, Names: names, Warn: func(line string) { warnings = append(warnings, line) },
	})
	if err != nil {
		failure = err.Error()
	}
	return warnings, failure
}

type taskCase struct {
	summary  string
	task     spec.Task
	kernel   fake
	calls    []string
	warnings []string
	failure  string
}

func check(t *testing.T, cases []taskCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.summary, func(t *testing.T) {
			warnings, failure := do(tc.task, &tc.kernel)
			if diff := cmp.Diff(tc.calls, tc.kernel.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.warnings, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if failure != tc.failure {
				t.Errorf("failure:\n got %q\nwant %q", failure, tc.failure)
			}
		})
	}
}

func TestShareMount(t *testing.T) {
	root := spec.Task{ShareMount: "/"}
	check(t, []taskCase{
		{summary: "the one mount", task: root, calls: []string{"share /"}},
		{
			summary: "without the privilege the rest goes on", task: root,
			kernel: fake{fail: map[string][]error{"share /": {unix.EPERM}}}, calls: []string{"share /"},
			warnings: []string{"cannot share the mount /: operation not permitted; what is mounted later does not reach containers of users that run already"},
		},
		{
			summary: "a folder is no mount", task: spec.Task{ShareMount: "/srv"},
			kernel: fake{fail: map[string][]error{"share /srv": {unix.EINVAL}}}, calls: []string{"share /srv"},
			failure: "cannot share the mount /srv: nothing is mounted there",
		},
		{
			summary: "another failure", task: root,
			kernel: fake{fail: map[string][]error{"share /": {unix.ENOMEM}}}, calls: []string{"share /"},
			failure: "cannot share the mount /: cannot allocate memory",
		},
	})
}

const cg = "/sys/fs/cgroup"

var seedControllers = []string{"cpu", "cpuset", "memory", "pids"}

func TestControllers(t *testing.T) {
	task := spec.Task{Controllers: &spec.Controllers{Root: cg, Enable: seedControllers}}
	const (
		look = "read /sys/fs/cgroup/cgroup.controllers"
		all  = `write "+cpu +cpuset +memory +pids" to /sys/fs/cgroup/cgroup.subtree_control`
		list = "read /sys/fs/cgroup/cgroup.procs"
		leaf = "mkdir 0755 /sys/fs/cgroup/init"
	)
	has := func(controllers string) map[string]string {
		return map[string]string{cg + "/cgroup.controllers": controllers + "\n", cg + "/cgroup.procs": "1\n0\n27\n"}
	}
	move := func(pid int) string { return fmt.Sprintf(`write "%d" to /sys/fs/cgroup/init/cgroup.procs`, pid) }
	empty := func(f *fake) { f.files[cg+"/cgroup.procs"] = "0\n" }
	check(t, []taskCase{
		{
			summary: "one write, in the order of the declaration", task: task,
			kernel: fake{files: has("cpuset cpu io memory hugetlb pids rdma misc")}, calls: []string{look, all},
		},
		{
			summary: "what the kernel lacks is left out and said", task: task,
			kernel: fake{files: has("cpuset io pids")}, calls: []string{look, `write "+cpuset +pids" to /sys/fs/cgroup/cgroup.subtree_control`},
			warnings: []string{"cannot limit cpu, memory in containers of users: the host gives the control group /sys/fs/cgroup no such controllers; delegate them to it there"},
		},
		{
			summary: "with none of them nothing is written", task: task,
			kernel: fake{files: has("hugetlb")}, calls: []string{look},
			warnings: []string{"cannot limit cpu, cpuset, memory, pids in containers of users: the host gives the control group /sys/fs/cgroup no such controllers; delegate them to it there"},
		},
		{
			summary: "without a control group the service fails", task: task,
			kernel:  fake{},
			failure: "cannot enable controllers: there is no control group at /sys/fs/cgroup; mount a file system of type cgroup2 there",
		},
		{
			summary: "members of the group move into a leaf first", task: task,
			kernel: fake{
				files: has("cpuset cpu memory pids"), fail: map[string][]error{all: {unix.EBUSY}},
				after: map[string]func(*fake){move(27): empty},
			},
			calls: []string{look, all, leaf, list, move(1), move(27), list, all},
		},
		{
			summary: "also into one that is there, and those that end meanwhile are let go", task: task,
			kernel: fake{
				files: has("cpuset cpu memory pids"),
				fail:  map[string][]error{all: {unix.EBUSY}, leaf: {unix.EEXIST}, move(1): {unix.ESRCH}},
				after: map[string]func(*fake){move(27): empty},
			},
			calls: []string{look, all, leaf, list, move(1), move(27), list, all},
		},
		{
			summary: "processes from outside stay", task: task,
			kernel: fake{
				files: has("cpuset cpu memory pids"), fail: map[string][]error{all: {unix.EBUSY, unix.EBUSY}},
				after: map[string]func(*fake){move(27): empty},
			},
			calls: []string{look, all, leaf, list, move(1), move(27), list, all},
			warnings: []string{
				`cannot limit cpu, cpuset, memory, pids in containers of users: cannot write "+cpu +cpuset +memory +pids" to ` +
					`/sys/fs/cgroup/cgroup.subtree_control: device or resource busy: processes from outside of this container are in the group`,
			},
		},
		{
			summary: "a group that is not ours to change", task: task,
			kernel: fake{files: has("cpuset cpu memory pids"), fail: map[string][]error{all: {unix.EACCES}}}, calls: []string{look, all},
			warnings: []string{
				`cannot limit cpu, cpuset, memory, pids in containers of users: cannot write "+cpu +cpuset +memory +pids" to ` +
					`/sys/fs/cgroup/cgroup.subtree_control: permission denied`,
			},
		},
		{
			summary: "processes that may not be moved", task: task,
			kernel: fake{
				files: has("cpuset cpu memory pids"),
				fail:  map[string][]error{all: {unix.EBUSY}, move(1): {unix.EACCES}},
			},
			calls: []string{look, all, leaf, list, move(1)},
			warnings: []string{
				`cannot limit cpu, cpuset, memory, pids in containers of users: cannot write "+cpu +cpuset +memory +pids" to ` +
					`/sys/fs/cgroup/cgroup.subtree_control: cannot move process 1 into /sys/fs/cgroup/init: permission denied`,
			},
		},
	})
}

// Processes that fork faster than they are moved do not keep the task busy for
// ever.
func TestMovingEnds(t *testing.T) {
	const all = `write "+pids" to /sys/fs/cgroup/cgroup.subtree_control`
	k := &fake{
		files: map[string]string{cg + "/cgroup.controllers": "pids\n", cg + "/cgroup.procs": "7\n"},
		fail:  map[string][]error{all: {unix.EBUSY, unix.EBUSY}},
	}
	warnings, failure := do(spec.Task{Controllers: &spec.Controllers{Root: cg, Enable: []string{"pids"}}}, k)
	if len(warnings) != 1 || failure != "" || !strings.Contains(warnings[0], "device or resource busy") {
		t.Errorf("got warnings %q and failure %q", warnings, failure)
	}
	moved := 0
	for _, line := range k.calls {
		if strings.HasPrefix(line, `write "7" to`) {
			moved++
		}
	}
	if moved != rounds {
		t.Errorf("process 7 was moved %d times, want %d", moved, rounds)
	}
}

func seedOwner(root string) spec.Task {
	return spec.Task{CgroupOwner: &spec.CgroupOwner{
		Root: root, User: "root", Group: "cgroup", DirMode: 0o775, FileMode: 0o664,
		Files: []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"},
	}}
}

func TestCgroupOwner(t *testing.T) {
	const first = "chown 0:987 /sys/fs/cgroup"
	const look = "read /sys/fs/cgroup/cgroup.controllers"
	group := map[string]string{cg + "/cgroup.controllers": "\n"}
	all := []string{
		look, first, "chmod 0775 /sys/fs/cgroup",
		"chown 0:987 /sys/fs/cgroup/cgroup.procs", "chmod 0664 /sys/fs/cgroup/cgroup.procs",
		"chown 0:987 /sys/fs/cgroup/cgroup.subtree_control", "chmod 0664 /sys/fs/cgroup/cgroup.subtree_control",
		"chown 0:987 /sys/fs/cgroup/cgroup.threads", "chmod 0664 /sys/fs/cgroup/cgroup.threads",
	}
	stranger := seedOwner(cg)
	stranger.CgroupOwner.Group = "nobodys"
	var cases []taskCase
	for _, err := range []error{unix.EPERM, unix.EROFS, unix.EINVAL, unix.EOVERFLOW} {
		cases = append(cases, taskCase{
			summary: "a group that is not ours: " + err.Error(), task: seedOwner(cg),
			kernel: fake{files: group, fail: map[string][]error{first: {err}}}, calls: []string{look, first},
			warnings: []string{"cannot make root:cgroup the owner of /sys/fs/cgroup: " + err.Error() + "; limits of containers of users have no effect"},
		})
	}
	check(t, append(cases, []taskCase{
		{summary: "owner, then mode, the folder first", task: seedOwner(cg), kernel: fake{files: group}, calls: all},
		{
			summary: "a file of which only the mode is refused", task: seedOwner(cg),
			kernel: fake{files: group, fail: map[string][]error{all[4]: {unix.EPERM}}}, calls: all[:5],
			warnings: []string{"cannot give /sys/fs/cgroup/cgroup.procs the mode 0664: operation not permitted; limits of containers of users have no effect"},
		},
		{
			summary: "no control group", task: seedOwner(cg),
			failure: "cannot give /sys/fs/cgroup away: there is no control group at /sys/fs/cgroup; mount a file system of type cgroup2 there",
		},
		{
			summary: "a file that is not there", task: seedOwner(cg),
			kernel: fake{files: group, fail: map[string][]error{all[3]: {unix.ENOENT}}}, calls: all[:4],
			failure: "cannot make root:cgroup the owner of /sys/fs/cgroup/cgroup.procs: no such file or directory",
		},
		{
			summary: "no such group of users", task: stranger,
			failure: `cannot give /sys/fs/cgroup away: there is no group "nobodys"`,
		},
	}...))
}

// A container that engines give all privileges, and the machine's own control
// groups with them, changes nothing there; one with its own does.
func TestMachineIsLeftAlone(t *testing.T) {
	for _, tc := range []struct {
		summary string
		task    spec.Task
		warning string
		calls   int
	}{
		{
			"controllers",
			spec.Task{Controllers: &spec.Controllers{Root: cg, Enable: seedControllers}},
			"cannot limit cpu, cpuset, memory, pids in containers of users by /sys/fs/cgroup: it is the control group of the whole machine; " +
				"give the container one of its own", 3,
		},
		{
			"owner", seedOwner(cg),
			"cannot make root:cgroup the owner of /sys/fs/cgroup: it is the control group of the whole machine; " +
				"give the container one of its own", 10,
		},
	} {
		for _, own := range []bool{false, true} {
			k := &fake{files: map[string]string{cg + "/cgroup.controllers": "cpu cpuset memory pids\n"}}
			want, calls := []string{tc.warning}, 1
			if own {
				k.files[cg+"/cgroup.type"] = "domain\n"
				want, calls = nil, tc.calls
			}
			var got []string
			err := Run(spec.TaskPlan{Tasks: []spec.Task{tc.task}}, Options{Kernel: k, Names: names, Warn: func(line string) { got = append(got, line) }})
			if err != nil || !cmp.Equal(got, want) || len(k.calls) != calls {
				t.Errorf("%s, own group %v: %v, warnings %q, calls %q", tc.summary, own, err, got, k.calls)
			}
		}
	}
}

func TestPlans(t *testing.T) {
	var k fake
	plan := spec.TaskPlan{Tasks: []spec.Task{{ShareMount: "/a"}, {ShareMount: "/b"}, {ShareMount: "/c"}}}
	k.fail = map[string][]error{"share /b": {unix.EIO}}
	err := Run(plan, Options{Kernel: &k})
	if !errors.Is(err, unix.EIO) || !cmp.Equal(k.calls, []string{"share /a", "share /b"}) {
		t.Errorf("the first task that fails is the last: got %v after %q", err, k.calls)
	}
	for _, tc := range []struct {
		summary string
		task    spec.Task
	}{
		{"nothing to do", spec.Task{}},
		{"two things to do", spec.Task{ShareMount: "/", CgroupOwner: &spec.CgroupOwner{}}},
	} {
		if err := Run(spec.TaskPlan{Tasks: []spec.Task{tc.task}}, Options{Kernel: &fake{}}); !errors.Is(err, ErrTask) {
			t.Errorf("%s: got %v, want %v", tc.summary, err, ErrTask)
		}
	}
}

// The whole chain on a tree that only looks like a control group.
func TestFakeTree(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP-ENV: owners need root")
	}
	root := t.TempDir()
	for name, text := range map[string]string{
		"cgroup.controllers": "cpuset cpu io memory pids\n", "cgroup.subtree_control": "",
		"cgroup.procs": "", "cgroup.threads": "", "cgroup.stat": "",
	} {
		if err := os.WriteFile(path.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, task := range []spec.Task{
		{Controllers: &spec.Controllers{Root: root, Enable: seedControllers}},
		seedOwner(root),
	} {
		if warnings, failure := do(task, System{}); len(warnings) > 0 || failure != "" {
			t.Fatalf("got warnings %q and failure %q", warnings, failure)
		}
	}
	written, err := os.ReadFile(path.Join(root, "cgroup.subtree_control"))
	if err != nil || string(written) != "+cpu +cpuset +memory +pids" {
		t.Errorf("cgroup.subtree_control holds %q (%v)", written, err)
	}
	for name, want := range map[string]string{
		"": "775 0:987", "cgroup.procs": "664 0:987", "cgroup.subtree_control": "664 0:987", "cgroup.threads": "664 0:987",
		"cgroup.controllers": "644 0:0", "cgroup.stat": "644 0:0",
	} {
		if got := stat(t, path.Join(root, name)); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
}

// A link in the place of a file is not followed.
func TestLinksAreRefused(t *testing.T) {
	dir := t.TempDir()
	target, link := path.Join(dir, "target"), path.Join(dir, "link")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := (System{}).Chmod(link, 0o666); !errors.Is(err, unix.ELOOP) {
		t.Errorf("chmod: got %v, want %v", err, unix.ELOOP)
	}
	if err := (System{}).Write(link, "x"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("write: got %v, want %v", err, unix.ELOOP)
	}
	if fi, err := os.Stat(target); err != nil || fi.Mode().Perm() != 0o600 || fi.Size() != 0 {
		t.Errorf("the target changed: %v %v", fi, err)
	}
}

func stat(t *testing.T, name string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%o %d:%d", st.Mode&0o7777, st.Uid, st.Gid)
}
