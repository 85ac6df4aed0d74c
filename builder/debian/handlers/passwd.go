// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strconv"
	"strings"

	"osbuild/runner/spec"
)

// The lists of base-passwd, where the set has it.
const (
	passwdMaster = "/usr/share/base-passwd/passwd.master"
	groupMaster  = "/usr/share/base-passwd/group.master"
)

// staticIDs are the accounts that every Debian system has, for sets without
// base-passwd: the ids are reserved for all time.
const (
	staticUsers = `root:*:0:0:root:/root:/bin/bash
daemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:*:2:2:bin:/bin:/usr/sbin/nologin
sys:*:3:3:sys:/dev:/usr/sbin/nologin
sync:*:4:65534:sync:/bin:/bin/sync
games:*:5:60:games:/usr/games:/usr/sbin/nologin
man:*:6:12:man:/var/cache/man:/usr/sbin/nologin
lp:*:7:7:lp:/var/spool/lpd:/usr/sbin/nologin
mail:*:8:8:mail:/var/mail:/usr/sbin/nologin
news:*:9:9:news:/var/spool/news:/usr/sbin/nologin
uucp:*:10:10:uucp:/var/spool/uucp:/usr/sbin/nologin
proxy:*:13:13:proxy:/bin:/usr/sbin/nologin
www-data:*:33:33:www-data:/var/www:/usr/sbin/nologin
backup:*:34:34:backup:/var/backups:/usr/sbin/nologin
list:*:38:38:Mailing List Manager:/var/list:/usr/sbin/nologin
irc:*:39:39:ircd:/run/ircd:/usr/sbin/nologin
_apt:*:42:65534::/nonexistent:/usr/sbin/nologin
nobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`
	staticGroups = "root 0 daemon 1 bin 2 sys 3 adm 4 tty 5 disk 6 lp 7 mail 8 news 9 uucp 10 man 12 proxy 13 kmem 15 dialout 20 fax 21 " +
		"voice 22 cdrom 24 floppy 25 tape 26 sudo 27 audio 29 dip 30 www-data 33 backup 34 operator 37 list 38 irc 39 src 40 " +
		"shadow 42 utmp 43 video 44 sasl 45 plugdev 46 staff 50 games 60 users 100 nogroup 65534"
)

// readStatic reads the lists of base-passwd, or those above.
func (r *root) readStatic() error {
	groups := strings.Fields(staticGroups)
	var b strings.Builder
	for i := 0; i < len(groups); i += 2 {
		b.WriteString(groups[i] + ":*:" + groups[i+1] + ":\n")
	}
	passwd, group := staticUsers, b.String()
	for p, text := range map[string]*string{passwdMaster: &passwd, groupMaster: &group} {
		if n, _, err := r.Find(p, true); err == nil {
			if *text, err = n.Bytes(); err != nil {
				return err
			}
		}
	}
	byID := map[string]string{}
	for _, line := range lines(group) {
		f := strings.Split(line, ":")
		id, ok := fieldID(f, 2)
		if len(f) < 3 || !ok {
			continue
		}
		byID[f[2]] = f[0]
		r.static.groups = append(r.static.groups, spec.Group{Name: f[0], GID: id, System: true})
	}
	for _, line := range lines(passwd) {
		f := strings.Split(line, ":")
		id, ok := fieldID(f, 2)
		if len(f) != 7 || !ok {
			continue
		}
		primary := f[3]
		if name := byID[primary]; name != "" {
			primary = name
		}
		r.static.users = append(r.static.users, spec.User{Name: f[0], UID: id, Group: primary, Comment: f[4], Home: f[5], Shell: f[6], System: true})
	}
	return nil
}

func fieldID(f []string, i int) (*int, bool) {
	if len(f) <= i {
		return nil, false
	}
	n, err := strconv.Atoi(f[i])
	return &n, err == nil && n >= 0 && n <= 65535
}

// planned are the accounts of the activation plan: those of the packages, and
// the static ones where base-passwd is among them or a script changed one.
// The declaration's accounts win, root is always one of them.
func (r *root) planned() *spec.Accounts {
	out := &spec.Accounts{Users: []spec.User{}, Groups: []spec.Group{}}
	all := r.Has(passwdMaster)
	for _, u := range r.static.users {
		if u.Name != "root" && (all || len(u.SupplementaryGroups) > 0) {
			out.Users = append(out.Users, u)
		}
	}
	for _, g := range r.static.groups {
		if g.Name != "root" && all {
			out.Groups = append(out.Groups, g)
		}
	}
	out.Users = append(out.Users, r.users...)
	out.Groups = append(out.Groups, r.groups...)
	return out
}
