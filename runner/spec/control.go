// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package spec

// Requests that osbuild-init understands. Those marked (runner) are refused
// on the socket inside the container.
const (
	// OpStatus asks for the state of Service, or of all when it is empty.
	OpStatus = "status"
	// OpStart, OpStop, OpRestart, OpEnable, OpDisable act on Service and
	// reply when done, with the states of the services they touched.
	OpStart   = "start"
	OpStop    = "stop"
	OpRestart = "restart"
	OpEnable  = "enable"
	OpDisable = "disable"
	// OpWait replies once activation is over and every auto-start service is
	// running, done or failed, or after TimeoutMS; Reply.Services holds all.
	OpWait = "wait"
	// OpLogs replies with the last lines of Service's log in Reply.Log.
	OpLogs = "logs"
	// OpRun (runner) runs Process with descriptors 0-2 of PID 1 and replies
	// with Exit when it ended.
	OpRun = "run"
	// OpPowerOff stops all services in order, then PID 1 exits 0.
	OpPowerOff = "power-off"
)

// Request is one line to osbuild-init.
type Request struct {
	// ID comes back in the reply; several requests may be under way.
	ID        int      `json:"id"`
	Op        string   `json:"op"`
	Service   string   `json:"service,omitempty"`
	TimeoutMS int      `json:"timeoutMs,omitempty"`
	Process   *Process `json:"process,omitempty"`
}

// Reply is one line from osbuild-init.
type Reply struct {
	ID int `json:"id"`
	// Error is empty when the request was done.
	Error    string          `json:"error,omitempty"`
	Services []ServiceStatus `json:"services,omitempty"`
	// Activation lists the steps that failed or were skipped.
	Activation []StepStatus `json:"activation,omitempty"`
	Log        string       `json:"log,omitempty"`
	// Exit is how the process of OpRun ended; beside an Error it is the status
	// of a program that could not be executed, 126 or 127.
	Exit *Exit `json:"exit,omitempty"`
	// TimedOut says that OpWait gave up before everything had settled.
	TimedOut bool `json:"timedOut,omitempty"`
}

// Service states.
const (
	StateStopped  = "stopped"
	StateStarting = "starting"
	StateRunning  = "running"
	StateStopping = "stopping"
	// StateDone is a one-shot that ran to completion.
	StateDone = "done"
	// StateFailed is a service whose start failed or that respawned too fast.
	StateFailed = "failed"
)

// ServiceStatus is what `herd status` shows of one service.
type ServiceStatus struct {
	Name          string   `json:"name"`
	Provision     []string `json:"provision"`
	Requirement   []string `json:"requirement,omitempty"`
	Documentation string   `json:"documentation,omitempty"`
	State         string   `json:"state"`
	Enabled       bool     `json:"enabled"`
	AutoStart     bool     `json:"autoStart"`
	OneShot       bool     `json:"oneShot,omitempty"`
	// PID is the main process as PID 1 sees it, 0 when there is none.
	PID      int `json:"pid,omitempty"`
	Respawns int `json:"respawns,omitempty"`
	// Reason says why the service failed, with the last log lines' cause.
	Reason string `json:"reason,omitempty"`
}

// StepStatus is an activation step that did not simply succeed.
type StepStatus struct {
	Phase string `json:"phase"`
	Name  string `json:"name"`
	// Skipped is true where the step could not be done for lack of privilege.
	Skipped bool   `json:"skipped,omitempty"`
	Reason  string `json:"reason"`
}

// Exit is how a process ended: by Code, or by Signal when that is not 0.
type Exit struct {
	Code   int `json:"code"`
	Signal int `json:"signal,omitempty"`
}

// Status is the shell's view of an exit: the code, or 128 plus the signal.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + e.Signal
	}
	return e.Code
}
