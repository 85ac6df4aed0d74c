// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package spec

// BootPlan is the document in a system's `boot`: what PID 1 does, in order.
// The file's first line is `#!<init item>/bin/osbuild-init init`, the rest is
// this document. PID 1 finds the system item as the folder of the path by
// which the file was executed.
type BootPlan struct {
	Version int `json:"version"`
	// Activate is the logical path of the activation plan.
	Activate string `json:"activate"`
	// Services is the logical path of the service plan.
	Services string `json:"services"`
}

// Phases of an activation, in the order in which they run. Steps of one phase
// run in plan order.
const (
	PhaseState       = "state"
	PhaseCleanup     = "cleanup"
	PhaseAccounts    = "accounts"
	PhaseSpecial     = "special-files"
	PhaseEtc         = "etc"
	PhaseDirectories = "directories"
	PhasePrivileged  = "privileged"
	PhaseUser        = "user"
)

// Phases lists all phases in order.
func Phases() []string {
	return []string{
		PhaseState, PhaseCleanup, PhaseAccounts, PhaseSpecial,
		PhaseEtc, PhaseDirectories, PhasePrivileged, PhaseUser,
	}
}

// ActivationPlan is the document in a system's `activate`, behind a first
// line `#!<init item>/bin/osbuild-init activate`.
type ActivationPlan struct {
	Version int    `json:"version"`
	Steps   []Step `json:"steps"`
}

// Step is one activation step: exactly one of the pointer fields is set. A
// failing step is reported with its reason and the rest goes on.
type Step struct {
	Phase string `json:"phase"`
	// Name is shown in messages and by `herd status`, e.g. "etc".
	Name string `json:"name"`
	// BootOnly steps are left out when a running system is reconfigured.
	BootOnly bool `json:"bootOnly,omitempty"`

	Cleanup     *Cleanup     `json:"cleanup,omitempty"`
	Accounts    *Accounts    `json:"accounts,omitempty"`
	Links       []Link       `json:"links,omitempty"`
	Etc         *Etc         `json:"etc,omitempty"`
	Limits      *Limits      `json:"limits,omitempty"`
	Directories []Dir        `json:"directories,omitempty"`
	Tree        *Tree        `json:"tree,omitempty"`
	Privileged  []Privileged `json:"privileged,omitempty"`
	Run         *Process     `json:"run,omitempty"`
}

// Cleanup empties and remakes volatile folders. Deleting follows no symbolic
// link and crosses no mount point.
type Cleanup struct {
	// Remove are files to delete, e.g. stale /etc/.pwd.lock.
	Remove []string `json:"remove,omitempty"`
	// Empty are folders whose content is deleted, then made anew with Mode.
	Empty []Dir `json:"empty,omitempty"`
}

// Accounts are the declared users and groups. Ids that are not given are
// allocated at activation, persisted, and never reused for another name.
type Accounts struct {
	Users  []User  `json:"users"`
	Groups []Group `json:"groups"`
	Subids *Subids `json:"subids,omitempty"`
}

// User is one account.
type User struct {
	Name string `json:"name"`
	UID  *int   `json:"uid,omitempty"`
	// Group is the name or decimal id of the primary group.
	Group               string   `json:"group"`
	SupplementaryGroups []string `json:"supplementaryGroups,omitempty"`
	Comment             string   `json:"comment,omitempty"`
	Home                string   `json:"home"`
	CreateHome          bool     `json:"createHome,omitempty"`
	Shell               string   `json:"shell"`
	System              bool     `json:"system,omitempty"`
	// Password is a crypt(3) hash for the first creation; empty locks it.
	Password string `json:"password,omitempty"`
}

// Group is one group.
type Group struct {
	Name     string `json:"name"`
	GID      *int   `json:"gid,omitempty"`
	System   bool   `json:"system,omitempty"`
	Password string `json:"password,omitempty"`
}

// Subids are the subordinate ids of /etc/subuid and /etc/subgid. Min and Max
// bound where ranges without a start are placed (Max is exclusive).
type Subids struct {
	AddRoot bool         `json:"addRoot"`
	Min     int          `json:"min"`
	Max     int          `json:"max"`
	UIDs    []SubidRange `json:"uids,omitempty"`
	GIDs    []SubidRange `json:"gids,omitempty"`
}

// SubidRange is a range of subordinate ids; Start nil means "place it".
type SubidRange struct {
	Name  string `json:"name"`
	Start *int   `json:"start,omitempty"`
	Count int    `json:"count"`
}

// Etc makes /etc from a tree item: folders become real folders, leaves become
// symbolic links to the leaf's own path in the tree's item, and the names in
// Copies become regular files.
type Etc struct {
	// Tree is the logical path of the etc item.
	Tree string `json:"tree"`
	// Copies maps a name below /etc to the mode of its regular file.
	Copies map[string]uint32 `json:"copies,omitempty"`
	// Yields are names that are left out where the tree of a package, copied
	// to /etc by another step, has a file of that name.
	Yields []string `json:"yields,omitempty"`
}

// Limits makes a limits.conf(5) at To, a regular file of mode 0644, from the
// one at From. A limit that the kernel would refuse here is lowered to the
// highest one possible, because pam_limits refuses whole sessions otherwise;
// the status of the step says so.
type Limits struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Privileged is a program that is copied to PrivilegedDir with privileges.
type Privileged struct {
	Program string `json:"program"`
	Setuid  bool   `json:"setuid,omitempty"`
	Setgid  bool   `json:"setgid,omitempty"`
	User    string `json:"user,omitempty"`
	Group   string `json:"group,omitempty"`
	// Capabilities are names such as "cap_net_raw", given as +ep.
	Capabilities []string `json:"capabilities,omitempty"`
}
