// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package spec

// TaskPlan is a small program without a shell: the document in an executable
// item behind a first line `#!<init item>/bin/osbuild-init task`. Its tasks are
// done in order. What is wrong but no reason to stop is written to standard
// error behind the word "warning: "; the first task that fails ends it with
// status 1.
type TaskPlan struct {
	Version int    `json:"version"`
	Tasks   []Task `json:"tasks"`
}

// Task is one thing to do: exactly one field is set.
type Task struct {
	// ShareMount makes the mount at this path shared, and none below it.
	ShareMount  string       `json:"shareMount,omitempty"`
	Controllers *Controllers `json:"controllers,omitempty"`
	CgroupOwner *CgroupOwner `json:"cgroupOwner,omitempty"`
}

// Controllers enables controllers for the children of a control group, by one
// write. A controller that is not available there is a warning, not a failure.
type Controllers struct {
	// Root is the folder of the group, "/sys/fs/cgroup".
	Root string `json:"root"`
	// Enable are names in the order of the write, e.g. "cpu".
	Enable []string `json:"enable"`
}

// CgroupOwner gives a group of users the right to make control groups below
// one: the folder gets DirMode, Files in it FileMode, all the owners. Owners
// that the kernel does not let us change are a warning, not a failure.
type CgroupOwner struct {
	Root     string   `json:"root"`
	User     string   `json:"user,omitempty"`
	Group    string   `json:"group,omitempty"`
	DirMode  uint32   `json:"dirMode"`
	FileMode uint32   `json:"fileMode"`
	Files    []string `json:"files,omitempty"`
}
