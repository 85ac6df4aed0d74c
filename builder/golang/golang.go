// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package golang declares programs that the host's Go toolchain builds.
package golang

import (
	"context"
	"errors"

	"osbuild/builder/derivation"
)

// Toolchain is a Go distribution of the host.
type Toolchain struct {
	// Root is its GOROOT on the host.
	Root string
	// Version is such as "go1.26.0".
	Version string
}

// Options say what program to build.
type Options struct {
	// Name is that of the program and of its item.
	Name string
	// Src is the path of the folder with go.mod: a source, or a placeholder,
	// and perhaps a folder inside it.
	Src string
	// Package is the program's package, relative to Src; "" is ".".
	Package string
	// Tags are build tags.
	Tags []string
	Pos  derivation.Position
}

// HostToolchain finds and hashes the host's toolchain.
func HostToolchain(ctx context.Context, h derivation.Hasher) (*Toolchain, error) {
	return nil, errors.ErrUnsupported
}

// Program declares a program and gives the path of its item, in which it is
// bin/<Name>.
func Program(g *derivation.Graph, tc *Toolchain, o Options) (string, error) {
	return "", errors.ErrUnsupported
}
