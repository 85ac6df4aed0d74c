// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"context"
	"strings"

	"osbuild/builder/debian/ldso"
	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
)

// pkg is one package of the set, with what became of its scripts.
type pkg struct {
	*rootfs.Package
	// answers are the defaults of its questions, by name; nil until one is
	// asked.
	answers map[string]string

	// did are the classes that did something for its scripts.
	did map[string]bool
	// left are commands of its scripts that nobody did, in order.
	left []string
}

// root is what the packages of a set make together: a tree of files, and what
// their scripts say of accounts and the like. Classes change it, and item.go
// writes it down.
type root struct {
	*rootfs.Root
	pkgs   []*pkg
	byName map[string]*pkg

	accounts
	alternatives
	// overrides are paths for which dpkg-statoverride holds an owner.
	overrides map[string]bool
	// capabilities are those that scripts give to programs.
	capabilities map[string][]string
	warnings     []string
	temporary    int
	// programs are the files that were looked into.
	programs map[*rootfs.Node]*ldso.Program
}

// open reads the packages of a set, sorted by name.
func open(ctx context.Context, pkgs []*pkg) (*root, error) {
	r := &root{
		pkgs: pkgs, byName: map[string]*pkg{},
		overrides: map[string]bool{}, capabilities: map[string][]string{}, programs: map[*rootfs.Node]*ldso.Program{},
	}
	var list []*rootfs.Package
	for _, p := range pkgs {
		p.did = map[string]bool{}
		r.byName[p.Name] = p
		list = append(list, p.Package)
	}
	var err error
	if r.Root, err = rootfs.Open(ctx, list, script.Unknown); err != nil {
		return nil, err
	}
	return r, r.readStatic()
}

// lines are the lines of a text.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
