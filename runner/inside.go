// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// insideRoot is a container's root folder as seen from the host. Everything in
// it may have been made to mislead, so paths are resolved by the kernel as if
// it were "/", and never followed out of it.
type insideRoot struct{ dir *os.File }

func openRoot(pid int) (insideRoot, error) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return insideRoot{}, fmt.Errorf("cannot look into the container: %w", cause(err))
	}
	return insideRoot{f}, nil
}

func (r insideRoot) close() { r.dir.Close() }

// open opens a path in the container.
func (r insideRoot) open(name string, flags int) (*os.File, error) {
	if flags&unix.O_PATH == 0 {
		flags |= unix.O_NOCTTY
	}
	fd, err := unix.Openat2(int(r.dir.Fd()), name, &unix.OpenHow{
		Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// executable says whether a path in the container is a program.
func (r insideRoot) executable(name string) bool {
	f, err := r.open(name, unix.O_PATH)
	if err != nil {
		return false
	}
	defer f.Close()
	st, err := f.Stat()
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// findProgram gives a command the absolute path of its program, looked up in
// the PATH of env inside the container.
func findProgram(pid int, argv, env []string) ([]string, error) {
	if len(argv) == 0 {
		return nil, errors.New("cannot run a command: none is named")
	}
	if path.IsAbs(argv[0]) {
		return argv, nil
	}
	if strings.Contains(argv[0], "/") {
		return nil, fmt.Errorf("cannot run %s: write an absolute path, or a name to be looked up in the container's PATH", argv[0])
	}
	r, err := openRoot(pid)
	if err != nil {
		return nil, err
	}
	defer r.close()
	search := searchPath
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			search = v
		}
	}
	for _, dir := range strings.Split(search, ":") {
		if p := path.Join("/", dir, argv[0]); r.executable(p) {
			return append([]string{p}, argv[1:]...), nil
		}
	}
	return nil, &ProgramError{statusNotFound, fmt.Errorf("cannot run %s: it is in none of the container's %s; write its absolute path", argv[0], search)}
}

// Shell is the path of a shell in the container.
func (i Instance) Shell() (string, error) {
	return i.shellIn("/run/current-system/profile/bin")
}

// shellIn looks in dir first.
func (i Instance) shellIn(dir string) (string, error) {
	r, err := openRoot(i.PID)
	if err != nil {
		return "", err
	}
	defer r.close()
	for _, dir := range []string{dir, "/usr/bin", "/bin"} {
		for _, name := range []string{"bash", "sh"} {
			if p := path.Join(dir, name); r.executable(p) {
				return p, nil
			}
		}
	}
	return "", fmt.Errorf("container %s has no shell: add a package with one to the system, or use osbuild exec", i.Name)
}

// maxAccounts bounds how much of a container's account files is read.
const maxAccounts = 4 << 20

// lines reads a text file of the container.
func (r insideRoot) lines(name string) ([][]string, error) {
	f, err := r.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxAccounts))
	if err != nil {
		return nil, err
	}
	var out [][]string
	for line := range strings.Lines(string(data)) {
		out = append(out, strings.Split(strings.TrimSuffix(line, "\n"), ":"))
	}
	return out, nil
}

// identity of a process that is run in a container.
type account struct {
	uid, gid int
	groups   []uint32
}

// parseID reads an id. The highest one is none: to the system calls that take
// an id it means that nothing is to change, so that a program would stay root.
func parseID(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == math.MaxUint32 {
		return 0, fmt.Errorf("%q is no id", text)
	}
	return int(n), nil
}

// account finds the ids of a user and a group, names or numbers. Like login, it
// gives the user's own groups when no supplementary ones are named.
func (r insideRoot) account(user, group string, supplementary []string) (account, error) {
	a := account{}
	if user == "" && group == "" && len(supplementary) == 0 {
		return a, nil
	}
	users, uerr := r.lines("/etc/passwd")
	groups, gerr := r.lines("/etc/group")
	name := user
	if user != "" {
		n, aerr := parseID(user)
		a.uid = n
		i := slices.IndexFunc(users, func(f []string) bool {
			return len(f) >= 4 && (f[0] == user || aerr == nil && f[2] == user)
		})
		switch {
		case i >= 0:
			name = users[i][0]
			uid, err1 := parseID(users[i][2])
			gid, err2 := parseID(users[i][3])
			if err := errors.Join(err1, err2); err != nil {
				return a, fmt.Errorf("cannot run as user %s: %w", user, err)
			}
			a.uid, a.gid = uid, gid
		case aerr != nil:
			return a, errors.Join(fmt.Errorf("cannot run as user %s: the container has no such user", user), uerr)
		}
	}
	gid := func(group string) (int, error) {
		if n, err := parseID(group); err == nil {
			return n, nil
		}
		for _, f := range groups {
			if len(f) >= 3 && f[0] == group {
				n, err := parseID(f[2])
				if err != nil {
					return 0, fmt.Errorf("cannot run as group %s: %w", group, err)
				}
				return n, nil
			}
		}
		return 0, errors.Join(fmt.Errorf("cannot run as group %s: the container has no such group", group), gerr)
	}
	var err error
	if group != "" {
		if a.gid, err = gid(group); err != nil {
			return a, err
		}
	}
	for _, s := range supplementary {
		n, err := gid(s)
		if err != nil {
			return a, err
		}
		a.groups = append(a.groups, uint32(n))
	}
	if supplementary == nil && user != "" {
		for _, f := range groups {
			if len(f) >= 4 && slices.Contains(strings.Split(f[3], ","), name) {
				if n, err := parseID(f[2]); err == nil {
					a.groups = append(a.groups, uint32(n))
				}
			}
		}
	}
	return a, nil
}
