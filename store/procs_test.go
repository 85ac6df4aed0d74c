// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/store"
)

// fakeProc makes a folder as the kernel shows processes; of files whose name
// ends in "maps" or "comm" the value is the text, of others the link's target.
func fakeProc(t *testing.T, files map[string]string) string {
	t.Helper()
	proc := t.TempDir()
	for name, value := range files {
		path := filepath.Join(proc, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch filepath.Base(name) {
		case "maps", "comm":
			err = errors.Join(err, os.WriteFile(path, []byte(value), 0o644))
		default:
			err = errors.Join(err, os.Symlink(value, path))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return proc
}

func TestScanProc(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir+"/root")
	p := diamond(t, s)
	// The kernel does not show the link through which a store was opened.
	if err := os.Symlink(dir+"/root", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	through := openAt(t, dir+"/link")
	left, lone := s.Physical(p["left"]), s.Physical(p["lone"])
	const line = "7f0000000000-7f0000001000 r-xp 00000000 fe:00 1234    "
	tests := []struct {
		summary string
		files   map[string]string
		kept    []string
	}{
		{"no processes", map[string]string{"sys/exe": lone, "self": "12"}, nil},
		{"a program", map[string]string{"12/exe": lone}, []string{"lone"}},
		{"a working folder, below an item", map[string]string{"12/cwd": lone + "/sub/dir"}, []string{"lone"}},
		{"a root", map[string]string{"12/root": lone}, []string{"lone"}},
		{"an open file, and what that item needs", map[string]string{"12/fd/3": "pipe:[77]", "12/fd/9": left + "/f"}, []string{"bottom", "left"}},
		{"a logical path", map[string]string{"12/fd/3": string(p["lone"]) + "/f"}, []string{"lone"}},
		{"what has no name any more", map[string]string{"12/fd/3": lone + " (deleted)"}, []string{"lone"}},
		{"mappings", map[string]string{"12/maps": line + "\n" + line + "[heap]\n" + line + "/usr/bin/x\n" + line + lone + "\n" + line + lone + "\n" + line + left + "/lib"}, []string{"bottom", "left", "lone"}},
		{"several processes", map[string]string{"12/exe": lone, "13/exe": left, "13/cwd": "/", "14/comm": "ended\n"}, []string{"bottom", "left", "lone"}},
		{"another root", map[string]string{"12/exe": "/elsewhere/store/" + p["lone"].Base(), "12/maps": line + "/x" + lone + "\n"}, nil},
		{"no item", map[string]string{"12/exe": s.Root() + "/store/.x", "12/cwd": s.Root() + "/store", "12/maps": "/\n/" + "\n" + s.Root() + "/store/"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			proc := fakeProc(t, tt.files)
			for _, s := range []*store.Store{s, through} {
				freed := gc(t, s, store.GCOptions{DryRun: true, ScanProc: proc})
				for name := range p {
					if slices.Contains(freed, name) == slices.Contains(tt.kept, name) {
						t.Errorf("%s: would free %q", s.Root(), freed)
						break
					}
				}
			}
		})
	}
	proc := fakeProc(t, map[string]string{"12/exe": left, "12/comm": "some thing\n"})
	chain, err := s.WhyAlive(p["bottom"], store.GCOptions{ScanProc: proc})
	if want := []string{`open in "some thing" (process 12)`, string(p["left"]), string(p["bottom"])}; err != nil || !slices.Equal(chain, want) {
		t.Errorf("why: %q, %v", chain, err)
	}
	if _, err := s.GC(context.Background(), store.GCOptions{ScanProc: dir + "/none"}); err == nil || !strings.Contains(err.Error(), "cannot look for what processes use") {
		t.Errorf("no such folder: %v", err)
	}
	if all, err := s.All(); err != nil || len(all) != len(p) {
		t.Errorf("after that %q remain, %v", all, err)
	}
}

// What this very process has open and mapped is seen by the kernel's own word.
func TestScanProcReal(t *testing.T) {
	s := open(t)
	p := diamond(t, s)
	f, err := os.Open(s.Physical(p["left"]))
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := os.Open(s.Physical(p["lone"]))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(int(mapped.Fd()), 0, 1, unix.PROT_READ, unix.MAP_PRIVATE)
	if err := errors.Join(err, mapped.Close()); err != nil {
		t.Fatal(err)
	}
	if got, want := gc(t, s, store.GCOptions{ScanProc: "/proc"}), []string{"top", "right"}; !slices.Equal(got, want) {
		t.Errorf("freed %q, want %q", got, want)
	}
	chain, err := s.WhyAlive(p["lone"], store.GCOptions{ScanProc: "/proc"})
	if err != nil || len(chain) != 2 || !strings.HasSuffix(chain[0], fmt.Sprintf("(process %d)", os.Getpid())) {
		t.Errorf("why: %q, %v", chain, err)
	}
	if err := errors.Join(f.Close(), unix.Munmap(mem)); err != nil {
		t.Fatal(err)
	}
	if got := gc(t, s, store.GCOptions{ScanProc: "/proc"}); len(got) != 3 {
		t.Errorf("freed %q", got)
	}
}

// No process can stop collections by where it is: the kernel does not tell a
// path of more than a page.
func TestScanProcDeep(t *testing.T) {
	s := open(t)
	p := diamond(t, s)
	name := strings.Repeat("x", 200)
	fd, err := unix.Open(t.TempDir(), unix.O_PATH|unix.O_CLOEXEC, 0)
	for k := 0; err == nil && k < 30; k++ {
		above := fd
		if err = unix.Mkdirat(above, name, 0o755); err == nil {
			fd, err = unix.Openat(above, name, unix.O_PATH|unix.O_CLOEXEC, 0)
		}
		err = errors.Join(err, unix.Close(above))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("the kernel tells it: %v", err)
	}
	if got := gc(t, s, store.GCOptions{ScanProc: "/proc"}); len(got) != len(p) {
		t.Errorf("freed %q", got)
	}
}
