// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

const nsswitchFile = "/etc/nsswitch.conf"

// nsswitch makes /etc/nsswitch.conf of the default that libc-bin has, where no
// script did: some systems have base-files' old default, and no libc-bin.
var nsswitch = class{name: "nsswitch", finish: func(r *root) error {
	if r.Has(nsswitchFile) {
		return nil
	}
	for _, p := range []string{"/usr/share/libc-bin/nsswitch.conf", "/usr/share/base-files/nsswitch.conf"} {
		n, _, err := r.Find(p, true)
		if err != nil {
			continue
		}
		text, err := n.Bytes()
		if err != nil {
			return err
		}
		return r.Write(nsswitchFile, text)
	}
	return nil
}}
