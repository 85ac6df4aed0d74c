// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/runner/spec"
)

// sums describes every file of a tree: mode, owner and content.
func sums(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %o %d:%d", path, st.Mode, st.Uid, st.Gid)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Container root has every capability in its own namespaces. It must still not
// be able to change an item, /usr or an exposed folder of the host.
func TestProbeFromContainer(t *testing.T) {
	r := newRig(t, nil)
	expose := r.folder("expose")
	if err := os.WriteFile(filepath.Join(expose, "file"), []byte("host"), 0o666); err != nil {
		t.Fatal(err)
	}
	r.folder("expose/sub")
	single := filepath.Join(r.dir, "single")
	if err := os.WriteFile(single, []byte("host"), 0o666); err != nil {
		t.Fatal(err)
	}
	r.write("more/share/doc", []byte("x"), 0o644)
	r.items = append(r.items, spec.Item{Logical: itemPath("more"), Physical: r.physical("more")})
	before := sums(t, r.dir+"/store") + sums(t, expose) + sums(t, single)
	targets := []string{spec.StoreDir, "/usr", "/usr/bin", "/exposed", "/exposed/sub", "/etc/single"}
	for _, i := range r.items {
		targets = append(targets, i.Logical)
	}
	for _, lowers := range []int{1, 2} {
		t.Run(fmt.Sprintf("usr of %d", lowers), func(t *testing.T) {
			o := r.options("")
			o.Command = append([]string{itemPath("probe") + "/bin/probe"}, targets...)
			o.Mappings = []spec.Mapping{{Source: expose, Target: "/exposed"}, {Source: single, Target: "/etc/single"}}
			if lowers == 2 {
				o.Container.Root.Usr = append(o.Container.Root.Usr, spec.Lower{Item: itemPath("more")})
			}
			if out := r.script(o); out != "probe: done\n" {
				t.Errorf("got:\n%s", out)
			}
		})
	}
	if after := sums(t, r.dir+"/store") + sums(t, expose) + sums(t, single); after != before {
		t.Errorf("files of the host were changed:\n%s\nbefore:\n%s", after, before)
	}
}

// A submount below an exposed folder is read-only too.
func TestProbeSubmount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP-ENV: only root can mount on the host")
	}
	r := newRig(t, nil)
	sub := r.folder("expose/sub")
	if err := unix.Mount("tmpfs", sub, "tmpfs", 0, "mode=0777"); err != nil {
		t.Skip("SKIP-ENV: cannot mount on the host: " + err.Error())
	}
	defer func() { _ = unix.Unmount(sub, unix.MNT_DETACH) }()
	o := r.options("")
	o.Command = []string{itemPath("probe") + "/bin/probe", "/exposed", "/exposed/sub"}
	o.Mappings = []spec.Mapping{{Source: filepath.Dir(sub), Target: "/exposed"}}
	if out := r.script(o); out != "probe: done\n" {
		t.Errorf("got:\n%s", out)
	}
}

// An item is what its builder made of it. A link in it must not bring a folder
// of the host to /usr.
func TestProbeUsrThroughLink(t *testing.T) {
	r := newRig(t, nil)
	secret := r.folder("secret")
	if err := os.MkdirAll(r.physical("evil"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(r.physical("evil"), "usr")); err != nil {
		t.Fatal(err)
	}
	r.items = append(r.items, spec.Item{Logical: itemPath("evil"), Physical: r.physical("evil")})
	evil := spec.Lower{Item: itemPath("evil"), Sub: "usr"}
	for _, usr := range [][]spec.Lower{{evil}, {{Item: itemPath("busybox")}, evil}} {
		o := r.options("true")
		o.Container.Root.Usr = usr
		if _, _, err := r.run(o); !errors.Is(err, unix.ELOOP) {
			t.Errorf("with %v: %v", usr, err)
		}
	}
}

// A share's own links must not lead a mount to another place of the host.
func TestProbeTargetThroughLink(t *testing.T) {
	r := newRig(t, nil)
	share, other, victim := r.folder("share"), r.folder("other"), r.folder("victim")
	if err := os.Symlink(victim, filepath.Join(share, "link")); err != nil {
		t.Fatal(err)
	}
	o := r.options("true")
	o.Mappings = []spec.Mapping{
		{Source: share, Target: "/share", Writable: true},
		{Source: other, Target: "/share/link/x"},
	}
	if _, _, err := r.run(o); err == nil {
		t.Error("a target through a symbolic link was taken")
	}
	if entries, err := os.ReadDir(victim); err != nil || len(entries) != 0 {
		t.Errorf("the host's folder was changed: %v, %v", entries, err)
	}
}

func TestProbeHostMountsDoNotAppear(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP-ENV: only root can mount on the host")
	}
	r := newRig(t, nil)
	share := r.folder("share/sub")
	// A shared mount is what systemd makes of everything.
	host := filepath.Dir(share)
	if err := unix.Mount(host, host, "", unix.MS_BIND, ""); err != nil {
		t.Skip("SKIP-ENV: cannot mount on the host: " + err.Error())
	}
	defer func() { _ = unix.Unmount(host, unix.MNT_DETACH) }()
	if err := unix.Mount("", host, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	o := r.options("")
	o.Mappings = []spec.Mapping{{Source: host, Target: "/share", Writable: true}}
	i, _ := r.background(o)
	if err := unix.Mount("tmpfs", share, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(share, unix.MNT_DETACH) }()
	if err := os.WriteFile(filepath.Join(share, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out := r.exec(i, spec.Process{Argv: []string{"/usr/bin/ls", "/share/sub"}})
	if strings.Contains(out, "new") {
		t.Errorf("a mount of the host appeared: %s", out)
	}
	// And the other way round.
	r.exec(i, spec.Process{Argv: []string{"/usr/bin/mount", "-t", "tmpfs", "none", "/share"}})
	if _, err := os.Stat(filepath.Join(host, "sub")); err != nil {
		t.Errorf("a mount of the container reached the host: %v", err)
	}
}

func TestProbeAbstractSocket(t *testing.T) {
	r := newRig(t, nil)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: "@osbuild-test-abstract"}); err != nil {
		t.Fatal(err)
	}
	out := r.script(r.options(`cat /proc/net/unix`))
	if strings.Contains(out, "osbuild-test-abstract") {
		t.Errorf("an abstract socket of the host is visible: %s", out)
	}
}

// The caller's session keyring is not the container's.
func TestProbeSessionKeyring(t *testing.T) {
	ours, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
	if err != nil {
		t.Skip("SKIP-ENV: this kernel keeps no keys: " + err.Error())
	}
	r := newRig(t, nil)
	o := r.options("")
	o.Command = []string{itemPath("probe") + "/bin/probe", "--session"}
	var theirs int
	if _, err := fmt.Sscan(r.script(o), &theirs); err != nil || theirs == ours || theirs == 0 {
		t.Errorf("our keyring is %d, the container's %d, %v", ours, theirs, err)
	}
}

func TestProbeHostNameStaysInside(t *testing.T) {
	before, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, nil)
	r.script(r.options(`hostname intruder; test $(hostname) = intruder`))
	if after, _ := os.Hostname(); after != before {
		t.Errorf("the host is now called %s", after)
	}
}

// Files of another container's range are out of reach.
func TestProbeFilesOfAnotherRange(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a user has one range for all containers")
	}
	r := newRig(t, nil)
	file := filepath.Join(r.folder("mine"), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := r.options("")
	o.Name = "one"
	one, _ := r.background(o)
	if err := os.Chown(file, one.FirstID, one.FirstID); err != nil {
		t.Fatal(err)
	}
	o = r.options("cat /mine/file 2>&1; echo hack >/mine/file; true")
	o.Name = "two"
	o.Mappings = []spec.Mapping{{Source: filepath.Dir(file), Target: "/mine", Writable: true}}
	if out := r.script(o); !strings.Contains(out, "Permission denied") {
		t.Errorf("got %s", out)
	}
	if data, _ := os.ReadFile(file); string(data) != "x" {
		t.Errorf("the file was written: %s", data)
	}
}

// What a caller opened for reading stays as it is, whoever root of the container
// is on the host.
func TestInputStaysReadOnly(t *testing.T) {
	r := newRig(t, nil)
	path := filepath.Join(r.dir, "input")
	if err := os.WriteFile(path, []byte("precious\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = "cat; for f in /proc/self/fd/0 /proc/1/fd/0; do echo changed >>$f; done 2>/dev/null; true"
	input := func() *os.File {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	o := r.options(script)
	o.Stdin = input()
	if out := r.script(o); out != "precious\n" {
		t.Errorf("the command read %q", out)
	}
	i, _ := r.background(r.options(""))
	out, exit, err := capture(t, func(out *os.File) (spec.Exit, error) {
		return i.Exec(t.Context(), sh(script), Stdio{In: input(), Out: out}, false)
	})
	if err != nil || exit.Status() != 0 || out != "precious\n" {
		t.Errorf("exec: %q, %+v, %v", out, exit, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

// Without a command nothing of the caller's is left in the container.
func TestNothingOfTheCallers(t *testing.T) {
	r := newRig(t, nil)
	o := r.options("")
	file, err := os.Create(filepath.Join(r.dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	o.Stdin, o.Stdout, o.Stderr = file, file, file
	i, _ := r.background(o)
	want := "/dev/null\n/dev/null\n" + i.ConsoleLog() + "\n"
	if got := r.exec(i, sh("for n in 0 1 2; do readlink /proc/1/fd/$n; done")); got != want {
		t.Errorf("PID 1 has\n%swant\n%s", got, want)
	}
}
