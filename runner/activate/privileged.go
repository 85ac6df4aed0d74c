// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// placesFile lists the programs in whose place a privileged copy is mounted, a
// line each.
var placesFile = path.Join(path.Dir(spec.PrivilegedDir), "places")

// errPlaces is why programs are not privileged where they lie.
var errPlaces = errors.New("nothing can be mounted here")

// program is a privileged program and what it is to become.
type program struct {
	spec.Privileged
	mode         uint32
	owner        tree.Owner
	capabilities []byte
	// place is where the program really lies; "" where it was named by its
	// place in the store, by which nobody calls it.
	place string
	// served says that the file at place has the privileges already, as in an
	// image.
	served bool
}

// privileged makes the copies of programs that carry set-id bits or
// capabilities. What an earlier activation made goes first: a program that is
// not declared any more must lose its privileges now. One failure does not stop
// the others.
func (r *run) privileged(declared []spec.Privileged) []error {
	if err := r.MkdirAll(spec.PrivilegedDir); err != nil && !errors.Is(err, tree.ErrOwner) {
		return []error{err}
	}
	problems := append(r.leavePlaces(), r.Empty(spec.PrivilegedDir)...)
	var programs []program
	copies := false
	accounts := names(r.Root)
	for _, d := range declared {
		p, err := r.program(d, accounts)
		if err != nil {
			problems = append(problems, fmt.Errorf("cannot give privileges to %s: %w", d.Program, err))
			continue
		}
		programs = append(programs, p)
		copies = copies || !p.served
	}
	if copies && r.Mounts != nil {
		if err := r.Mounts.PermitSetID(spec.PrivilegedDir); err != nil {
			problems = append(problems, err)
		}
	}
	var places []string
	var refused error
	for _, p := range programs {
		err := r.privilegedOne(p)
		if err == nil && !p.served && p.place != "" && r.Mounts != nil && refused == nil {
			switch err = r.take(p, &places); {
			case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
				refused, err = err, nil
			}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("cannot give privileges to %s: %w", p.Program, err))
		}
	}
	if refused != nil {
		problems = append(problems, fmt.Errorf("programs are privileged in %s only, not at their places in /usr: %w: %w", spec.PrivilegedDir, errPlaces, refused))
	}
	if len(places) > 0 {
		if err := r.WriteFile(placesFile, strings.NewReader(strings.Join(places, "\n")+"\n"), 0o600, tree.Owner{}); err != nil && !errors.Is(err, tree.ErrOwner) {
			problems = append(problems, err)
		}
	}
	return problems
}

// leavePlaces unmounts the copies of an earlier activation of this boot.
func (r *run) leavePlaces() (problems []error) {
	data, err := r.ReadFile(placesFile)
	if err != nil {
		return nil
	}
	for place := range strings.Lines(string(data)) {
		place = strings.TrimSuffix(place, "\n")
		// The mounts of an earlier boot went with it.
		if r.Mounts == nil || r.Boot || !r.Mounted(place) {
			continue
		}
		if err := r.Mounts.Unmount(place); err != nil {
			problems = append(problems, err)
		}
	}
	if err := r.Remove(placesFile); err != nil {
		problems = append(problems, err)
	}
	return problems
}

// program looks at a program.
func (r *run) program(d spec.Privileged, accounts account.Names) (program, error) {
	if !d.Setuid && !d.Setgid && len(d.Capabilities) == 0 {
		r.Message(fmt.Sprintf("privileged: %s asks for no privilege", d.Program))
	}
	p := program{Privileged: d, mode: 0o555}
	uid, _, err := accounts.User(d.User)
	if err != nil {
		return p, err
	}
	gid, err := accounts.Group(d.Group)
	if err != nil {
		return p, err
	}
	p.owner = tree.Owner{UID: uid, GID: gid}
	if p.capabilities, err = capabilityXattr(d.Capabilities); err != nil {
		return p, err
	}
	if d.Setuid {
		p.mode |= unix.S_ISUID
	}
	if d.Setgid {
		p.mode |= unix.S_ISGID
	}
	f, err := r.OpenFile(d.Program)
	if err != nil {
		return p, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return p, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return p, fmt.Errorf("it is not a regular file")
	}
	const store = spec.StoreDir + "/"
	if place := r.realPath(f, d.Program); !strings.HasPrefix(place, store) || !strings.HasPrefix(d.Program, store) {
		p.place = place
		p.served = p.isServed(f, st)
	}
	return p, nil
}

// realPath is the path of an open file without the links that led there.
func (r *run) realPath(f *os.File, name string) string {
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return path.Clean(name)
	}
	below, ok := strings.CutPrefix(real, strings.TrimSuffix(r.Dir(), "/")+"/")
	if !ok {
		return path.Clean(name)
	}
	return "/" + below
}

// isServed says whether a file gives the privileges as it is.
func (p program) isServed(f *os.File, st unix.Stat_t) bool {
	const setID = unix.S_ISUID | unix.S_ISGID
	var mount unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &mount); err != nil || mount.Flags&unix.ST_NOSUID != 0 {
		return false
	}
	if st.Mode&setID != p.mode&setID || int(st.Uid) != p.owner.UID || int(st.Gid) != p.owner.GID {
		return false
	}
	if p.capabilities == nil {
		return true
	}
	has := make([]byte, 64)
	n, err := unix.Fgetxattr(int(f.Fd()), "security.capability", has)
	return err == nil && bytes.Equal(has[:n], p.capabilities)
}

// privilegedOne makes the copy of one program, or a link where none is needed.
func (r *run) privilegedOne(p program) error {
	target := path.Join(spec.PrivilegedDir, path.Base(p.Program))
	if r.Kind(target) != 0 {
		return fmt.Errorf("two privileged programs are called %s", path.Base(p.Program))
	}
	if p.served {
		return r.Symlink(target, p.place)
	}
	source, err := r.OpenFile(p.Program)
	if err != nil {
		return err
	}
	defer source.Close()
	err = r.WriteFileFunc(target, source, p.mode, p.owner, func(fd int) error {
		if p.capabilities == nil {
			return nil
		}
		if err := unix.Fsetxattr(fd, "security.capability", p.capabilities, 0); err != nil {
			return fmt.Errorf("cannot set capabilities: %w", err)
		}
		return nil
	})
	if err != nil {
		// Without its owner a set-id file would give the wrong privileges.
		_ = r.Remove(target)
	}
	return err
}

// take mounts the copy of a program in its place.
func (r *run) take(p program, places *[]string) error {
	if r.Mounted(p.place) {
		r.Message(fmt.Sprintf("privileged: %s is a mount of its own and is left alone", p.place))
		return nil
	}
	err := r.Mounts.Bind(path.Join(spec.PrivilegedDir, path.Base(p.Program)), p.place)
	if err == nil {
		*places = append(*places, p.place)
	}
	return err
}
