// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"osbuild/closure/layers"
	"osbuild/runner/spec"
)

const digestPrefix = "sha256:"

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return digestPrefix + hex.EncodeToString(sum[:])
}

// encode is the one form of a document: fields in order, no escapes that JSON
// does not need, no spaces, no line end.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// searchPath is where commands that an engine runs in the container are found.
const searchPath = spec.PrivilegedDir + ":" + spec.CurrentSystem + "/profile/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// image writes configuration, manifest and index for layers that are written.
func (w *writer) image(s System, packed []layers.Layer, blobs []blob, o Options) (Result, error) {
	created := o.Created.UTC()
	img := image{
		Created:  created,
		platform: platform{Architecture: o.Architecture, OS: "linux"},
		Config: config{
			Env:        []string{"PATH=" + searchPath, "HOME=/root", "container=oci"},
			Entrypoint: []string{path.Join(s.Item, "boot")},
			WorkingDir: "/",
			Labels:     map[string]string{labelTitle: s.Container.HostName},
			StopSignal: "SIGTERM",
		},
		RootFS: rootFS{Type: "layers"},
	}
	m := manifest{SchemaVersion: 2, MediaType: mediaManifest}
	result := Result{Layers: len(blobs)}
	for i, b := range blobs {
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, b.diffID)
		img.History = append(img.History, history{Created: created, CreatedBy: "osbuild", Comment: comment(packed[i])})
		m.Layers = append(m.Layers, b.descriptor)
		result.Size += b.Size
	}
	for _, doc := range []struct {
		mediaType string
		value     any
		done      func(descriptor)
	}{
		{mediaConfig, &img, func(d descriptor) { m.Config = d }},
		{mediaManifest, &m, func(d descriptor) { result.Manifest = d.Digest }},
	} {
		text, err := encode(doc.value)
		if err != nil {
			return Result{}, err
		}
		b, err := w.add(doc.mediaType, text)
		if err != nil {
			return Result{}, err
		}
		doc.done(b.descriptor)
		result.Size += b.Size
		blobs = append(blobs, b)
	}
	last := blobs[len(blobs)-1].descriptor
	last.Platform = &img.platform
	if err := w.publish(blobs, last); err != nil {
		return Result{}, fmt.Errorf("to %s: %w", w.Dir, err)
	}
	return result, nil
}

// comment names the parts of a layer for people who ask what it holds.
func comment(l layers.Layer) string {
	const most = 8
	var names []string
	for _, p := range l.Parts {
		names = append(names, p.Name)
	}
	if more := len(names) - most; more > 1 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// addToIndex is the index old with a manifest under a tag, in place of the one
// that had the tag. Everything else in it stays as it is.
func addToIndex(old []byte, tag string, d descriptor) ([]byte, error) {
	index := map[string]json.RawMessage{}
	if old != nil {
		if err := json.Unmarshal(old, &index); err != nil {
			return nil, fmt.Errorf("it is no image index: %w", err)
		}
	}
	var list []json.RawMessage
	if raw, ok := index["manifests"]; ok {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("it is no image index: manifests: %w", err)
		}
	}
	if index == nil {
		return nil, errors.New("it is no image index")
	}
	d.Annotations = map[string]string{annotationTag: tag}
	mine, err := encode(d)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(raw json.RawMessage) bool {
		var other struct{ Annotations map[string]string }
		// What cannot be read is not ours to remove.
		return json.Unmarshal(raw, &other) == nil && other.Annotations[annotationTag] == tag
	})
	list = append(list, mine)
	all, err := encode(list)
	if err != nil {
		return nil, err
	}
	index["manifests"] = all
	for name, value := range map[string]any{"schemaVersion": 2, "mediaType": mediaIndex} {
		if _, ok := index[name]; ok {
			continue
		}
		if index[name], err = encode(value); err != nil {
			return nil, err
		}
	}
	return encode(index)
}
