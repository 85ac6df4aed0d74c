// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"osbuild/builder/debian/control"
)

// entry is one source of packages: a line of a .list, or a stanza of a
// .sources, of the type deb.
type entry struct {
	where      string // file and line, for messages
	uris       []string
	suites     []string
	components []string
	options    options
}

// options are what a source says about itself. A zero value means that apt's
// configuration, or its default, decides.
type options struct {
	arches, archesAdd, archesRemove []string

	signedBy    string // paths and fingerprints, or a block of keys
	trusted     *bool
	byHash      string // "", "yes", "no" or "force"
	checkUntil  *bool
	checkDate   *bool
	untilMin    time.Duration
	untilMax    time.Duration
	dateFuture  time.Duration
	releasePath string
}

// optionNames gives the names of options in stanzas those of one-line
// sources, which are used here.
var optionNames = map[string]string{
	"architectures":        "arch",
	"architectures-add":    "arch+",
	"architectures-remove": "arch-",
	"signed-by":            "signed-by",
	"trusted":              "trusted",
	"by-hash":              "by-hash",
	"check-valid-until":    "check-valid-until",
	"valid-until-min":      "valid-until-min",
	"valid-until-max":      "valid-until-max",
	"check-date":           "check-date",
	"date-max-future":      "date-max-future",
	"inrelease-path":       "inrelease-path",
	"snapshot":             "snapshot",
}

// readSources reads sources.list and the parts in sources.list.d.
func (h *Host) readSources() ([]entry, error) {
	files, err := parts(h.path("sources.list.d"), ".list", ".sources")
	if err != nil {
		return nil, err
	}
	var all []entry
	for _, file := range append([]string{h.path("sources.list")}, files...) {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the sources of apt: %w", err)
		}
		parse := parseLines
		if filepath.Ext(file) == ".sources" {
			parse = parseStanzas
		}
		entries, err := parse(file, data)
		if err != nil {
			return nil, fmt.Errorf("cannot read the sources of apt: %w", err)
		}
		all = append(all, entries...)
	}
	arch := h.Arch()
	for i := range all {
		for _, list := range [][]string{all[i].uris, all[i].suites} {
			for k := range list {
				list[k] = strings.ReplaceAll(list[k], "$(ARCH)", arch)
			}
		}
	}
	return all, nil
}

// parseStanzas reads a .sources file.
func parseStanzas(file string, data []byte) ([]entry, error) {
	var entries []entry
	err := control.ReadStanzas(bytes.NewReader(data), func(s control.Stanza) error {
		e := entry{
			where:      fmt.Sprintf("%s:%d", file, s.Line),
			uris:       strings.Fields(s.Get("URIs")),
			suites:     strings.Fields(s.Get("Suites")),
			components: strings.Fields(s.Get("Components")),
		}
		types := strings.Fields(s.Get("Types"))
		if on, ok := parseBool(s.Get("Enabled")); ok && !on {
			return nil
		}
		binary := false
		for _, t := range types {
			if t != "deb" && t != "deb-src" {
				return fmt.Errorf("%s: the type %q is neither deb nor deb-src", e.where, t)
			}
			binary = binary || t == "deb"
		}
		if len(types) == 0 {
			return fmt.Errorf("%s: the stanza has no Types", e.where)
		}
		if !binary {
			return nil
		}
		for _, f := range s.Fields {
			name, ok := optionNames[strings.ToLower(f.Name)]
			if !ok {
				continue
			}
			value := f.Value
			if name == "signed-by" {
				value = strings.Join(s.Lines(f.Name), "\n")
			}
			if err := e.options.set(name, value); err != nil {
				return fmt.Errorf("%s: %s: %w", e.where, f.Name, err)
			}
		}
		if err := e.check(); err != nil {
			return err
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil && !strings.HasPrefix(err.Error(), file) {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return entries, err
}

// set stores an option.
func (o *options) set(name, value string) error {
	words := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", \t\n", r) })
	flag := func(to **bool) error {
		b, ok := parseBool(value)
		if !ok {
			return fmt.Errorf("%q is neither yes nor no", value)
		}
		*to = &b
		return nil
	}
	seconds := func(to *time.Duration) error {
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a number of seconds", value)
		}
		*to = time.Duration(n) * time.Second
		return nil
	}
	switch name {
	case "arch":
		o.arches = words
	case "arch+":
		o.archesAdd = words
	case "arch-":
		o.archesRemove = words
	case "signed-by":
		o.signedBy = strings.TrimSpace(value)
	case "trusted":
		return flag(&o.trusted)
	case "by-hash":
		b, ok := parseBool(value)
		switch {
		case value == "force":
			o.byHash = "force"
		case ok && b:
			o.byHash = "yes"
		case ok:
			o.byHash = "no"
		default:
			return fmt.Errorf("%q is none of yes, no and force", value)
		}
	case "check-valid-until":
		return flag(&o.checkUntil)
	case "check-date":
		return flag(&o.checkDate)
	case "valid-until-min":
		return seconds(&o.untilMin)
	case "valid-until-max":
		return seconds(&o.untilMax)
	case "date-max-future":
		return seconds(&o.dateFuture)
	case "inrelease-path":
		o.releasePath = value
	case "snapshot":
		// Yes and no only say whether apt's command line may ask for one.
		if _, ok := parseBool(value); !ok {
			return fmt.Errorf("osbuild does not ask for snapshots such as %q: write the URI of the snapshot into the source", value)
		}
	}
	return nil
}

// has says whether the source holds packages of an architecture; native is
// the host's, which alone is meant when a source names none.
func (o *options) has(arch, native string) bool {
	arches := o.arches
	if len(arches) == 0 {
		arches = []string{native, arch}
	}
	in := func(list []string) bool {
		for _, a := range list {
			if a == arch {
				return true
			}
		}
		return false
	}
	return (in(arches) || in(o.archesAdd)) && !in(o.archesRemove)
}

// check refuses a source that says too little or too much. A suite that ends
// with a slash is the exact path of a flat archive, which has no components.
func (e *entry) check() error {
	if len(e.uris) == 0 {
		return fmt.Errorf("%s: the source has no URI", e.where)
	}
	if len(e.suites) == 0 {
		return fmt.Errorf("%s: the source has no suite", e.where)
	}
	for _, s := range e.suites {
		if flat := strings.HasSuffix(s, "/"); flat && len(e.components) > 0 {
			return fmt.Errorf("%s: the suite %q is an exact path, as it ends with a slash, so the components %s must go", e.where, s, strings.Join(e.components, " "))
		} else if !flat && len(e.components) == 0 {
			return fmt.Errorf("%s: the suite %q needs a component such as main (an exact path ends with a slash)", e.where, s)
		}
	}
	for _, s := range append(append([]string{e.options.releasePath}, e.suites...), e.components...) {
		for _, elem := range strings.Split(s, "/") {
			if elem == ".." || strings.ContainsAny(elem, "?#\\@") {
				return fmt.Errorf("%s: %q does not stay within the archive", e.where, s)
			}
		}
	}
	return nil
}
