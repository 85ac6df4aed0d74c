// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

// BaseGroups are the groups that every system has. Ids up to 100 are those of
// Debian's static groups, which packages count on.
func BaseGroups() []*UserGroup {
	var groups []*UserGroup
	for _, g := range []struct {
		name string
		id   int
	}{
		{"root", 0},
		{"daemon", 1},
		{"bin", 2},
		{"sys", 3},
		{"adm", 4},
		{"tty", 5},
		{"disk", 6},
		{"lp", 7},
		{"mail", 8},
		{"news", 9},
		{"uucp", 10},
		{"man", 12},
		{"proxy", 13},
		{"kmem", 15},
		{"dialout", 20},
		{"fax", 21},
		{"voice", 22},
		{"cdrom", 24},
		{"floppy", 25},
		{"tape", 26},
		{"sudo", 27},
		{"audio", 29},
		{"dip", 30},
		{"www-data", 33},
		{"backup", 34},
		{"operator", 37},
		{"list", 38},
		{"irc", 39},
		{"src", 40},
		{"shadow", 42},
		{"utmp", 43},
		{"video", 44},
		{"sasl", 45},
		{"plugdev", 46},
		{"staff", 50},
		{"games", 60},
		{"users", 100},
		{"nogroup", 65534},
	} {
		groups = append(groups, &UserGroup{Name: g.name, ID: &g.id, System: true})
	}
	return append(
		groups,
		&UserGroup{Name: "input", System: true},
		&UserGroup{Name: "kvm", System: true},
		&UserGroup{Name: "netdev", System: true},
		&UserGroup{Name: "wheel", System: true},
		&UserGroup{Name: "sgx", System: true},
	)
}

// BaseUsers are the users besides root that every system has: nobody, and
// Debian's static users.
func BaseUsers() []*UserAccount {
	var users []*UserAccount
	for _, u := range []struct {
		name        string
		id          int
		group, home string
	}{
		{"daemon", 1, "daemon", "/usr/sbin"},
		{"bin", 2, "bin", "/bin"},
		{"sys", 3, "sys", "/dev"},
		{"sync", 4, "nogroup", "/bin"},
		{"games", 5, "games", "/usr/games"},
		{"man", 6, "man", "/var/cache/man"},
		{"lp", 7, "lp", "/var/spool/lpd"},
		{"mail", 8, "mail", "/var/mail"},
		{"news", 9, "news", "/var/spool/news"},
		{"uucp", 10, "uucp", "/var/spool/uucp"},
		{"proxy", 13, "proxy", "/bin"},
		{"www-data", 33, "www-data", "/var/www"},
		{"backup", 34, "backup", "/var/backups"},
		{"list", 38, "list", "/var/list"},
		{"irc", 39, "irc", "/run/ircd"},
		{"_apt", 42, "nogroup", "/nonexistent"},
		{"nobody", 65534, "nogroup", "/nonexistent"},
	} {
		users = append(users, &UserAccount{
			Name: u.name, UID: &u.id, Group: u.group, Comment: u.name, Home: u.home, Shell: noLogin, System: true,
		})
	}
	return users
}
