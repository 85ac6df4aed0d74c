// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package spec

// Container is container.json in a system item: all that a runner or an image
// export must know of a system besides its closure. Everything given at run
// time (shares, ports, names, limits) is not part of it and changes no hash.
type Container struct {
	Version  int    `json:"version"`
	HostName string `json:"hostName"`
	Root     Root   `json:"root"`
	// Mounts are the declared file systems and mappings, in mount order.
	Mounts []Mount `json:"mounts,omitempty"`
	// Network is NetworkNone or NetworkHost.
	Network string `json:"network"`
	// Requires names runner switches without which the system cannot work,
	// for example "nested"; starting without one is an error that names it.
	Requires []string `json:"requires,omitempty"`
}

// Values of Container.Network.
const (
	// NetworkNone is a network namespace of its own in which only lo is up.
	NetworkNone = "none"
	// NetworkHost shares the host's network namespace.
	NetworkHost = "host"
)

// Root says what stands where in the root file system, apart from the store
// items, the kernel file systems and the writable folders, which are the same
// in every container.
type Root struct {
	// Usr are the trees merged read-only at /usr, topmost first.
	Usr []Lower `json:"usr,omitempty"`
	// Opt are the trees merged read-only at /opt, topmost first.
	Opt []Lower `json:"opt,omitempty"`
	// Links are symbolic links made on the root, e.g. /bin -> usr/bin.
	Links []Link `json:"links,omitempty"`
	// Dirs are empty folders made on the root, parents before children.
	Dirs []Dir `json:"dirs,omitempty"`
	// Trees are the writable files that packages bring. Activation copies
	// them, see Step.Tree; an image may hold them already.
	Trees []Tree `json:"trees,omitempty"`
	// Owners are the paths of Usr and Opt that are not root's with the plain
	// mode that a store gives. A container makes privileged copies of them at
	// activation; an image has them in its layers.
	Owners []Owner `json:"owners,omitempty"`
}

// Lower is a folder inside a store item that becomes part of /usr or /opt.
type Lower struct {
	// Item is the logical path of the item.
	Item string `json:"item"`
	// Sub is the folder inside it, "" for the item itself.
	Sub string `json:"sub,omitempty"`
	// FHS says that the item stands in the file system hierarchy alone: it is
	// not shown under the store dir.
	FHS bool `json:"fhs,omitempty"`
}

// Tree is a folder of an item whose content is copied to a folder of the root,
// each file where nothing stands yet. Files become root's with mode 0644, or
// 0755 when they are executable, folders 0755, but for those in Owners.
type Tree struct {
	// From is a logical path, To an absolute path such as "/etc".
	From   string  `json:"from"`
	To     string  `json:"to"`
	Owners []Owner `json:"owners,omitempty"`
}

// Owner is the owner and mode of one path. User and Group are names or decimal
// ids; empty means root.
type Owner struct {
	// Path is absolute, as the container sees it.
	Path  string `json:"path"`
	User  string `json:"user,omitempty"`
	Group string `json:"group,omitempty"`
	// Mode holds the permission bits, and set-id and sticky bits as in
	// inode(7).
	Mode uint32 `json:"mode"`
}

// Link is a symbolic link at Path that says Target.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// Dir is a folder with its owner. User and Group are names or decimal ids;
// empty means root.
type Dir struct {
	Path  string `json:"path"`
	Mode  uint32 `json:"mode"`
	User  string `json:"user,omitempty"`
	Group string `json:"group,omitempty"`
}

// Mount kinds.
const (
	MountBind    = "bind"
	MountTmpfs   = "tmpfs"
	MountProc    = "proc"
	MountSysfs   = "sysfs"
	MountDevpts  = "devpts"
	MountMqueue  = "mqueue"
	MountCgroup2 = "cgroup2"
)

// Mount is one file system of a container.
type Mount struct {
	// Kind is one of the Mount constants.
	Kind string `json:"kind"`
	// Source is a host path, for MountBind only.
	Source string `json:"source,omitempty"`
	// Target is an absolute path in the container.
	Target string `json:"target"`
	// Options are file system options such as "mode=0755", in order.
	Options []string `json:"options,omitempty"`
	// ReadOnly covers every mount below a bound tree too.
	ReadOnly bool `json:"readOnly,omitempty"`
	// NoSuid, NoDev, NoExec are the mount flags of those names.
	NoSuid bool `json:"noSuid,omitempty"`
	NoDev  bool `json:"noDev,omitempty"`
	NoExec bool `json:"noExec,omitempty"`
	// Optional says that a missing source or a refusal skips the mount.
	Optional bool `json:"optional,omitempty"`
}

// Mapping is a host path that a container sees.
type Mapping struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	Writable bool   `json:"writable,omitempty"`
}

// Extent is one line of a uid_map or gid_map: Count ids from Inside in the
// new namespace are Outside onwards in the parent namespace.
type Extent struct {
	Inside  int `json:"inside"`
	Outside int `json:"outside"`
	Count   int `json:"count"`
}

// IDMap is the user and group map of one user namespace.
type IDMap struct {
	UIDs []Extent `json:"uids"`
	GIDs []Extent `json:"gids"`
}
