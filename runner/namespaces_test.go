// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// What a container is to those inside, and to those who enter it: the cases
// that docs/guix-cases.md names.
func TestNamespaces(t *testing.T) {
	r := newRig(t, nil)
	expose := r.folder("expose")
	o := r.options("")
	o.Container.Mounts = []spec.Mount{{Kind: spec.MountTmpfs, Target: "/testing"}}
	o.Mappings = []spec.Mapping{{Source: expose, Target: "/exposed"}}
	i, _ := r.background(o)

	t.Run("a declared tmpfs is there", func(t *testing.T) {
		if got := r.exec(i, sh("stat -f -c %T /testing; touch /testing/x && echo written")); got != "tmpfs\nwritten\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("what the runner mounted cannot be taken away", func(t *testing.T) {
		for _, target := range []string{"/exposed", "/usr", spec.StoreDir} {
			out, exit, err := r.tryExec(i, sh("umount "+target), false)
			// umount(2): EINVAL, because the mount is locked; see mount_namespaces(7).
			if err != nil || exit.Status() == 0 || !strings.Contains(out, "Invalid argument") {
				t.Errorf("umount %s: %q, %+v, %v", target, out, exit, err)
			}
		}
	})
	t.Run("PID 1 can mount and unmount", func(t *testing.T) {
		if got := r.exec(i, sh("mkdir /own && mount -t tmpfs none /own && umount /own && echo done")); got != "done\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("who enters is in all six namespaces", func(t *testing.T) {
		const list = "cd /proc/%s/ns && for n in ipc mnt net pid user uts; do readlink $n; done"
		inside := r.exec(i, sh(fmt.Sprintf(list, "self")))
		init := r.exec(i, sh(fmt.Sprintf(list, "1")))
		if inside != init || strings.Count(inside, "\n") != 6 {
			t.Errorf("entered %q, PID 1 is in %q", inside, init)
		}
	})
	t.Run("who enters sees the container's processes and itself", func(t *testing.T) {
		out := r.exec(i, sh("echo $$ /proc/[0-9]*"))
		f := strings.Fields(out)
		if len(f) != 3 || f[1] != "/proc/1" || f[2] != "/proc/"+f[0] {
			t.Errorf("/proc shows %q", out)
		}
	})
	t.Run("who enters gives its status back", func(t *testing.T) {
		if _, exit, err := r.tryExec(i, sh("exit 42"), false); err != nil || exit != (spec.Exit{Code: 42}) {
			t.Errorf("got %+v, %v", exit, err)
		}
	})
}

// Namespaces that a container shares with whoever enters it are left out, and
// are no obstacle.
func TestEnterSharedNamespaces(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("")
	o.Network = spec.NetworkHost
	i, _ := r.background(o)
	if _, exit, err := r.tryExec(i, sh("exit 42"), false); err != nil || exit != (spec.Exit{Code: 42}) {
		t.Errorf("got %+v, %v", exit, err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		t.Fatal(err)
	}
	if got := r.exec(i, sh("readlink /proc/self/ns/net")); got != fmt.Sprintf("net:[%d]\n", st.Ino) {
		t.Errorf("the network is %q, the host's is %d", got, st.Ino)
	}
}

// What cannot be mounted is an error of the caller's own, which says what the
// kernel said.
func TestMissingSourceIsAnErrorOfTheCaller(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("true")
	o.Mappings = []spec.Mapping{{Source: r.dir + "/none", Target: "/x"}}
	if _, _, err := r.run(o); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v", err)
	}
}

// A program over its closure: the first process that it starts is the third of
// its namespace, the program itself the second, since PID 1 is the reaper.
func TestEvalNumbersItsProcesses(t *testing.T) {
	r := newRig(t, nil)
	p := r.program("echo $$; sh -c 'echo $$'; stat -c %a /")
	out, exit, err := r.eval(p)
	if err != nil || exit.Status() != 0 || out != "2\n3\n755\n" {
		t.Errorf("got %q, %+v, %v", out, exit, err)
	}
}
