// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package idmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strings"

	"osbuild/runner/spec"
)

// Finding is one thing that starting containers stands on.
type Finding struct {
	// What is examined, for example "subordinate ids".
	What string `json:"what"`
	OK   bool   `json:"ok"`
	// Detail says what was found.
	Detail string `json:"detail"`
	// Remedy is a command or a sentence that mends it.
	Remedy string `json:"remedy,omitempty"`
}

// Doctor examines what the caller's containers need on this machine.
func Doctor() []Finding {
	u, err := user.Current()
	if err != nil {
		return []Finding{{What: "user", Detail: err.Error(), Remedy: "give the calling user a line in /etc/passwd"}}
	}
	out := []Finding{userNamespaces()}
	if u.Uid == "0" && Initial() {
		return append(out, Finding{What: "id ranges", OK: true, Detail: "root gives every container a range of its own"})
	}
	out = append(out, helper("newuidmap"), helper("newgidmap"))
	f := Finding{What: "subordinate ids", OK: true, Detail: fmt.Sprintf("%s has %d ids", u.Username, spec.Ids)}
	if _, err := Rootless(u); err != nil {
		f.OK = false
		f.Detail, _, _ = strings.Cut(err.Error(), "\nas root")
		f.Remedy = "as root, run: " + SystemFiles.Usermod(u.Username, spec.Ids)
	}
	return append(out, f)
}

// Helpers finds newuidmap and newgidmap.
func Helpers() (uidmap, gidmap string, err error) {
	uidmap, err1 := exec.LookPath("newuidmap")
	gidmap, err2 := exec.LookPath("newgidmap")
	if err1 != nil || err2 != nil {
		return "", "", fmt.Errorf("cannot map subordinate ids: %w\nas root, run: apt-get install uidmap", ErrNoHelper)
	}
	return uidmap, gidmap, nil
}

func helper(name string) Finding {
	f := Finding{What: name}
	p, err := exec.LookPath(name)
	if err != nil {
		f.Detail, f.Remedy = "not found in PATH", "as root, run: apt-get install uidmap"
		return f
	}
	f.OK, f.Detail = true, p
	return f
}

// sysctls that forbid user namespaces, with the value that does so.
var sysctls = []struct{ file, bad, remedy string }{
	{"/proc/sys/user/max_user_namespaces", "0", "as root, run: sysctl user.max_user_namespaces=15000"},
	// The rest is about users only.
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", "as root, run: sysctl kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "as root, run: sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
}

func userNamespaces() Finding {
	f := Finding{What: "user namespaces", OK: true, Detail: "enabled"}
	if _, err := os.Stat("/proc/self/ns/user"); err != nil {
		f.OK, f.Detail, f.Remedy = false, "this kernel has none", "boot a kernel built with CONFIG_USER_NS"
		return f
	}
	for i, s := range sysctls {
		if i > 0 && os.Geteuid() == 0 {
			break
		}
		data, err := os.ReadFile(s.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && strings.TrimSpace(string(data)) == s.bad {
			f.OK, f.Detail, f.Remedy = false, s.file+" is "+s.bad, s.remedy
			return f
		}
	}
	return f
}

// UserNamespaceRemedy says how to allow user namespaces when the kernel refused
// one, or "" when nothing forbids them.
func UserNamespaceRemedy() string { return userNamespaces().Remedy }
