// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"context"
	"errors"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// Plan is what Realise would do, each list in an order in which it can be
// done.
type Plan struct {
	// Add are the texts and local files that are not in the store.
	Add []store.Path `json:"add,omitempty"`
	// Fetch are the items that a substituter has.
	Fetch []FetchItem `json:"fetch,omitempty"`
	// Build are the derivations that must be built.
	Build []PlanItem `json:"build,omitempty"`
}

// FetchItem is an item that a substituter has.
type FetchItem struct {
	Path store.Path `json:"path"`
	From string     `json:"from"`
}

// PlanItem is one derivation.
type PlanItem struct {
	Name    string         `json:"name"`
	Key     derivation.Key `json:"key"`
	Builder string         `json:"builder"`
	// Pos is where it was declared, "" where that is unknown.
	Pos string `json:"pos,omitempty"`
	// Maybe says that inputs must be built first, and that this build falls
	// away if they turn out the same as before.
	Maybe bool `json:"maybe,omitempty"`
}

// Plan tells what Realise would do for these targets, and does nothing.
func (r *Realiser) Plan(ctx context.Context, g *derivation.Graph, targets ...string) (Plan, error) {
	return Plan{}, errors.ErrUnsupported
}
