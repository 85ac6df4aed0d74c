// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"osbuild/builder/realise"
	"osbuild/builder/services"
	"osbuild/closure"
	"osbuild/closure/oci"
	"osbuild/closure/segment"
	"osbuild/cmd/launch"
	"osbuild/runner/spec"
	"osbuild/store"
)

func imageVerb() verb {
	return verb{
		name:    "image",
		args:    "FILE[:NAME] or ITEM",
		summary: "build a system and export it as an OCI image",
		help: `osbuild image system.star -o oci:web            # the tag is "latest"
osbuild image system.star -o oci:web:1.2
osbuild image --max-layers 100 system.star -o oci:web:fine # less to pull for an update
osbuild image -n system.star                   # what would be built for it
podman run $(podman pull -q oci:web:1.2)`,
		setup: func(fs *pflag.FlagSet) runFunc {
			var o imageOptions
			fs.StringVarP(&o.output, "output", "o", "", "where to write: oci:DIR or oci:DIR:TAG, a folder in the form of an OCI image layout")
			fs.StringVar(&o.format, "format", string(segment.Zstd), "how layers are compressed: zstd, or gzip for older tools")
			fs.IntVar(&o.maxLayers, "max-layers", oci.DefaultLayers, fmt.Sprintf("how many layers the image may have, 1 to %d", oci.LayerLimit))
			fs.BoolVarP(&o.dryRun, "dry-run", "n", false, "print what would be built and fetched, and do neither")
			fs.BoolVar(&o.locked, "locked", false, "fail where the lock of packages would have to change")
			return o.run
		},
	}
}

type imageOptions struct {
	output, format string
	maxLayers      int
	locked, dryRun bool
}

// exported is the result of `image --json`.
type exported struct {
	Path     string `json:"path"`
	Tag      string `json:"tag"`
	Manifest string `json:"manifest"`
	Size     int64  `json:"size"`
	Layers   int    `json:"layers"`
	System   string `json:"system"`
}

const ociScheme = "oci:"

func (o *imageOptions) run(ctx context.Context, a *app, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("image: give one FILE or ITEM")
	}
	a.locked = o.locked
	if o.dryRun && o.output == "" {
		return o.printPlan(ctx, a, args[0])
	}
	layout, how, err := o.parse()
	if err != nil {
		return err
	}
	if o.dryRun {
		return o.printPlan(ctx, a, args[0])
	}
	item, err := a.containerItem(ctx, args[0], false)
	if err != nil {
		return err
	}
	s, size, err := a.imageSystem(item)
	if err != nil {
		return err
	}
	a.say("exporting %s: %d items, %.1f MiB", item.Base(), len(s.Items), float64(size)/(1<<20))
	how.Jobs, how.Warn = a.jobs, func(text string) { a.say("warning: %s", text) }
	r, err := oci.Export(ctx, s, layout, how)
	if err != nil {
		return err
	}
	a.say("image %s: %d layers, %.1f MiB", r.Manifest, r.Layers, float64(r.Size)/(1<<20))
	if a.json {
		return a.printJSON(exported{layout.Dir, layout.Tag, r.Manifest, r.Size, r.Layers, string(item)})
	}
	fmt.Fprintln(a.stdout, layout)
	return nil
}

// printPlan says what would be built for the image. An item is built already.
func (o *imageOptions) printPlan(ctx context.Context, a *app, target string) error {
	file, name := splitTarget(target)
	if strings.HasSuffix(file, ".star") {
		e, path, err := a.declareContainer(ctx, target, file, name, false)
		if err != nil {
			return err
		}
		return a.printPlan(ctx, e, path)
	}
	if _, err := a.containerItem(ctx, target, false); err != nil {
		return err
	}
	return a.showPlan(realise.Plan{})
}

// parse turns the flags into what the export takes.
func (o *imageOptions) parse() (oci.Layout, oci.Options, error) {
	fail := func(format string, args ...any) (oci.Layout, oci.Options, error) {
		return oci.Layout{}, oci.Options{}, usagef("image: "+format, args...)
	}
	format, err := segment.ParseFormat(o.format)
	if err != nil {
		return fail("--format: %v", err)
	}
	if o.maxLayers < 1 || o.maxLayers > oci.LayerLimit {
		return fail("--max-layers takes a number from 1 to %d, which is as many as engines take", oci.LayerLimit)
	}
	if o.output == "" {
		return fail("say where to write the image: -o oci:DIR or -o oci:DIR:TAG")
	}
	rest, ok := strings.CutPrefix(o.output, ociScheme)
	if !ok {
		return fail("cannot write to %q: oci:DIR and oci:DIR:TAG are what works; skopeo copies such a folder to elsewhere", o.output)
	}
	layout, err := oci.ParseLayout(rest)
	if err != nil {
		return fail("cannot write to %q: %v", o.output, err)
	}
	created, err := sourceDate()
	if err != nil {
		return oci.Layout{}, oci.Options{}, err
	}
	return layout, oci.Options{Format: format, MaxLayers: o.maxLayers, Architecture: runtime.GOARCH, Created: created}, nil
}

// imageSystem describes a system item to the export, and says how large its
// closure is.
func (a *app) imageSystem(item store.Path) (s oci.System, size int64, err error) {
	s.Item = string(item)
	s.Users, s.Groups = fixedIDs()
	if s.Container, err = launch.ReadContainer(filepath.Dir(a.store.Physical(item)), string(item)); err != nil {
		return s, 0, err
	}
	if s.Activation, err = readActivation(a.store, item); err != nil {
		return s, 0, err
	}
	infos, err := closure.Compute(a.store, item)
	if err != nil {
		return s, 0, err
	}
	for _, info := range infos {
		s.Items = append(s.Items, spec.Item{Logical: string(info.Path), Physical: a.store.Physical(info.Path)})
	}
	return s, closure.Size(infos), nil
}

// readActivation reads the plan of a system, which stands behind the line that
// makes it a program.
func readActivation(s *store.Store, item store.Path) (spec.ActivationPlan, error) {
	var plan spec.ActivationPlan
	file, err := s.Follow(item, "activate")
	if err != nil {
		return plan, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return plan, err
	}
	_, doc, _ := bytes.Cut(text, []byte("\n"))
	if err := json.Unmarshal(doc, &plan); err != nil {
		return plan, fmt.Errorf("cannot read the activation plan of %s: %w", item, err)
	}
	if plan.Version != spec.Version {
		return plan, fmt.Errorf("cannot export %s: its activation plan has version %d, and this osbuild knows %d; build the system again", item, plan.Version, spec.Version)
	}
	return plan, nil
}

// fixedIDs are the ids that accounts have in every system.
func fixedIDs() (users, groups map[string]int) {
	users, groups = map[string]int{}, map[string]int{}
	for _, u := range services.BaseUsers() {
		if u.UID != nil {
			users[u.Name] = *u.UID
		}
	}
	for _, g := range services.BaseGroups() {
		if g.ID != nil {
			groups[g.Name] = *g.ID
		}
	}
	return users, groups
}

// sourceDate is what the image says of its age: the beginning of time, as
// files of the store do, unless the caller knows better.
func sourceDate() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Unix(1, 0), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, fmt.Errorf("cannot export: SOURCE_DATE_EPOCH is %q, and must be a number of seconds", text)
	}
	return time.Unix(n, 0), nil
}
