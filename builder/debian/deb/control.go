// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"osbuild/builder/debian/control"
)

// Bounds of the control archive. The largest member is md5sums, with a line
// for each file.
const (
	maxControl        = 64 << 20
	maxControlMembers = 256
)

// scripts are the names of the maintainer scripts.
var scripts = []string{"config", "postinst", "postrm", "preinst", "prerm"}

// readControl reads the control archive into memory.
func readControl(m member, buf []byte) (map[string][]byte, error) {
	plain, done, err := m.open()
	if err != nil {
		return nil, err
	}
	defer done()
	in := bound(plain, maxControl)
	t := tar.NewReader(in)
	files := map[string][]byte{}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, tarError(err)
		}
		if len(files) == maxControlMembers {
			return nil, fmt.Errorf("%w: it has more than %d files", ErrUnsafe, maxControlMembers)
		}
		if err := controlMember(files, h, t); err != nil {
			return nil, fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	return files, drain(in, buf)
}

func controlMember(files map[string][]byte, h *tar.Header, content io.Reader) error {
	if err := checkHeader(h); err != nil {
		return err
	}
	name := path.Clean(h.Name)
	if h.Typeflag == tar.TypeDir && name == "." {
		return nil
	}
	switch {
	case h.Typeflag != tar.TypeReg:
		return fmt.Errorf("%w: it is a %s, and only files belong there", ErrUnsafe, typeName(h.Typeflag))
	case strings.Contains(name, "/") || name == "." || name == "..":
		return fmt.Errorf("%w: control files have plain names", ErrUnsafe)
	case files[name] != nil:
		return fmt.Errorf("%w: it is there twice", ErrUnsafe)
	}
	data, err := io.ReadAll(io.LimitReader(content, maxControl))
	if err != nil {
		return tarError(err)
	}
	files[name] = data
	return nil
}

// newMeta fills in what the control files say.
func newMeta(files map[string][]byte) (*Meta, error) {
	data, ok := files["control"]
	if !ok {
		return nil, fmt.Errorf("%w: it has no file control", ErrFormat)
	}
	s, err := control.ParseControl(data)
	if err != nil {
		return nil, fmt.Errorf("%w: control: %w", ErrFormat, err)
	}
	m := &Meta{
		Format: MetaFormat, Package: s.Get("Package"), Version: s.Get("Version"), Architecture: s.Get("Architecture"),
		Source: s.Get("Source"), Essential: s.Get("Essential") == "yes",
	}
	for _, field := range []string{"Package", "Version", "Architecture"} {
		if s.Get(field) == "" {
			return nil, fmt.Errorf("%w: control: it has no field %s", ErrFormat, field)
		}
	}
	if size := s.Get("Installed-Size"); size != "" {
		n, err := strconv.ParseUint(size, 10, 40)
		if err != nil {
			return nil, fmt.Errorf("%w: control: its Installed-Size is %q", ErrFormat, size)
		}
		m.InstalledSize = int64(n)
	}
	for _, name := range scripts {
		if files[name] != nil {
			m.Scripts = append(m.Scripts, name)
		}
	}
	m.Triggers = triggers(files["triggers"])
	for line := range strings.Lines(string(files["conffiles"])) {
		file, ok, err := conffile(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("%w: conffiles: %w", ErrFormat, err)
		}
		if ok {
			m.Conffiles = append(m.Conffiles, file)
		}
	}
	slices.Sort(m.Conffiles)
	m.Conffiles = slices.Compact(m.Conffiles)
	return m, nil
}

// conffile reads a line of conffiles. A flag before the path says something of
// files that the package has no more: there is nothing to tell of those.
func conffile(line string) (string, bool, error) {
	if !strings.HasPrefix(line, "/") {
		return "", false, nil
	}
	if !utf8.ValidString(line) {
		return "", false, fmt.Errorf("the path %q is not UTF-8", line)
	}
	name, err := cleanName(line[1:])
	if err != nil {
		return "", false, fmt.Errorf("%q: %w", line, err)
	}
	return "/" + merge(name), true, nil
}

// triggers gives the lines of a member triggers that say something.
func triggers(data []byte) []string {
	var list []string
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}
