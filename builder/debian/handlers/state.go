// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import "osbuild/builder/debian/script"

// state names the programs that make what must differ from system to system:
// keys and data. They are left, in a few words; a service makes such things
// at the first boot.
var state = class{name: "state", quiet: true, commands: map[string]command{
	"ssh-keygen":         leaveTo("ssh-keygen (keys of its own)"),
	"make-ssl-cert":      leaveTo("make-ssl-cert (a key of its own)"),
	"pg_createcluster":   leaveTo("pg_createcluster (data of its own)"),
	"mysql_install_db":   leaveTo("mysql_install_db (data of its own)"),
	"mariadb-install-db": leaveTo("mariadb-install-db (data of its own)"),
}}

func leaveTo(words string) command {
	return func(c *call) script.Status {
		c.Leave(words)
		return script.Success
	}
}
