// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// blob is a file of the layout that is written already, but not in its place.
type blob struct {
	descriptor
	// file is its place now.
	file string
	// diffID is the digest of what a layer unpacks to.
	diffID string
}

// add takes a document as a blob.
func (w *writer) add(mediaType string, text []byte) (blob, error) {
	b := blob{descriptor: descriptor{MediaType: mediaType, Digest: digestOf(text), Size: int64(len(text))}}
	b.file = filepath.Join(w.work, "document-"+filepath.Base(b.name()))
	return b, os.WriteFile(b.file, text, 0o666)
}

// name is the path of the blob in a layout.
func (b blob) name() string {
	return filepath.Join(blobsName, strings.TrimPrefix(b.Digest, digestPrefix))
}

// publish moves blobs to their places and gives the manifest its tag.
func (w *writer) publish(blobs []blob, manifest descriptor) error {
	whole, err := lock(w.Dir, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer whole.Close()
	text, err := encode(layoutFile{layoutVersion})
	if err != nil {
		return err
	}
	if err := w.replace(layoutName, text); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(w.Dir, blobsName), 0o777); err != nil {
		return err
	}
	for _, b := range blobs {
		// A blob of that digest that is there may be damaged; this one is not.
		if err := os.Rename(b.file, filepath.Join(w.Dir, b.name())); err != nil {
			return err
		}
	}
	if text, err = w.index(manifest); err != nil {
		return err
	}
	return w.replace(indexName, text)
}

// index is the index of the layout with a manifest added.
func (w *writer) index(manifest descriptor) ([]byte, error) {
	path := filepath.Join(w.Dir, indexName)
	old, err := readIndex(path)
	if err != nil {
		return nil, err
	}
	text, err := addToIndex(old, w.Tag, manifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; remove the file, or name another folder", path, err)
	}
	return text, nil
}

func (w *writer) replace(name string, text []byte) error {
	file := filepath.Join(w.work, name)
	if err := os.WriteFile(file, text, 0o666); err != nil {
		return err
	}
	return os.Rename(file, filepath.Join(w.Dir, name))
}

// maxIndex bounds what is read of an index that somebody else may have made.
const maxIndex = 16 << 20

// readIndex reads an index, which may be missing.
func readIndex(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err == nil && len(text) > maxIndex {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxIndex)
	}
	return text, err
}
