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
	// OpAction runs the action Action of Service with Args, and replies with
	// what it wrote in Reply.Log and how it ended in Reply.Exit.
	OpAction = "action"
	// OpUpgrade loads the service plan at the path Plan in place of the one
	// that PID 1 follows, and replies with what became of it in Reply.Upgrade.
	OpUpgrade = "upgrade"
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
	// Action and Args are for OpAction, Plan is for OpUpgrade.
	Action string   `json:"action,omitempty"`
	Args   []string `json:"args,omitempty"`
	Plan   string   `json:"plan,omitempty"`
	// Activation is how the activation before OpUpgrade went; it takes the
	// place of what status tells of the last one.
	Activation []StepStatus `json:"activation,omitempty"`
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
	// Upgrade is the answer to OpUpgrade.
	Upgrade *Upgrade `json:"upgrade,omitempty"`
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
	// Warnings are what the programs of a one-shot that is done complained of:
	// their lines that begin with "warning: ", without that word; and what could
	// not be had for a service: room for its log, a resource limit.
	Warnings []string `json:"warnings,omitempty"`
	// Log are the last lines of the log of a service that failed.
	Log []string `json:"log,omitempty"`
	// Next says what to do about a service that failed or is disabled.
	Next string `json:"next,omitempty"`
	// Transient services vanish when they stop.
	Transient bool `json:"transient,omitempty"`
	// Replacement says that another definition of the service takes its place
	// when it stops.
	Replacement bool `json:"replacement,omitempty"`
	// Actions are what `herd ACTION SERVICE` can do besides the usual.
	Actions []ActionDoc `json:"actions,omitempty"`
	// Configuration is the file that configures the service, if it has one.
	Configuration string `json:"configuration,omitempty"`
}

// ActionDoc names an action of a service.
type ActionDoc struct {
	Name          string `json:"name"`
	Documentation string `json:"documentation,omitempty"`
}

// Upgrade is what OpUpgrade did, as canonical names, sorted.
type Upgrade struct {
	// Unloaded services are gone: the new plan lacks them, and nothing that
	// stays needs them.
	Unloaded []string `json:"unloaded,omitempty"`
	// Replaced services were at rest and have their new definition.
	Replaced []string `json:"replaced,omitempty"`
	// Restart are services that run by their old definition until they are
	// restarted.
	Restart []string `json:"restart,omitempty"`
	// Started are services that start by themselves and did not run.
	Started []string `json:"started,omitempty"`
}

// StepStatus is an activation step that did not simply succeed.
type StepStatus struct {
	Phase string `json:"phase"`
	Name  string `json:"name"`
	// Skipped is true where the step could not be done for lack of privilege.
	Skipped bool `json:"skipped,omitempty"`
	// Warning is true where the step was done, but not as it was declared.
	Warning bool   `json:"warning,omitempty"`
	Reason  string `json:"reason"`
}

// Outcome is one word for messages: "failed", "skipped" or "warning".
func (s StepStatus) Outcome() string {
	switch {
	case s.Warning:
		return "warning"
	case s.Skipped:
		return "skipped"
	}
	return "failed"
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
