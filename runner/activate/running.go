// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"bytes"

	"osbuild/runner/activate/tree"
	"osbuild/runner/spec"
)

// currentSystem says which system runs, and at a boot which was booted.
func (r *run) currentSystem() []error {
	if r.System == "" {
		return nil
	}
	problems := r.link(spec.Link{Path: spec.CurrentSystem, Target: r.System})
	if r.Boot {
		problems = append(problems, r.link(spec.Link{Path: spec.BootedSystem, Target: r.System})...)
	}
	return problems
}

// loginRecords makes the files in which programs such as login(1) record who
// came and went, see utmp(5): they write only to files that exist.
func (r *run) loginRecords() (problems []error) {
	gid, err := names(r.Root).Group("utmp")
	if err != nil {
		gid = 0
	}
	for _, f := range []struct {
		name string
		mode uint32
	}{{"/run/utmp", 0o664}, {"/var/log/wtmp", 0o664}, {"/var/log/btmp", 0o660}, {"/var/log/lastlog", 0o664}} {
		if r.Kind(f.name) != 0 {
			continue
		}
		err := r.parent(f.name)
		if err == nil {
			err = r.WriteFile(f.name, bytes.NewReader(nil), f.mode, tree.Owner{GID: gid})
		}
		// Nothing depends on them.
		if err != nil && !Unable(err) {
			problems = append(problems, err)
		}
	}
	return problems
}
