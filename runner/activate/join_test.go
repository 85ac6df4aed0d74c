// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package activate

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"osbuild/runner/spec"
)

func TestJoin(t *testing.T) {
	const system = `{"version": 1, "steps": [
		{"phase": "accounts", "name": "accounts", "accounts": {
			"users": [{"name": "root", "uid": 0, "group": "root", "home": "/root", "shell": "/mine"}],
			"groups": [{"name": "root", "gid": 0}, {"name": "mine", "gid": 33}],
			"subids": {"addRoot": true, "min": 10000, "max": 65534}}},
		{"phase": "etc", "name": "etc", "etc": {"tree": "/osbuild/store/e"}},
		{"phase": "directories", "name": "directories", "directories": [{"path": "/d", "mode": 493}]},
		{"phase": "privileged", "name": "programs", "privileged": [{"program": "/osbuild/store/p/bin/ping", "capabilities": ["cap_net_raw"]}]},
		{"phase": "user", "name": "mine", "run": {"argv": ["/x"]}}]}`
	const packages = `{"version": 1, "steps": [
		{"phase": "accounts", "name": "packages", "accounts": {
			"users": [
				{"name": "root", "uid": 0, "group": "root", "home": "/root", "shell": "/bin/bash"},
				{"name": "www-data", "uid": 33, "group": "33", "home": "/var/www", "shell": "/usr/sbin/nologin", "system": true},
				{"name": "toor", "uid": 0, "group": "0", "home": "/", "shell": "/bin/sh"}],
			"groups": [{"name": "root", "gid": 0}, {"name": "www-data", "gid": 33, "system": true}, {"name": "shadow", "gid": 42}]}},
		{"phase": "etc", "name": "files of packages: /etc", "tree": {"from": "/osbuild/store/P/etc", "to": "/etc"}},
		{"phase": "etc", "name": "files of packages: /var", "tree": {"from": "/osbuild/store/P/var", "to": "/var"}},
		{"phase": "privileged", "name": "packages", "privileged": [{"program": "/usr/bin/su", "setuid": true}, {"program": "/usr/bin/ping", "setuid": true}]},
		{"phase": "directories", "name": "dirs of packages", "directories": [{"path": "/p", "mode": 493}]}]}`
	for _, tt := range []struct{ summary, system, packages, want string }{
		{"everything", system, packages, `{"version": 1, "steps": [
			{"phase": "directories", "name": "dirs of packages", "directories": [{"path": "/p", "mode": 493}]},
			{"phase": "accounts", "name": "accounts", "accounts": {
				"users": [
					{"name": "root", "uid": 0, "group": "root", "home": "/root", "shell": "/mine"},
					{"name": "www-data", "uid": 33, "group": "www-data", "home": "/var/www", "shell": "/usr/sbin/nologin", "system": true},
					{"name": "toor", "group": "0", "home": "/", "shell": "/bin/sh"}],
				"groups": [{"name": "root", "gid": 0}, {"name": "mine", "gid": 33}, {"name": "www-data", "system": true}, {"name": "shadow", "gid": 42}],
				"subids": {"addRoot": true, "min": 10000, "max": 65534}}},
			{"phase": "privileged", "name": "programs", "privileged": [
				{"program": "/osbuild/store/p/bin/ping", "capabilities": ["cap_net_raw"]}, {"program": "/usr/bin/su", "setuid": true}]},
			{"phase": "etc", "name": "etc", "etc": {"tree": "/osbuild/store/e"}},
			{"phase": "etc", "name": "files of packages: /etc", "tree": {"from": "/osbuild/store/P/etc", "to": "/etc"}},
			{"phase": "etc", "name": "files of packages: /var", "tree": {"from": "/osbuild/store/P/var", "to": "/var"}},
			{"phase": "directories", "name": "directories", "directories": [{"path": "/d", "mode": 493}]},
			{"phase": "user", "name": "mine", "run": {"argv": ["/x"]}}]}`},
		{"a system without steps of its own", `{"version": 1, "steps": []}`, `{"version": 1, "steps": [
			{"phase": "etc", "name": "files", "tree": {"from": "/osbuild/store/P/etc", "to": "/etc"}},
			{"phase": "privileged", "name": "packages", "privileged": [{"program": "/usr/bin/su", "setuid": true}]},
			{"phase": "accounts", "name": "packages", "accounts": {"users": [], "groups": [{"name": "a"}]}},
			{"phase": "accounts", "name": "more", "accounts": {"users": [], "groups": [{"name": "b"}]}}]}`, `{"version": 1, "steps": [
			{"phase": "accounts", "name": "packages", "accounts": {"users": [], "groups": [{"name": "a"}, {"name": "b"}]}},
			{"phase": "privileged", "name": "packages", "privileged": [{"program": "/usr/bin/su", "setuid": true}]},
			{"phase": "etc", "name": "files", "tree": {"from": "/osbuild/store/P/etc", "to": "/etc"}}]}`},
		{"packages that want nothing", system, `{"version": 1, "steps": []}`, `{"version": 1, "steps": [
			{"phase": "accounts", "name": "accounts", "accounts": {
				"users": [{"name": "root", "uid": 0, "group": "root", "home": "/root", "shell": "/mine"}],
				"groups": [{"name": "root", "gid": 0}, {"name": "mine", "gid": 33}],
				"subids": {"addRoot": true, "min": 10000, "max": 65534}}},
			{"phase": "privileged", "name": "programs", "privileged": [{"program": "/osbuild/store/p/bin/ping", "capabilities": ["cap_net_raw"]}]},
			{"phase": "etc", "name": "etc", "etc": {"tree": "/osbuild/store/e"}},
			{"phase": "directories", "name": "directories", "directories": [{"path": "/d", "mode": 493}]},
			{"phase": "user", "name": "mine", "run": {"argv": ["/x"]}}]}`},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			read := func(text string) (p spec.ActivationPlan) {
				t.Helper()
				if err := json.Unmarshal([]byte(text), &p); err != nil {
					t.Fatal(err)
				}
				return p
			}
			s, p := read(tt.system), read(tt.packages)
			got, want := asText(t, Join(p, s)), asText(t, read(tt.want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if asText(t, s) != asText(t, read(tt.system)) || asText(t, p) != asText(t, read(tt.packages)) {
				t.Error("the plans that went in have changed")
			}
		})
	}
}

func asText(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
