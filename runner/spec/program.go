// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package spec

// Build is one program in the build sandbox: only Items are visible in the
// store and read-only, there is no network, one id is mapped (1000:1000).
type Build struct {
	// Name is shown in messages.
	Name string `json:"name"`
	// Items are the closure of the inputs.
	Items []Item `json:"items"`
	// Root is what packages among Items put at /usr, /opt and, as links to
	// Trees, in /etc; nil when there are none.
	Root *Root `json:"root,omitempty"`
	// Host are read-only trees of the host, each identified by content in the
	// derivation's key, e.g. a Go toolchain at /go.
	Host []Mapping `json:"host,omitempty"`
	// StoreDir is the host folder that stands writable at /osbuild/store, and
	// into which the program writes its outputs. Mount points of Items are
	// made in it.
	StoreDir string `json:"storeDir"`
	// WorkDir is the host folder that stands writable at /build, the current
	// folder of the program.
	WorkDir string `json:"workDir"`
	// Argv[0] is an absolute path inside the sandbox.
	Argv []string `json:"argv"`
	// Env is the whole environment, KEY=VALUE, sorted.
	Env []string `json:"env"`
}

// Program is one program over a closure, without an init (`osbuild eval`).
type Program struct {
	Items []Item `json:"items"`
	// Root is as in [Build].
	Root     *Root     `json:"root,omitempty"`
	Mappings []Mapping `json:"mappings,omitempty"`
	// Namespaces are those to unshare besides user and mnt: "pid", "net",
	// "ipc", "uts", "cgroup".
	Namespaces []string `json:"namespaces"`
	Argv       []string `json:"argv"`
	Env        []string `json:"env"`
	Directory  string   `json:"directory,omitempty"`
}
