// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"context"
	"errors"

	"osbuild/builder/derivation"
	"osbuild/store"
)

// Bodies follow.

func (r *Realiser) Realise(ctx context.Context, g *derivation.Graph, targets ...string) ([]store.Path, error) {
	return nil, errors.ErrUnsupported
}

func (r *Realiser) Check(ctx context.Context, g *derivation.Graph, targets ...string) error {
	return errors.ErrUnsupported
}

func signalName(n int) string { return "" }
