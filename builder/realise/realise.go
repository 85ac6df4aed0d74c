// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package realise turns what an evaluation declared into items of the store:
// it builds what is missing, and nothing else.
//
// It owns the order and the parallelism of builds, the records that say what
// a derivation gave (realisations and their memo), the logs, and the
// interfaces by which builds are done: [Executor], [Builtin], [Substituter].
// It never starts a process itself, never knows how a sandbox is made, and
// never puts the output of a failed or cancelled build into the store.
//
// A derivation is looked up, in this order, by its own key in the memo; once
// its inputs are there, by its resolved key among the realisations, so that
// an input which turned out the same stops the rebuild of all that depends on
// it; among the substituters; and only then it is built. Start with
// [Realiser.Realise], then read schedule.go.
package realise

import (
	"context"
	"io"
	"time"

	"osbuild/builder/derivation"
	"osbuild/runner/spec"
	"osbuild/store"
)

// Executor runs a builder program in a sandbox; the runner's Sandbox does.
type Executor interface {
	// Run runs b to its end, and gives its standard output and error to log.
	// The error says why it could not be run, or wraps the context's.
	Run(ctx context.Context, b spec.Build, log io.Writer) (spec.Exit, error)
}

// Builtin makes the items of one kind of derivation inside this process.
type Builtin interface {
	// Name is what follows "builtin:" in Derivation.Builder.
	Name() string
	// Version is that of the derivations it understands.
	Version() int
	Build(ctx context.Context, r Request) error
}

// Downloader is a [Builtin] that waits for the network most of the time: more
// of its builds run at once than there are processors.
type Downloader interface {
	Builtin
	// DownloadSize is how many bytes d fetches, 0 where that is unknown.
	DownloadSize(d *derivation.Derivation) int64
}

// Request is one build by a [Builtin].
type Request struct {
	// Drv is resolved: it names real store paths, and the scratch paths of
	// its own outputs.
	Drv *derivation.Derivation
	// Physical tells where an item of the closure of the inputs lies.
	Physical func(store.Path) string
	// Closure is the closure of the inputs, sorted.
	Closure []store.Path
	// Outs maps each output to the path at which to make it.
	Outs map[string]string
	// Scratch maps each output to the path that it stands for in Drv.
	Scratch map[string]store.Path
	// TempDir is an empty folder for the build's own use.
	TempDir string
	// Log is kept; its end is shown when the build fails.
	Log io.Writer
	// Warn tells the user what he should know although the build succeeds: a
	// short text.
	Warn func(text string)
	// Progress tells how many bytes of a download have come, of how many.
	Progress func(done, total int64)
	// Offline forbids the network.
	Offline bool
}

// Substituter gives items that were built elsewhere.
type Substituter interface {
	// Name is shown in messages.
	Name() string
	// Realisation tells what the derivation with this resolved key gave
	// elsewhere: a path for each of its outputs. It is nil where the
	// substituter knows nothing of it, or nothing that is trusted.
	Realisation(ctx context.Context, resolved derivation.Key) (map[string]store.Path, error)
	// Fetch brings the item and its closure into the store, under the lease.
	// It gives an error that wraps store.ErrNotFound for one it does not have.
	Fetch(ctx context.Context, l *store.Lease, p store.Path) error
}

// Kinds of events.
const (
	// EventAdd: a text or a local file was added to the store.
	EventAdd = "add"
	// EventWaiting: another process, or another part of this one, builds the
	// same thing, and its result is awaited.
	EventWaiting = "waiting"
	// EventStart, EventDone and EventFailed: a build by Event.Builder.
	EventStart  = "build-start"
	EventDone   = "build-done"
	EventFailed = "build-failed"
	// EventFetch: an item was fetched from the substituter Event.Builder.
	EventFetch = "fetch"
	// EventUnavailable: the substituter Event.Builder could not be asked, for
	// the reason Event.Detail; the build goes on without it.
	EventUnavailable = "unavailable"
	// EventDiffers: a build gave other bytes than an earlier build of the
	// same thing, whose result stands; Event.Detail says which.
	EventDiffers = "differs"
	// EventWarning: a build says something that the user should know,
	// Event.Detail.
	EventWarning = "warning"
	// EventQueued: a download of Event.Total bytes (0: unknown) waits for its
	// turn; EventSettled ends it: all bytes are Event.Done where the item is
	// there, from here or from elsewhere, and none where the build failed.
	// Between them EventProgress says that Event.Done bytes are there.
	EventQueued   = "download-queued"
	EventProgress = "download-progress"
	EventSettled  = "download-settled"
	// EventDownloaded: a call had downloads, and all of them are settled.
	EventDownloaded = "downloads-over"
)

// Event is something that happened on the way.
type Event struct {
	// Kind is one of the Event constants.
	Kind string
	// Name is that of the derivation, or of the item.
	Name string
	// Key is that of the derivation; it is empty for EventAdd.
	Key derivation.Key
	// Builder is "builtin:text", the path of a program, or a substituter.
	Builder  string
	Duration time.Duration
	Detail   string
	// Done and Total are bytes of a download.
	Done, Total int64
}

// Observer is told what happens. It is called by several goroutines.
type Observer interface{ Event(Event) }

// Realiser builds. Its fields are set before the first call and not changed.
type Realiser struct {
	Store *store.Store
	// Lease keeps alive what is realised, as long as it is open.
	Lease *store.Lease
	// Executor runs programs. Without one only builtins can build.
	Executor     Executor
	Builtins     []Builtin
	Substituters []Substituter
	// Jobs is how many builds run at once, downloads aside; less than 1
	// means 1.
	Jobs int
	// KeepFailed keeps the folders of failed builds below <root>/failed.
	KeepFailed bool
	Observer   Observer
	// Offline forbids the network to builtins.
	Offline bool
}

func (r *Realiser) event(e Event) {
	if r.Observer != nil {
		r.Observer.Event(e)
	}
}
