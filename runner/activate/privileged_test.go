// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// fakeMounts notes what it is asked for.
type fakeMounts struct {
	did    []string
	refuse error
}

func (m *fakeMounts) PermitSetID(dir string) error {
	m.did = append(m.did, "permit "+dir)
	return nil
}

func (m *fakeMounts) Bind(source, target string) error {
	m.did = append(m.did, "bind "+source+" "+target)
	return m.refuse
}

func (m *fakeMounts) Unmount(target string) error {
	m.did = append(m.did, "unmount "+target)
	return nil
}

// TestPrivilegedPlaces has programs in the store and in /usr, with and without
// privileges already, where mounts are permitted and where not.
func TestPrivilegedPlaces(t *testing.T) {
	me, mine := fmt.Sprint(os.Getuid()), fmt.Sprint(os.Getgid())
	setuid := func(program string) spec.Privileged {
		return spec.Privileged{Program: program, Setuid: true, User: me, Group: mine}
	}
	const files = `
		/osbuild/store/a/bin/ping 0555 ping
		/osbuild/store/a/bin/sudo 0555 sudo
		/osbuild/store/pkg/usr -> /usr
		/usr/bin/su 0755 su
		/usr/bin/mount 0755 mount
		/usr/bin/passwd 04755 passwd
		/usr/bin/sudo -> /osbuild/store/a/bin/sudo
	`
	all := []spec.Privileged{
		setuid("/osbuild/store/a/bin/ping"), setuid("/usr/bin/su"), setuid("/osbuild/store/pkg/usr/bin/mount"),
		setuid("/usr/bin/passwd"), setuid("/usr/bin/sudo"),
	}
	const copies = `d 0755 0:0       /run/privileged/bin
f 4555 0:0       /run/privileged/bin/mount "mount"
l                /run/privileged/bin/passwd -> /usr/bin/passwd
f 4555 0:0       /run/privileged/bin/ping "ping"
f 4555 0:0       /run/privileged/bin/su "su"
f 4555 0:0       /run/privileged/bin/sudo "sudo"
`
	for _, tt := range []struct {
		summary  string
		declared []spec.Privileged
		refuse   error
		did      []string
		places   string
		status   string
		bin      string
	}{
		{
			"a container", all, nil,
			[]string{
				"permit /run/privileged/bin", "bind /run/privileged/bin/su /usr/bin/su",
				"bind /run/privileged/bin/mount /usr/bin/mount", "bind /run/privileged/bin/sudo /osbuild/store/a/bin/sudo",
			},
			"/usr/bin/su\n/usr/bin/mount\n/osbuild/store/a/bin/sudo\n", "", copies,
		},
		{
			"an engine", all, unix.EPERM,
			[]string{"permit /run/privileged/bin", "bind /run/privileged/bin/su /usr/bin/su"},
			"", "privileged p skipped: programs are privileged in /run/privileged/bin only, not at their places in /usr: nothing can be mounted here: operation not permitted\n", copies,
		},
		{
			"an engine, and an image that has all", all[3:4], unix.EPERM,
			nil, "", "", "d 0755 0:0       /run/privileged/bin\nl                /run/privileged/bin/passwd -> /usr/bin/passwd\n",
		},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			s := newSandbox(t, files)
			var st unix.Statfs_t
			if err := unix.Statfs(s.dir, &st); err != nil || st.Flags&unix.ST_NOSUID != 0 {
				t.Skip("SKIP-ENV: the folder for temporary files takes no set-id programs")
			}
			mounts := &fakeMounts{refuse: tt.refuse}
			o := Options{Mounts: mounts}
			statuses := Run(s.Root, spec.ActivationPlan{Steps: []spec.Step{{Phase: spec.PhasePrivileged, Name: "p", Privileged: tt.declared}}}, o)
			if diff := cmp.Diff(tt.status, report(statuses)); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.did, mounts.did); diff != "" {
				t.Errorf("mounts (-want +got):\n%s", diff)
			}
			places, _ := os.ReadFile(s.dir + placesFile)
			if string(places) != tt.places {
				t.Errorf("places: %q, want %q", places, tt.places)
			}
			if diff := cmp.Diff(tt.bin, strings.ReplaceAll(s.dump("/run/privileged/bin"), me+":"+mine, "0:0")); diff != "" {
				t.Errorf("copies (-want +got):\n%s", diff)
			}
			// A system that declares none takes all away again.
			if statuses := Run(s.Root, spec.ActivationPlan{}, o); len(statuses) > 0 {
				t.Error(report(statuses))
			}
			if got := s.dump("/run/privileged"); got != "d 0755 0:0       /run/privileged\nd 0755 0:0       /run/privileged/bin\n" {
				t.Errorf("left over:\n%s", got)
			}
		})
	}
}
