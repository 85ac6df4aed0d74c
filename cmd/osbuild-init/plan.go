// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"osbuild/runner/spec"
)

// decodePlan reads a document of package spec. The first line may be the `#!`
// by which the kernel executes the file.
func decodePlan(name string, data []byte, into any) error {
	if bytes.HasPrefix(data, []byte("#!")) {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("cannot read %s: it is not a plan: %w", name, err)
	}
	if head.Version != spec.Version {
		return fmt.Errorf("cannot read %s: it has format version %d and this osbuild-init knows version %d; "+
			"build the system and its osbuild-init with the same osbuild", name, head.Version, spec.Version)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot read %s: there is something behind the plan", name)
	}
	return nil
}
