// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Read reads a lock file. A file that is not there is an error that
// errors.Is fs.ErrNotExist.
func Read(file string) (*Lock, error) {
	data, err := readRegular(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the lock: %w", err)
	}
	l, err := Decode(data)
	if err == nil {
		return l, nil
	}
	place := file
	if e, ok := errors.AsType[*LineError](err); ok {
		place, err = fmt.Sprintf("%s:%d", file, e.Line), e.Err
	}
	return nil, fmt.Errorf("cannot read the lock %s: %w; restore the file, or delete it and run `osbuild lock %s`",
		place, err, declaration(file))
}

// maxSize bounds a lock file: a lock of all packages that there are has less.
const maxSize = 64 << 20

// readRegular reads a file, and nothing that could keep its reader waiting.
func readRegular(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSize {
		return nil, fmt.Errorf("%s is not a file of at most %d MiB", file, maxSize>>20)
	}
	return io.ReadAll(io.LimitReader(f, maxSize))
}

// declaration is the file that a lock belongs to.
func declaration(file string) string {
	if base, ok := strings.CutSuffix(file, ".lock.json"); ok {
		return base + ".star"
	}
	return "FILE"
}

// Write writes a lock file at once or not at all, and leaves a file alone
// that says the same already.
func (l *Lock) Write(file string) error {
	data, err := l.Encode()
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real // a link stays one
	}
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, data) {
		return nil
	}
	temp := filepath.Join(filepath.Dir(file), fmt.Sprintf(".%s.%d-%d", filepath.Base(file), os.Getpid(), time.Now().UnixNano()))
	if err := writeSynced(temp, data); err != nil {
		return cannotWrite(file, err)
	}
	if err := os.Rename(temp, file); err != nil {
		os.Remove(temp)
		return cannotWrite(file, err)
	}
	return nil
}

// cannotWrite names the lock file rather than the one that would have become
// it.
func cannotWrite(file string, err error) error {
	hint := ""
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		hint = "; a lock lies beside its declaration: copy the declaration to a folder of yours, or have its owner run `osbuild lock`"
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("cannot write the lock %s: %w%s", file, err, hint)
}

// writeSynced makes a new file with the mode that the umask gives.
func writeSynced(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		os.Remove(file)
	}
	return err
}
