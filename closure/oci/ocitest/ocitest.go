// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Package ocitest reads images back for tests, and trusts nothing in them.
//
// It owns a reader of image layouts that is independent of the code that
// writes them, and holds an image against the rules of the format and against
// what closure/oci promises: each path once, folders alike in all layers,
// nothing behind the end of an archive. It never changes a layout. Start with
// [Read].
package ocitest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Image is an image that was read and found good.
type Image struct {
	// Manifest is its digest.
	Manifest string
	// Config is what an engine runs.
	Config Config
	// Created is when it says that it was made.
	Created string
	// Layers are the entries of each layer, in order.
	Layers [][]File
	// Files is the whole tree by path.
	Files map[string]File
}

// Config is the part of an image's configuration that says how to start it.
type Config struct {
	Env, Entrypoint, Cmd   []string
	WorkingDir, StopSignal string
	Labels                 map[string]string
}

// File is an entry of a layer.
type File struct {
	// Path has no slash at its ends.
	Path string
	// Kind is "file", "dir" or "link".
	Kind     string
	Mode     int64
	UID, GID int
	// Content is the start of the SHA-256 of a file in hex, Target what a
	// link says.
	Content, Target string
	// Time is the modification time in seconds.
	Time int64
}

// String is one line: kind, mode, content, owner where it is not root, path.
func (f File) String() string {
	line := fmt.Sprintf("%s %04o", f.Kind, f.Mode)
	if f.Kind == "link" {
		line = "link"
	}
	if f.Content != "" {
		line += " " + f.Content
	}
	if f.UID != 0 || f.GID != 0 {
		line += fmt.Sprintf(" %d:%d", f.UID, f.GID)
	}
	line += " " + f.Path
	if f.Target != "" {
		line += " -> " + f.Target
	}
	return line
}

// Dump is the whole tree, a line a path.
func (i *Image) Dump() string {
	var lines []string
	for _, f := range i.Files {
		lines = append(lines, f.Path+"\x00"+f.String())
	}
	slices.Sort(lines)
	for n, l := range lines {
		_, lines[n], _ = strings.Cut(l, "\x00")
	}
	return strings.Join(lines, "\n") + "\n"
}

type descriptor struct {
	MediaType   string
	Digest      string
	Size        int64
	Annotations map[string]string
}

// Read reads and checks the image with a tag in the layout dir.
func Read(dir, tag string) (*Image, error) {
	var version struct{ ImageLayoutVersion string }
	if err := document(filepath.Join(dir, "oci-layout"), &version); err != nil {
		return nil, err
	}
	if version.ImageLayoutVersion != "1.0.0" {
		return nil, fmt.Errorf("oci-layout has version %q", version.ImageLayoutVersion)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		return nil, fmt.Errorf("something was left behind: %v", left)
	}
	var index struct {
		SchemaVersion int
		MediaType     string
		Manifests     []descriptor
	}
	if err := document(filepath.Join(dir, "index.json"), &index); err != nil {
		return nil, err
	}
	if index.SchemaVersion != 2 || index.MediaType != "application/vnd.oci.image.index.v1+json" {
		return nil, fmt.Errorf("index.json: version %d, type %q", index.SchemaVersion, index.MediaType)
	}
	var found []descriptor
	for _, d := range index.Manifests {
		if d.Annotations["org.opencontainers.image.ref.name"] == tag {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d manifests have the tag %q", len(found), tag)
	}
	return readImage(dir, found[0])
}

func readImage(dir string, d descriptor) (*Image, error) {
	var m struct {
		SchemaVersion int
		MediaType     string
		Config        descriptor
		Layers        []descriptor
	}
	if err := d.decode(dir, "application/vnd.oci.image.manifest.v1+json", &m); err != nil {
		return nil, err
	}
	if m.SchemaVersion != 2 || m.MediaType != d.MediaType {
		return nil, fmt.Errorf("the manifest has version %d and type %q", m.SchemaVersion, m.MediaType)
	}
	var c struct {
		Created, Architecture, OS string
		Config                    Config
		RootFS                    struct {
			Type    string
			DiffIDs []string `json:"diff_ids"`
		}
		History []struct {
			EmptyLayer bool `json:"empty_layer"`
		}
	}
	if err := m.Config.decode(dir, "application/vnd.oci.image.config.v1+json", &c); err != nil {
		return nil, err
	}
	switch {
	case c.Architecture == "" || c.OS != "linux":
		return nil, fmt.Errorf("the image is for %s/%s", c.OS, c.Architecture)
	case c.RootFS.Type != "layers" || len(c.RootFS.DiffIDs) != len(m.Layers) || len(c.History) != len(m.Layers):
		return nil, fmt.Errorf("%d layers, %d digests, %d lines of history", len(m.Layers), len(c.RootFS.DiffIDs), len(c.History))
	}
	i := &Image{Manifest: d.Digest, Config: c.Config, Created: c.Created, Files: map[string]File{}}
	for n, l := range m.Layers {
		files, err := readLayer(dir, l, c.RootFS.DiffIDs[n])
		if err == nil {
			err = i.apply(files)
		}
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", n, err)
		}
	}
	return i, nil
}

// apply puts a layer on those below it.
func (i *Image) apply(files []File) error {
	for _, f := range files {
		if old, ok := i.Files[f.Path]; ok && (f.Kind != "dir" || old != f) {
			return fmt.Errorf("%s stands in an earlier layer as %s", f, old)
		}
		i.Files[f.Path] = f
	}
	i.Layers = append(i.Layers, files)
	return nil
}

// decode reads a blob that is a document.
func (d descriptor) decode(dir, mediaType string, v any) error {
	if d.MediaType != mediaType {
		return fmt.Errorf("a blob has the type %q, want %q", d.MediaType, mediaType)
	}
	text, err := d.read(dir)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// read reads a blob and holds it against its descriptor.
func (d descriptor) read(dir string) ([]byte, error) {
	name, ok := strings.CutPrefix(d.Digest, "sha256:")
	if !ok || len(name) != hex.EncodedLen(sha256.Size) {
		return nil, fmt.Errorf("bad digest %q", d.Digest)
	}
	text, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", name))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != name || int64(len(text)) != d.Size {
		return nil, fmt.Errorf("blob %s: the content has %d bytes and another digest or size", d.Digest, len(text))
	}
	return text, nil
}

// document reads a JSON file that must be of one piece.
func document(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if dec.More() {
		return fmt.Errorf("%s: %w", path, errors.New("something follows the document"))
	}
	return nil
}
