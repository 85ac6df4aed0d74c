// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Instance is one container of the registry. A folder below the state root
// describes it; its runner holds a lock in there for as long as it runs, so a
// container whose runner was killed is told from one that runs.
type Instance struct {
	Name string `json:"name"`
	// PID is the container's PID 1 as the host sees it, Runner the process
	// that owns the container.
	PID    int `json:"pid"`
	Runner int `json:"runner"`
	// The start times, in clock ticks since boot, and the boot's id tell
	// whether a PID still means the same process.
	PIDStart    uint64    `json:"pidStart"`
	RunnerStart uint64    `json:"runnerStart"`
	BootID      string    `json:"bootId"`
	System      string    `json:"system"`
	Started     time.Time `json:"started"`
	// FirstID is the host's id of container root, IDs how many there are.
	FirstID int `json:"firstId"`
	IDs     int `json:"ids"`
	// Group is the folder of the container's own control group, "" without one.
	Group string `json:"group,omitempty"`
	// Published are the ports of the host that lead into the container, as
	// ADDRESS:PORT:PORT.
	Published []string `json:"published,omitempty"`
	// Running says that the container ran when the registry was read.
	Running bool `json:"running"`

	dir string
}

const (
	instanceFile = "instance.json"
	consoleFile  = "console.log"
	lockFile     = "lock"
)

// ConsoleLog is the file with what the container's PID 1 and services print.
func (i Instance) ConsoleLog() string { return filepath.Join(i.dir, consoleFile) }

// List returns the running containers of a registry, sorted by name.
func List(stateRoot string) ([]Instance, error) {
	all, err := entries(stateRoot)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(i Instance) bool { return !i.Running }), nil
}

// Find returns the container of that name, running or not, or the running one
// with that PID.
func Find(stateRoot, nameOrPID string) (Instance, error) {
	all, err := entries(stateRoot)
	if err != nil {
		return Instance{}, err
	}
	pid, _ := strconv.Atoi(nameOrPID)
	for _, i := range all {
		if i.Name == nameOrPID || pid != 0 && i.PID == pid && i.Running {
			return i, nil
		}
	}
	var names []string
	for _, i := range all {
		if i.Running {
			names = append(names, i.Name)
		}
	}
	hint := "none is running"
	if len(names) > 0 {
		hint = "running: " + strings.Join(names, ", ")
	}
	return Instance{}, fmt.Errorf("cannot find %q: %w (%s)", nameOrPID, ErrNotFound, hint)
}

// entries reads the whole registry. Folders without a description are of
// containers that are just starting, or were never described.
func entries(stateRoot string) ([]Instance, error) {
	if stateRoot == "" {
		stateRoot = DefaultStateRoot()
	}
	err := checkOwner(stateRoot)
	var dirs []os.DirEntry
	if err == nil {
		dirs, err = os.ReadDir(filepath.Join(stateRoot, "containers"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list containers: %w", err)
	}
	boot := bootID()
	var out []Instance
	for _, d := range dirs {
		dir := filepath.Join(stateRoot, "containers", d.Name())
		data, err := os.ReadFile(filepath.Join(dir, instanceFile))
		if err != nil {
			continue
		}
		i := Instance{}
		if err := json.Unmarshal(data, &i); err != nil || i.Name != d.Name() {
			continue
		}
		i.dir = dir
		i.Running = i.BootID == boot && startTime(i.PID) == i.PIDStart && i.PIDStart != 0
		out = append(out, i)
	}
	return out, nil
}

// Remove deletes what a container that ended left in the registry.
func (i Instance) Remove() error {
	e, err := claim(filepath.Dir(i.dir), i.Name)
	if err != nil {
		return fmt.Errorf("cannot remove %s: %w; stop it first", i.Name, err)
	}
	return e.remove()
}

// claimed is an entry of the registry that this process owns.
type claimed struct {
	name, dir string
	lock      *os.File
}

// checkOwner refuses a registry that somebody else could have prepared: it may
// lie in a folder that everybody writes to.
func checkOwner(stateRoot string) error {
	var st unix.Stat_t
	if err := unix.Lstat(stateRoot, &st); err != nil {
		return &os.PathError{Op: "examine", Path: stateRoot, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s is not a folder that only this user can write to; remove it, or set XDG_RUNTIME_DIR", stateRoot)
	}
	return nil
}

// claim takes a name in the folder of containers, or says who has it.
func claim(containers, name string) (*claimed, error) {
	dir := filepath.Join(containers, name)
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("cannot register the container: %w", err)
		}
		lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed at this moment
		}
		if err != nil {
			return nil, fmt.Errorf("cannot register the container: %w", err)
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			lock.Close()
			return nil, fmt.Errorf("the name %s is %w", name, ErrInUse)
		}
		if sameFile(lock, filepath.Join(dir, lockFile)) {
			return &claimed{name: name, dir: dir, lock: lock}, nil
		}
		lock.Close()
	}
}

// sameFile says whether an open file still is what stands at path.
func sameFile(f *os.File, path string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// claimNew takes the name, or the first free one made from host when none is
// given.
func claimNew(containers, name, host string) (*claimed, error) {
	if name != "" {
		if err := checkName(name); err != nil {
			return nil, err
		}
		return claim(containers, name)
	}
	base := host
	if checkName(base) != nil {
		base = "container"
	}
	for n := 1; ; n++ {
		name = base
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		e, err := claim(containers, name)
		if !errors.Is(err, ErrInUse) {
			return e, err
		}
	}
}

// checkName says whether a container can have that name.
func checkName(name string) error {
	digits := true
	for i, c := range name {
		digits = digits && c >= '0' && c <= '9'
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || i > 0 && strings.ContainsRune("._-", c)
		if !ok || len(name) > 64 {
			return fmt.Errorf("cannot name a container %q: use up to 64 letters, digits, dots, dashes and underscores, first a letter", name)
		}
	}
	if digits {
		return fmt.Errorf("cannot name a container %q: a name of digits alone is taken for a PID", name)
	}
	return nil
}

// describe writes the entry's description.
func (e *claimed) describe(i Instance) error {
	data, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(e.dir, instanceFile), append(data, '\n'), 0o600)
}

// remove deletes the entry and gives the name back.
func (e *claimed) remove() error {
	defer e.lock.Close()
	group := e.leaveGroup()
	for _, name := range []string{instanceFile, consoleFile, lockFile} {
		if err := os.Remove(filepath.Join(e.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove the container's entry: %w", err)
		}
	}
	// Somebody may be claiming the name again: then the folder stays.
	_ = os.Remove(e.dir)
	return group
}

// writeFile replaces a file by rename, so that no reader sees half of it.
func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

// startTime is when a process started, in ticks since boot; 0 when there is
// none, or it has ended and waits for its parent.
func startTime(pid int) uint64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field is a name that may hold anything, even parentheses.
	f := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(f) < 20 || bytes.Equal(f[0], []byte("Z")) {
		return 0
	}
	n, _ := strconv.ParseUint(string(f[19]), 10, 64)
	return n
}

func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
