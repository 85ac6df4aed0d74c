// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Layout is where an image is written: a folder in the form of an OCI image
// layout, which may hold images already, and the tag that the image gets.
type Layout struct{ Dir, Tag string }

// String is the layout as tools name it after "oci:".
func (l Layout) String() string { return l.Dir + ":" + l.Tag }

// DefaultTag is the tag of an image that is given none.
const DefaultTag = "latest"

// ParseLayout reads DIR or DIR:TAG.
func ParseLayout(s string) (Layout, error) {
	l := Layout{Dir: s, Tag: DefaultTag}
	if dir, tag, ok := strings.Cut(s, ":"); ok {
		l = Layout{Dir: dir, Tag: tag}
	}
	switch {
	case l.Dir == "":
		return Layout{}, errors.New("it names no folder")
	case strings.Contains(l.Tag, ":"):
		return Layout{}, errors.New("engines take what follows the first colon for the tag, so neither may hold one")
	}
	return l, checkTag(l.Tag)
}

// checkTag holds a tag against what engines take.
func checkTag(tag string) error {
	if len(tag) > 128 {
		return errors.New("the tag is longer than 128 bytes")
	}
	for i, c := range []byte(tag) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && i+1 < len(tag) && strings.IndexByte("-._", c) >= 0:
		default:
			return fmt.Errorf("the tag %q holds %q where letters and digits may stand (and between them -, . and _)", tag, string(c))
		}
	}
	if tag == "" {
		return errors.New("the tag is empty")
	}
	return nil
}

// Names in a layout.
const (
	layoutName    = "oci-layout"
	layoutVersion = "1.0.0"
	indexName     = "index.json"
	blobsName     = "blobs/sha256"
	// workPattern is a folder of an export under way. It is locked.
	workPattern = ".osbuild-export-"
)

// writer is one export under way. Everything is written to a folder of its
// own inside the layout and moved to its place at the end, so that a layout
// never holds half of an image.
type writer struct {
	Layout
	work string
	lock *os.File
	// made are the folders that were made for the layout, innermost first.
	made []string
}

// open prepares a layout to be written to.
func (l Layout) open() (*writer, error) {
	w := &writer{Layout: l}
	if err := w.prepare(); err != nil {
		w.close()
		return nil, fmt.Errorf("to %s: %w", l.Dir, err)
	}
	return w, nil
}

func (w *writer) prepare() error {
	for dir := filepath.Clean(w.Dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		w.made = append(w.made, dir)
	}
	if err := os.MkdirAll(w.Dir, 0o777); err != nil {
		return err
	}
	// Others may write to the layout at the same time: nobody looks at it
	// while somebody publishes, or sweeps a folder that has no lock yet.
	whole, err := lock(w.Dir, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer whole.Close()
	if err := w.check(); err != nil {
		return err
	}
	// A broken index is better found before the work than after it.
	if _, err := w.index(descriptor{}); err != nil {
		return err
	}
	w.sweep()
	if w.work, err = os.MkdirTemp(w.Dir, workPattern); err != nil {
		return err
	}
	w.lock, err = lock(w.work, unix.LOCK_EX)
	return err
}

// check refuses a folder that holds something else than a layout.
func (l Layout) check() error {
	names, err := os.ReadDir(l.Dir)
	if err != nil {
		return err
	}
	empty := true
	for _, n := range names {
		if n.Name() == layoutName {
			return nil
		}
		empty = empty && strings.HasPrefix(n.Name(), workPattern)
	}
	if !empty {
		return errors.New("the folder is not empty, and is no image layout: name another one")
	}
	return nil
}

// sweep removes what exports left behind that were killed.
func (l Layout) sweep() {
	names, _ := os.ReadDir(l.Dir) // check has read it
	for _, n := range names {
		dir := filepath.Join(l.Dir, n.Name())
		if !strings.HasPrefix(n.Name(), workPattern) {
			continue
		}
		if f, err := lock(dir, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			_ = os.RemoveAll(dir)
			f.Close()
		}
	}
}

func lock(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), how)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		return f, nil
	}
}

// close removes what was written and is not part of the layout.
func (w *writer) close() {
	if w.work != "" {
		_ = os.RemoveAll(w.work)
	}
	if w.lock != nil {
		w.lock.Close()
	}
	for _, dir := range w.made {
		_ = os.Remove(dir) // only if nothing is in it
	}
}
