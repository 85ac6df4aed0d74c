// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"osbuild/store/nar"
)

// listed is one entry of a listing, in Nix's format.
type listed struct {
	Type       nar.Type           `json:"type"`
	Size       *int64             `json:"size,omitempty"`
	Executable bool               `json:"executable,omitempty"`
	NarOffset  *int64             `json:"narOffset,omitempty"`
	Target     string             `json:"target,omitempty"`
	Entries    map[string]*listed `json:"entries,omitzero"`
}

// Listing writes what files the tree at a place holds, and where each stands
// in its archive.
func Listing(ctx context.Context, place string) ([]byte, error) {
	t, err := nar.List(ctx, place, nil)
	if err != nil {
		return nil, err
	}
	l, err := t.Layout(ctx)
	if err != nil {
		return nil, err
	}
	offsets := make(map[*nar.Node]*int64)
	for _, p := range l.Pieces {
		if p.File != nil {
			offsets[p.File] = &p.Offset
		}
	}
	byPath := make(map[string]*listed, len(t.Nodes))
	for k := range t.Nodes {
		n := &t.Nodes[k]
		e := &listed{Type: n.Type, Executable: n.Executable, NarOffset: offsets[n], Target: n.Target}
		switch n.Type {
		case nar.Regular:
			e.Size = &n.Size
		case nar.Directory:
			e.Entries = make(map[string]*listed)
		}
		byPath[n.Path] = e
		if n.Path != "" {
			dir := n.Path[:max(0, strings.LastIndexByte(n.Path, '/'))]
			byPath[dir].Entries[n.Base()] = e
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(struct {
		Version int     `json:"version"`
		Root    *listed `json:"root"`
	}{1, byPath[""]})
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
