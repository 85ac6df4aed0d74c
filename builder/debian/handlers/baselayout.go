// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

// baseLayout makes the links of /var that every program counts on. The rest
// of base-files comes from its script, by the class files.
var baseLayout = class{name: "base layout", finish: func(r *root) error {
	for p, target := range map[string]string{"/var/run": "/run", "/var/lock": "/run/lock"} {
		n, _, err := r.find(p, false)
		if err == nil && (n.kind != folder || len(n.kids) > 0) {
			continue
		}
		if err == nil {
			if err := r.remove(p, false); err != nil {
				return err
			}
		}
		if err := r.put(p, &node{kind: link, text: target}); err != nil {
			return err
		}
	}
	return nil
}}
