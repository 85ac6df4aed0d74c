// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package nar

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Restore unpacks the archive that r holds, and nothing else, to dir, which
// must not exist. Files get the modes 0444 and 0555, folders 0755, so that
// the caller can go on with the tree. What was unpacked before an error is
// left for the caller to remove.
func Restore(r io.Reader, dir string) error {
	br := bufio.NewReaderSize(r, 64<<10)
	nr := NewReader(br)
	for {
		h, err := nr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("cannot restore an archive: %w", err)
		}
		// The reader lets no name with a slash and no dots pass, and no link
		// can have entries, so the path stays below dir.
		if err := restoreNode(nr, h, filepath.Join(dir, h.Path)); err != nil {
			return fmt.Errorf("cannot restore an archive: %w", err)
		}
	}
	if _, err := br.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot restore an archive: %w: more data follows its end", ErrFormat)
	}
	return nil
}

func restoreNode(r *Reader, h Header, path string) error {
	switch h.Type {
	case Directory:
		return os.Mkdir(path, 0o755)
	case Symlink:
		return os.Symlink(h.Target, path)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	mode := os.FileMode(0o444)
	if h.Executable {
		mode = 0o555
	}
	return errors.Join(err, f.Chmod(mode), f.Close())
}
