// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// digestLen is the length of the hash part of a store path.
const digestLen = 32

// eachDigest calls f for each occurrence in r of a digest that is in digests.
func eachDigest(r io.Reader, digests map[string]string, f func(digest string, offset int64)) error {
	const keep = digestLen - 1
	buf := make([]byte, 64<<10)
	var run int     // letters of the alphabet of digests, up to here
	var held int    // bytes kept from the last chunk
	var start int64 // offset of buf[0]
	for {
		n, err := r.Read(buf[held:])
		end := held + n
		for i := held; i < end; i++ {
			if c := buf[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z') {
				run = 0
				continue
			}
			if run++; run < digestLen {
				continue
			}
			at := i + 1 - digestLen
			if _, ok := digests[string(buf[at:i+1])]; ok {
				f(string(buf[at:i+1]), start+int64(at))
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if over := end - keep; over > 0 {
			copy(buf, buf[over:end])
			start += int64(over)
			end = keep
		}
		held = end
	}
}

// visit calls f for each digest of digests in the contents and the link
// targets of the tree, and tells the file and, for contents, the offsets. A
// digest in the name of a file is an error: it could not be replaced.
func visit(tree string, digests map[string]string, f func(path, digest string, offset int64) error) error {
	return filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != tree {
			for d := range digests {
				if strings.Contains(e.Name(), d) {
					return fmt.Errorf("the name of the file %s holds the hash of an item", path)
				}
			}
		}
		switch e.Type() {
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return each(strings.NewReader(target), path, digests, f)
		case 0:
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer file.Close()
			return each(file, path, digests, f)
		}
		return nil
	})
}

func each(r io.Reader, path string, digests map[string]string, f func(path, digest string, offset int64) error) error {
	var failed error
	err := eachDigest(r, digests, func(d string, offset int64) {
		if failed == nil {
			failed = f(path, d, offset)
		}
	})
	return errors.Join(err, failed)
}

// rewrite replaces, in the contents and the link targets of the tree, each
// digest by the one it maps to.
func rewrite(tree string, digests map[string]string) error {
	type place struct {
		digest string
		offset int64
	}
	files, links := map[string][]place{}, map[string]bool{}
	err := visit(tree, digests, func(path, d string, offset int64) error {
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			links[path] = true
		} else {
			files[path] = append(files[path], place{d, offset})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, path := range sortedKeys(files) {
		err := patch(path, func(f *os.File) error {
			for _, p := range files[path] {
				if _, err := f.WriteAt([]byte(digests[p.digest]), p.offset); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	var pairs []string
	for _, d := range sortedKeys(digests) {
		pairs = append(pairs, d, digests[d])
	}
	for _, path := range sortedKeys(links) {
		if err := relink(path, strings.NewReplacer(pairs...)); err != nil {
			return err
		}
	}
	return nil
}

// patch opens a file for writing that its builder may have made read-only.
func patch(path string, f func(*os.File) error) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, info.Mode().Perm()|0o600); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f(file), file.Close(), os.Chmod(path, info.Mode().Perm()))
}

func relink(path string, r *strings.Replacer) error {
	target, err := os.Readlink(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, info.Mode().Perm()|0o700); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return errors.Join(os.Symlink(r.Replace(target), path), os.Chmod(dir, info.Mode().Perm()))
}
