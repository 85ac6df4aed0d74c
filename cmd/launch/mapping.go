// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"osbuild/runner/spec"
)

// Mappings are --share and --expose.
type Mappings struct{ shares, exposes []string }

// Declare adds the flags to fs.
func (m *Mappings) Declare(fs *pflag.FlagSet) {
	fs.StringArrayVar(&m.shares, "share", nil, "share `SOURCE[=TARGET]` of the host, writable")
	fs.StringArrayVar(&m.exposes, "expose", nil, "show `SOURCE[=TARGET]` of the host, read-only")
}

// Parse checks what was given. A source that is not there is found now,
// before a long build: it is most likely a slip.
func (m *Mappings) Parse() ([]spec.Mapping, error) {
	var list []spec.Mapping
	for _, s := range m.shares {
		mapping, err := parse("share", s)
		if err != nil {
			return nil, err
		}
		mapping.Writable = true
		list = append(list, mapping)
	}
	for _, s := range m.exposes {
		mapping, err := parse("expose", s)
		if err != nil {
			return nil, err
		}
		list = append(list, mapping)
	}
	return list, nil
}

// parse reads SOURCE or SOURCE=TARGET.
func parse(verb, text string) (spec.Mapping, error) {
	source, target, found := strings.Cut(text, "=")
	path, err := existing(verb+" "+source, source)
	if err != nil {
		return spec.Mapping{}, err
	}
	if !found {
		target = path
	}
	if !filepath.IsAbs(target) || filepath.Clean(target) == "/" {
		return spec.Mapping{}, fmt.Errorf("cannot %s %s: the target %q is not an absolute path below /", verb, source, target)
	}
	return spec.Mapping{Source: path, Target: filepath.Clean(target)}, nil
}

// existing makes a host path absolute and makes sure that it is there.
func existing(what, path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("cannot %s: no path given", strings.TrimSpace(what))
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(abs); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot %s: there is no such file or folder; make it, or mend the path", what)
	} else if err != nil {
		return "", fmt.Errorf("cannot %s: %w", what, err)
	}
	return abs, nil
}
