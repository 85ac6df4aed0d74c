// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package spec

// ServicePlan is the document `services` of a system: all services PID 1
// knows. Order in the list has no meaning; requirements order the start.
type ServicePlan struct {
	Version  int       `json:"version"`
	Services []Service `json:"services"`
}

// Service is one service. Provision[0] is its canonical name.
type Service struct {
	Provision     []string `json:"provision"`
	Requirement   []string `json:"requirement,omitempty"`
	Documentation string   `json:"documentation,omitempty"`
	// OneShot services run to completion: they have started when Start ended
	// with status 0, and are stopped again from then on.
	OneShot bool `json:"oneShot,omitempty"`
	// AutoStart services start at boot.
	AutoStart bool `json:"autoStart"`
	// Respawn says to start again a process that ended by itself.
	Respawn bool `json:"respawn,omitempty"`
	// RespawnLimit: more than Times respawns within Seconds disable the
	// service. RespawnDelayMS is waited before each respawn.
	RespawnLimit   RespawnLimit `json:"respawnLimit"`
	RespawnDelayMS int          `json:"respawnDelayMs"`
	Start          Start        `json:"start"`
	Stop           Stop         `json:"stop"`
	// Transient services are forgotten when they stop or end, and never
	// started by a restart of what they depend on.
	Transient bool     `json:"transient,omitempty"`
	Actions   []Action `json:"actions,omitempty"`
	// Configuration is the path of the file that configures the service, for
	// `herd configuration`.
	Configuration string `json:"configuration,omitempty"`
}

// Action is something that a service can be asked to do: a program that runs
// to completion, or a signal to its main process.
type Action struct {
	Name          string `json:"name"`
	Documentation string `json:"documentation,omitempty"`
	// Run gets the arguments of the request behind its own, and the process id
	// of a running service as MAINPID.
	Run    *Process `json:"run,omitempty"`
	Signal string   `json:"signal,omitempty"`
}

// RespawnLimit is "at most Times in Seconds".
type RespawnLimit struct {
	Times   int `json:"times"`
	Seconds int `json:"seconds"`
}

// Start says how a service starts: exactly one field is set; none set means
// that the service is a name for its requirements (a synchronisation point).
type Start struct {
	// Exec is a program that keeps running; the service is its process.
	Exec *Process `json:"exec,omitempty"`
	// Run are programs that run one after the other to completion.
	Run []Process `json:"run,omitempty"`
	// Mount is a file system that the service mounts.
	Mount *Mount `json:"mount,omitempty"`
	// Homes creates the homes of the declared regular users.
	Homes *Homes `json:"homes,omitempty"`
	// Directories are made, as by an activation step, when the service starts.
	Directories []Dir `json:"directories,omitempty"`
}

// Homes names the activation plan whose users get homes, and the skeleton.
type Homes struct {
	// Activate is the logical path of the activation plan.
	Activate string `json:"activate"`
	// Skeleton is a folder copied into each new home, if it exists.
	Skeleton string `json:"skeleton,omitempty"`
}

// Stop kinds.
const (
	// StopSignal sends Signal to the process group, waits, then kills.
	StopSignal = "signal"
	// StopRun runs Process to completion, then waits as StopSignal does.
	StopRun = "run"
	// StopKillAll signals every process but PID 1 (user-processes).
	StopKillAll = "kill-all"
	// StopUnmount unmounts what Start.Mount mounted.
	StopUnmount = "unmount"
	// StopNone does nothing.
	StopNone = "none"
)

// Stop says how a service stops.
type Stop struct {
	Kind string `json:"kind"`
	// Signal is a name such as "SIGTERM".
	Signal string `json:"signal,omitempty"`
	// GraceMS is how long to wait before SIGKILL, in milliseconds.
	GraceMS int      `json:"graceMs,omitempty"`
	Process *Process `json:"process,omitempty"`
}

// Process is a program with everything that decides how it runs. Its
// environment is exactly Env: nothing is inherited.
type Process struct {
	// Argv[0] is an absolute path.
	Argv []string `json:"argv"`
	// User and Group are names or decimal ids; empty means root, or the
	// user's primary group.
	User                string   `json:"user,omitempty"`
	Group               string   `json:"group,omitempty"`
	SupplementaryGroups []string `json:"supplementaryGroups,omitempty"`
	// Env holds KEY=VALUE, sorted.
	Env       []string `json:"env,omitempty"`
	Directory string   `json:"directory,omitempty"`
	// Umask is 0o022 when nil.
	Umask *uint32 `json:"umask,omitempty"`
	// Limits maps a name of setrlimit(2) in lower case ("nofile") to a limit.
	Limits map[string]Limit `json:"limits,omitempty"`
	// LogFile gets the output besides the service's own log.
	LogFile string `json:"logFile,omitempty"`
	// PIDFile appears when the process is ready, and names the main process.
	PIDFile string `json:"pidFile,omitempty"`
	Ready   *Ready `json:"ready,omitempty"`
}

// Limit is a soft and a hard resource limit; -1 means unlimited.
type Limit struct {
	Soft int64 `json:"soft"`
	Hard int64 `json:"hard"`
}

// Ready kinds.
const (
	ReadyTCP    = "tcp"
	ReadyUnix   = "unix"
	ReadyPath   = "path"
	ReadyNotify = "notify"
)

// Ready says when a started process counts as started.
type Ready struct {
	// Kind is one of the Ready constants.
	Kind string `json:"kind"`
	// Port is a TCP port on 127.0.0.1, for ReadyTCP.
	Port int `json:"port,omitempty"`
	// Path is a socket or file, for ReadyUnix and ReadyPath.
	Path string `json:"path,omitempty"`
	// TimeoutMS is how long to wait, in milliseconds; then the start failed.
	TimeoutMS int `json:"timeoutMs"`
}
