// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import "osbuild/builder/debian/script"

// services claims the commands that have nothing to do in this world: they
// start and stop services, which osbuild's own services do; they tidy up
// behind older versions, of which a new system has none; or they fill caches
// that other classes make, or that programs do without.
//
// dash's script makes the link /bin/sh that the package has.
var services = class{name: "services", quiet: true, whole: []string{"dash"}, commands: idle(
	// Services.
	"deb-systemd-helper", "deb-systemd-invoke", "invoke-rc.d", "update-rc.d", "systemctl", "service", "initctl", "runit-helper",
	"systemd-notify", "udevadm", "telinit", "journalctl", "systemd-machine-id-setup", "dbus-uuidgen", "kill", "killall", "pkill", "start-stop-daemon",
	// What dpkg does at upgrades and by triggers; ldconfig is a class.
	"dpkg-maintscript-helper", "dpkg-trigger", "ldconfig", "update-initramfs",
	// Compiled Python is made when it is first wanted, or not at all.
	"py3compile", "py3clean", "pycompile", "pyclean", "pypycompile",
	// Caches of menus and manuals.
	"update-menus", "install-info", "update-info-dir", "mandb", "install-docs", "update-mime", "update-desktop-database", "update-mime-database",
	// Formats that the kernel executes are those of the host.
	"update-binfmts",
	// Labels of a policy that containers get from the host.
	"restorecon",
	// Parts that only speak to the administrator, or to the package manager.
	"pg_checksystem", "pg_updateaptconfig", "shadowconfig", "clean-up-unmanaged-libraries", "reload-systemd",
)}

func idle(names ...string) map[string]command {
	m := make(map[string]command, len(names))
	for _, name := range names {
		m[name] = func(*call) script.Status { return script.Success }
	}
	return m
}
