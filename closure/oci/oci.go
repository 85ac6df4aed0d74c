// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package oci exports a system as an OCI image, which container engines run.
//
// It owns what stands where in an image and the documents of an image layout.
// The same system gives the same bytes on every machine, for every user and
// with any number of processors. It never changes the store or starts
// anything, and it decides no owner: ids that an image can hold are given, and
// what has no such id is left to the activation at boot. Start with [Export].
package oci

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"osbuild/closure/layers"
	"osbuild/closure/segment"
	"osbuild/runner/spec"
)

// System is what an image is made of.
type System struct {
	// Item is the logical path of the system item; its `boot` becomes PID 1.
	Item string
	// Items are the closure of Item.
	Items []spec.Item
	// Container is the system's container.json, Activation its own plan.
	Container  spec.Container
	Activation spec.ActivationPlan
	// Users and Groups are the ids of the accounts that have the same one in
	// every system. Root need not be among them.
	Users, Groups map[string]int
}

// Options say how to export.
type Options struct {
	Format segment.Format
	// MaxLayers is how many layers the image may have, 1 to [LayerLimit].
	MaxLayers int
	// Architecture is the name that engines use, e.g. "amd64".
	Architecture string
	// Created is what the image says of its age.
	Created time.Time
	// Jobs is how many layers are written at once; 0: one a processor.
	Jobs int
	// Warn tells what the image cannot hold as the system has it.
	Warn func(text string)
}

// LayerLimit is how many layers engines take. DefaultLayers is how many all of
// them take in all ways: podman before 4.4, Debian 12's among them, loses the
// map of a user namespace above about 20.
const (
	LayerLimit    = 127
	DefaultLayers = 16
)

// Result is an exported image.
type Result struct {
	// Manifest is the digest of the manifest: what identifies the image.
	Manifest string
	// Size is the sum of the sizes of all its blobs, Layers their number but
	// for manifest and configuration.
	Size   int64
	Layers int
}

// maxJobs bounds the memory of the compressors, of which each takes some 30 MB.
const maxJobs = 16

// Export writes the image of a system to a layout, where it gets a tag.
func Export(ctx context.Context, s System, to Layout, o Options) (Result, error) {
	r, err := export(ctx, s, to, o)
	if err != nil {
		return Result{}, fmt.Errorf("cannot export %s: %w", s.Item, err)
	}
	return r, nil
}

func export(ctx context.Context, s System, to Layout, o Options) (Result, error) {
	if o.MaxLayers < 1 || o.MaxLayers > LayerLimit {
		return Result{}, fmt.Errorf("an image has 1 to %d layers, not %d", LayerLimit, o.MaxLayers)
	}
	if o.Jobs < 1 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	o.Jobs = min(o.Jobs, maxJobs)
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	parts, err := parts(ctx, s, o.Warn)
	if err != nil {
		return Result{}, err
	}
	left(s.Container, o.Warn)
	packed := layers.Pack(parts, o.MaxLayers)
	w, err := to.open()
	if err != nil {
		return Result{}, err
	}
	defer w.close()
	blobs, err := writeLayers(ctx, w, packed, o)
	if err != nil {
		return Result{}, err
	}
	return w.image(s, packed, blobs, o)
}

// left tells what the system expects of whoever starts it, and an image cannot
// ask for.
func left(c spec.Container, warn func(text string)) {
	for _, m := range c.Mounts {
		switch {
		case m.Optional:
		case m.Kind == spec.MountBind:
			warn(fmt.Sprintf("%s is the host's %s, which is not in the image: give it to the engine, as with --volume", m.Target, m.Source))
		default:
			warn(fmt.Sprintf("%s is a %s, which is not in the image: ask the engine for it, as with --mount", m.Target, m.Kind))
		}
	}
	for _, name := range c.Requires {
		warn(fmt.Sprintf("the system works only with %q: start the image with what that stands for", name))
	}
}
