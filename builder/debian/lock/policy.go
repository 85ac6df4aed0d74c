// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lock

// Minimal are the packages of the policy "minimal": those that scripts rely
// on without saying so. base-files and base-passwd are the layout and the
// accounts that programs look up; dash is /bin/sh, which system(3), popen(3)
// and most #! lines name, and bash only few; coreutils, sed and grep are in
// nearly every script (mkdir, cat, chown, cut…); libc-bin has ldconfig, getent
// and nsswitch.conf. What else is Essential are tools to administer a machine
// (dpkg, login, mount, sysvinit-utils), which a container does without, and
// perl, tar, gzip, find, diff, which who needs them can name.
func Minimal() []string {
	return []string{"base-files", "base-passwd", "coreutils", "dash", "grep", "libc-bin", "sed"}
}

// Base are the names that are in the lock because of its essential policy,
// sorted.
func (l *Lock) Base() []string {
	var names []string
	switch l.Essential {
	case EssentialMinimal:
		for _, name := range Minimal() {
			if _, ok := l.Package(name); ok {
				names = append(names, name)
			}
		}
	case EssentialFull:
		for _, p := range l.Packages {
			if p.Essential {
				names = append(names, p.Name)
			}
		}
	}
	return names
}
