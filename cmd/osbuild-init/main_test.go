// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// TestMain lets the test binary be osbuild-init, what puts it into a system,
// and the programs of that system.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == herdName {
		main()
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "init", "activate", "task", "herd", "become":
			main()
		case "enter-for-test":
			fmt.Fprintln(os.Stderr, enter(os.Args[2], os.Args[3]))
			os.Exit(1)
		case "helper":
			os.Exit(helper(os.Args[2:]))
		}
	}
	os.Exit(m.Run())
}

// libraries are where those of this machine lie.
var libraries = []string{"/lib", "/lib64", "/usr/lib"}

// enter makes the folder dir the root and executes a file there, by the
// kernel's own way with `#!`.
func enter(dir, file string) error {
	type mount struct {
		source, target, kind string
		flags                uintptr
	}
	mounts := []mount{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{dir, dir, "", unix.MS_BIND},
		{"proc", dir + "/proc", "proc", 0},
		{"run", dir + "/run", "tmpfs", unix.MS_NOSUID},
		{"/dev/null", dir + "/dev/null", "", unix.MS_BIND},
	}
	// Unlike osbuild-init, the test binary may be linked dynamically.
	for _, lib := range libraries {
		if _, err := os.Stat(lib); err == nil {
			mounts = append(mounts, mount{lib, dir + lib, "", unix.MS_BIND | unix.MS_REC})
		}
	}
	for _, m := range mounts {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := unix.Chroot(dir); err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return unix.Exec(file, []string{file}, []string{"HOME=/root"})
}

func helper(args []string) int {
	switch args[0] {
	case "echo":
		fmt.Println(strings.Join(args[1:], " "))
	case "fail":
		fmt.Println(strings.Join(args[1:], " "))
		return 3
	case "greet":
		fmt.Println("greets", args[1:], "as", os.Environ())
	case "wait":
		fmt.Println(os.Getuid(), "waits in", fmt.Sprint(os.Environ()))
		time.Sleep(time.Hour)
	case "passwd": // as passwd(1) writes it
		data, _ := os.ReadFile("/etc/shadow")
		data = []byte(strings.ReplaceAll(string(data), "alice:!:", "alice:$6$new:"))
		if err := os.WriteFile("/etc/nshadow", data, 0o600); err != nil {
			fmt.Println(err)
			return 1
		}
		if err := os.Rename("/etc/nshadow", "/etc/shadow"); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

func TestDecodePlan(t *testing.T) {
	for _, tt := range []struct{ summary, text, want string }{
		{"a plan", `{"version":1,"activate":"/a","services":"/s"}`, ""},
		{"a script", "#!/osbuild/store/x/bin/osbuild-init init\n{\"version\":1,\"activate\":\"/a\",\"services\":\"/s\"}\n", ""},
		{"a plan of a later version", `{"version":2}`, "it has format version 2 and this osbuild-init knows version 1"},
		{"no version", `{}`, "format version 0"},
		{"nothing", ``, "it is not a plan"},
		{"only a first line", "#!/x", "it is not a plan"},
		{"something behind", `{"version":1} {"version":1}`, "it is not a plan"},
		{"another type", `{"version":1,"activate":7}`, "cannot read /boot: json: cannot unmarshal number"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			var boot spec.BootPlan
			err := decodePlan("/boot", []byte(tt.text), &boot)
			switch {
			case tt.want == "" && (err != nil || boot.Activate != "/a"):
				t.Errorf("%+v, %v", boot, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzDecodePlan(f *testing.F) {
	f.Add([]byte("#!/x\n{\"version\":1}"))
	f.Add([]byte("{\"version\":1}x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var plan spec.ServicePlan
		if err := decodePlan("plan", data, &plan); err == nil && plan.Version != spec.Version {
			t.Errorf("a plan of version %d is taken", plan.Version)
		}
	})
}

func TestMappedIds(t *testing.T) {
	for _, tt := range []struct {
		summary, text string
		want          int
	}{
		{"a machine", "         0          0 4294967295\n", 0},
		{"a container that root started", "0 524288 65536\n", 65536},
		{"a container that a user started", "0 1000 1\n1 100000 65535\n", 65536},
		{"in another order", "1 100000 65535\n0 1000 1\n", 65536},
		{"a single id", "0 1000 1\n", 1},
		{"a gap", "0 1000 1\n1000 100000 5\n", 1},
		{"nonsense", "x\n", 0},
	} {
		file := filepath.Join(t.TempDir(), "uid_map")
		if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := mappedIds(file); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.summary, got, tt.want)
		}
	}
}
