// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"osbuild/runner/account"
	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// What /var/lib/osbuild holds. With --state it outlives the container; /etc,
// which is made anew at every boot, is then filled from it.
const (
	stateAccounts  = spec.StateDir + "/accounts"
	stateIDs       = spec.StateDir + "/ids.json"
	stateEtc       = spec.StateDir + "/etc.json"
	stateTrees     = spec.StateDir + "/trees.json"
	stateReplaced  = spec.StateDir + "/replaced"
	stateMachineID = spec.StateDir + "/machine-id"
)

// accountFiles are the files of /etc that boots hand on, with their modes.
var accountFiles = []struct {
	name string
	mode uint32
}{
	{"passwd", 0o644},
	{"group", 0o644},
	{"shadow", 0o600},
	{"subuid", 0o644},
	{"subgid", 0o644},
}

// restore puts the account files of the last boot back where /etc lacks them
// and gives the machine the id that it got at its first boot.
func (r *run) restore() []error {
	if err := r.stateDir(); err != nil {
		return []error{err}
	}
	if err := r.MkdirAll("/etc"); err != nil && !Unable(err) {
		return []error{err}
	}
	var problems []error
	for _, f := range accountFiles {
		if r.Kind("/etc/"+f.name) != 0 {
			continue
		}
		data, err := r.ReadFile(stateAccounts + "/" + f.name)
		if absent(err) {
			continue
		}
		if err == nil {
			err = r.WriteFile("/etc/"+f.name, bytes.NewReader(data), f.mode, tree.Owner{})
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	if err := r.machineID(); err != nil {
		problems = append(problems, err)
	}
	return problems
}

// stateDir makes the state folder, which only root reads: it holds a copy of
// the password file.
func (r *run) stateDir() error {
	for _, dir := range []string{spec.StateDir, stateAccounts} {
		if err := r.MkdirAll(dir); err != nil && !errors.Is(err, tree.ErrOwner) {
			return err
		}
	}
	return r.SetDir(stateAccounts, 0o700, tree.Owner{})
}

// machineID writes /etc/machine-id, made of random bytes once. One that is
// there already, for example from an engine, wins.
func (r *run) machineID() error {
	const name = "/etc/machine-id"
	id, err := r.ReadFile(stateMachineID)
	if current, currentErr := r.ReadFile(name); currentErr == nil && len(bytes.TrimSpace(current)) > 0 {
		id, err = current, nil
	}
	if err != nil || len(bytes.TrimSpace(id)) == 0 {
		var random [16]byte
		_, _ = rand.Read(random[:])
		// Marked as a random UUID, as machine-id(5) wants it.
		random[6] = random[6]&0x0f | 0x40
		random[8] = random[8]&0x3f | 0x80
		id = []byte(hex.EncodeToString(random[:]) + "\n")
	}
	if err := r.writeOnce(stateMachineID, id, 0o444, tree.Owner{}); err != nil {
		return err
	}
	if r.Mounted(name) {
		return nil
	}
	return r.writeOnce(name, id, 0o444, tree.Owner{})
}

// Save copies the account files into the state folder, so that a password
// that a user changed is there after the next boot.
func Save(root *tree.Root) []error {
	r := &run{Root: root}
	if err := r.stateDir(); err != nil && !errors.Is(err, tree.ErrOwner) {
		return []error{err}
	}
	var problems []error
	for _, f := range accountFiles {
		if r.Kind("/etc/"+f.name) != unix.S_IFREG {
			continue
		}
		data, err := r.ReadFile("/etc/" + f.name)
		if err == nil {
			err = r.writeOnce(stateAccounts+"/"+f.name, data, 0o600, tree.Owner{})
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// loadIDs reads the ids of earlier boots. Without them the ids of the current
// files are still kept, so a damaged file is said and not fatal.
func (r *run) loadIDs() (account.IDs, error) {
	var ids account.IDs
	data, err := r.ReadFile(stateIDs)
	if absent(err) {
		return ids, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &ids)
	}
	if err != nil {
		return account.IDs{}, fmt.Errorf("cannot read the ids of earlier boots: %w", err)
	}
	return ids, nil
}

// saveJSON writes a state file.
func (r *run) saveJSON(name string, value any) error {
	data, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		return err
	}
	if err := r.parent(name); err != nil {
		return err
	}
	return r.writeOnce(name, append(data, '\n'), 0o600, tree.Owner{})
}
