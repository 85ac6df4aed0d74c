// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// sandbox is a root folder for a test. Owners are recorded, so that a test
// needs no privilege; refuse makes setting others than root fail.
type sandbox struct {
	*tree.Root
	t      *testing.T
	dir    string
	owners map[string]string
	refuse error
}

func newSandbox(t *testing.T, files string) *sandbox {
	t.Helper()
	s := &sandbox{t: t, dir: t.TempDir(), owners: map[string]string{}}
	root, err := tree.Open(s.dir, func(_ int, path string, uid, gid int) error {
		if s.refuse != nil && (uid != 0 || gid != 0) {
			return s.refuse
		}
		s.owners[path] = fmt.Sprintf("%d:%d", uid, gid)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	s.Root = root
	s.make(files)
	return s
}

// make makes files from lines: "PATH/ MODE", "PATH -> TARGET" or
// "PATH MODE CONTENT", where \n in the content is a new line.
func (s *sandbox) make(files string) {
	s.t.Helper()
	check := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	for line := range strings.Lines(files) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if path, target, ok := strings.Cut(line, " -> "); ok {
			check(os.MkdirAll(filepath.Dir(filepath.Join(s.dir, path)), 0o755))
			check(os.Symlink(target, filepath.Join(s.dir, path)))
			continue
		}
		path, rest, _ := strings.Cut(line, " ")
		mode, content, _ := strings.Cut(rest, " ")
		bits, err := strconv.ParseUint(mode, 8, 32)
		check(err)
		full := filepath.Join(s.dir, path)
		if strings.HasSuffix(path, "/") {
			check(os.MkdirAll(full, 0o755))
		} else {
			check(os.MkdirAll(filepath.Dir(full), 0o755))
			check(os.WriteFile(full, []byte(strings.ReplaceAll(content, `\n`, "\n")), 0o644))
		}
		check(unix.Chmod(full, uint32(bits)))
	}
}

// dump lists a tree: type, mode, owner, path, and the target or content.
func (s *sandbox) dump(below ...string) string {
	s.t.Helper()
	var out strings.Builder
	for _, top := range below {
		err := filepath.WalkDir(filepath.Join(s.dir, top), func(full string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil {
				return err
			}
			path := strings.TrimPrefix(full, s.dir)
			var st unix.Stat_t
			if err := unix.Lstat(full, &st); err != nil {
				return err
			}
			owner, ok := s.owners[path]
			if !ok {
				owner = "0:0"
			}
			switch {
			case d.IsDir():
				fmt.Fprintf(&out, "d %04o %-9s %s\n", st.Mode&0o7777, owner, path)
			case d.Type()&fs.ModeSymlink != 0:
				target, _ := os.Readlink(full)
				fmt.Fprintf(&out, "l                %s -> %s\n", path, target)
			default:
				data, err := os.ReadFile(full)
				if err != nil {
					return err
				}
				fmt.Fprintf(&out, "f %04o %-9s %s %q\n", st.Mode&0o7777, owner, path, data)
			}
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return out.String()
}

// wipe empties folders, as the tmpfs of a new boot does.
func (s *sandbox) wipe(below ...string) {
	s.t.Helper()
	for _, top := range below {
		if err := os.RemoveAll(filepath.Join(s.dir, top)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// report prints statuses, a line each.
func report(statuses []spec.StepStatus) string {
	var out strings.Builder
	for _, st := range statuses {
		fmt.Fprintf(&out, "%s %s %s: %s\n", st.Phase, st.Name, st.Outcome(), st.Reason)
	}
	return out.String()
}

// ownMounts gives the test's thread mounts of its own, or skips the test.
func ownMounts(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP-ENV: mounts are tested as root only")
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skipf("SKIP-ENV: no mount namespace can be made here: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
}

// bind mounts one file of the tree on another.
func (s *sandbox) bind(source, target string) {
	s.t.Helper()
	target = filepath.Join(s.dir, target)
	if err := unix.Mount(filepath.Join(s.dir, source), target, "", unix.MS_BIND, ""); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := unix.Unmount(target, 0); err != nil {
			s.t.Error(err)
		}
	})
}
