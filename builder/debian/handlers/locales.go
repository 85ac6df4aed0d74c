// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import "strings"

// locales makes the list of the locales that locale-gen could make, all of
// them off, as a new system has it. C.UTF-8 needs none.
var locales = class{name: "locales", whole: []string{"locales"}, finish: func(r *root) error {
	const list = "/etc/locale.gen"
	n, _, err := r.Find("/usr/share/i18n/SUPPORTED", true)
	if err != nil || r.Has(list) || r.byName["locales"] == nil {
		return nil
	}
	text, err := n.Bytes()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# The locales that locale-gen makes: remove the mark of those that are wanted.\n")
	for _, line := range lines(text) {
		b.WriteString("# " + line + "\n")
	}
	return r.Create(list, b.String())
}}
