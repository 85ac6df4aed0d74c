// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package fsys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// MkdirAll makes a folder and its parents. Several processes may do so at
// once.
func MkdirAll(f FS, path string, perm fs.FileMode) error {
	err := f.Mkdir(path, perm)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		if info, serr := os.Stat(path); serr == nil && !info.IsDir() {
			return err
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := MkdirAll(f, filepath.Dir(path), perm); err != nil {
		return err
	}
	if err := f.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// RemoveTree removes path and all below it, read-only folders included. What
// is gone already is no error, so that several processes may remove one tree.
func RemoveTree(f FS, path string) error {
	err := f.Remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	info, serr := os.Lstat(path)
	if errors.Is(serr, fs.ErrNotExist) {
		return nil
	}
	if serr != nil || !info.IsDir() {
		return err
	}
	if err := removeContent(f, path, info.Mode().Perm()); err != nil {
		return err
	}
	if err := f.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func removeContent(f FS, dir string, perm fs.FileMode) error {
	if perm&0o700 != 0o700 {
		if err := f.Chmod(dir, 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		child := filepath.Join(dir, e.Name())
		if !e.IsDir() {
			if err := f.Remove(child); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := removeContent(f, child, info.Mode().Perm()); err != nil {
			return err
		}
		if err := f.Remove(child); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// RemoveTrees removes several trees with a few at work at once.
func RemoveTrees(f FS, paths []string) error {
	const workers = 2
	var (
		wg   sync.WaitGroup
		next = make(chan string)
		errs [workers]error
	)
	for w := range workers {
		wg.Go(func() {
			for p := range next {
				errs[w] = errors.Join(errs[w], RemoveTree(f, p))
			}
		})
	}
	for _, p := range paths {
		next <- p
	}
	close(next)
	wg.Wait()
	return errors.Join(errs[:]...)
}
