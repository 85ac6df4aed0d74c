// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"slices"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/builder/services"
)

// sudoersText lets administrators become anybody: the members of wheel and, as
// packages of Debian count on it, of sudo. A user's own PATH may lack the
// programs of administrators.
const sudoersText = `root ALL=(ALL) ALL
%wheel ALL=(ALL) ALL
%sudo ALL=(ALL:ALL) ALL
Defaults secure_path="` + services.DefaultPath + `"
@includedir /etc/sudoers.d
`

// sudoers is /etc/sudoers: a regular file of mode 0440, because sudo refuses
// others.
func sudoers(env *service.Env, o *OperatingSystem) (*services.EtcEntry, error) {
	mode := 0o440
	e := &services.EtcEntry{Pos: o.Pos, Name: "sudoers", Mode: &mode}
	var err error
	if o.Sudoers == "" {
		e.File, err = env.Graph.Text("sudoers", sudoersText, false, derivation.Position{})
	} else {
		e.File, err = checkedSudoers(env, o)
	}
	return e, err
}

// checkedSudoers is the declared file as it comes out of a build that fails
// where visudo refuses it: sudo would work for nobody. Without a source of
// packages there is no visudo, and no sudo either.
func checkedSudoers(env *service.Env, o *OperatingSystem) (string, error) {
	if env.Packages == nil {
		return o.Sudoers, nil
	}
	sudo := "sudo"
	if slices.Contains(o.Packages, "sudo-ldap") {
		sudo = "sudo-ldap" // the two conflict
	}
	var items []string
	for _, name := range []string{sudo, "dash"} {
		item, err := env.Packages.Package(name, o.Pos)
		if err != nil {
			return "", fmt.Errorf("cannot check the field sudoers: %w", err)
		}
		items = append(items, item)
	}
	script, err := env.Graph.Text("check-sudoers", fmt.Sprintf(`set -eu
%s/usr/sbin/visudo -c -f %s
while IFS= read -r line || [ -n "$line" ]; do printf '%%s\n' "$line"; done <%[2]s >"$out"
`, items[0], o.Sudoers), false, o.Pos)
	if err != nil {
		return "", err
	}
	d := derivation.Derivation{
		Name: "sudoers", Builder: items[1] + "/usr/bin/dash", Args: []string{script}, System: env.System, Pos: o.Pos,
	}
	if d.Root, err = env.Packages.Root(append(items, script), true, o.Pos); err != nil {
		return "", err
	}
	return env.Graph.Derive(d)
}
