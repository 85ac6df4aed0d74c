// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"osbuild/runner/spec"
)

// ownNames are what lies beside the folders of the root in its item, and the
// folder that holds the items.
var ownNames = []string{spec.PackagesRoot, spec.PackagesPlan, packagesList, warningsFile, "osbuild"}

const (
	packagesList = "packages.json"
	warningsFile = "warnings"
)

// writeItem makes the item of the root at out, whose path others see as self.
func (r *root) writeItem(out, self string, warnings []string) error {
	tree, run, err := r.WriteTo(out, self, ownNames...)
	if err != nil {
		return err
	}
	if err := document(filepath.Join(out, spec.PackagesRoot), tree); err != nil {
		return err
	}
	if err := document(filepath.Join(out, spec.PackagesPlan), r.plan(tree, run)); err != nil {
		return err
	}
	if err := document(filepath.Join(out, packagesList), r.list()); err != nil {
		return err
	}
	text := ""
	for _, line := range warnings {
		text += line + "\n"
	}
	return os.WriteFile(filepath.Join(out, warningsFile), []byte(text), 0o644)
}

// document writes a value as JSON.
func document(file string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}
