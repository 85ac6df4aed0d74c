// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import "osbuild/builder/debian/control"

// Index is what can be chosen from.
type Index struct {
	arch string
}

// NewIndex makes an index of packages for one architecture. The candidate of
// a name is its highest version over all suites; of equal versions that which
// stands first in pkgs.
func NewIndex(arch string, pkgs []*control.Package) *Index {
	return &Index{arch: arch}
}
