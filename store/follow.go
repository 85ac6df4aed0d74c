// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// maxLinks is how many links one path may lead through, as in the kernel.
const maxLinks = 40

// Follow returns where the file rest of the item p physically lies. Links
// are followed inside the store, where their logical targets mean items; one
// that leads out of it is an error.
func (s *Store) Follow(p Path, rest string) (string, error) {
	place, err := s.follow(p, rest)
	if err != nil {
		return "", fmt.Errorf("cannot find %s: %w", strings.TrimSuffix(string(p)+"/"+rest, "/"), err)
	}
	return place, nil
}

func (s *Store) follow(p Path, rest string) (string, error) {
	if _, err := s.valid(p); err != nil {
		return "", err
	}
	todo := strings.Split(rest, "/")
	var done []string // below p
	for links := 0; ; {
		place := strings.Join(append([]string{s.Physical(p)}, done...), "/")
		st, err := os.Lstat(place)
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("there is no %q in %s", strings.Join(done, "/"), p)
		}
		if err != nil {
			return "", err
		}
		if st.Mode()&os.ModeSymlink != 0 {
			if links++; links > maxLinks {
				return "", fmt.Errorf("it leads through more than %d links", maxLinks)
			}
			target, err := os.Readlink(place)
			if err != nil {
				return "", err
			}
			if strings.HasPrefix(target, "/") {
				q, sub, err := s.Resolve(target)
				if err != nil || !s.Valid(q) {
					return "", fmt.Errorf("the link %s leads out of the store, to %s", place, target)
				}
				p, done, todo = q, nil, append(strings.Split(sub, "/"), todo...)
				continue
			}
			done = done[:max(0, len(done)-1)]
			todo = append(strings.Split(target, "/"), todo...)
		}
		// Take the next element.
		for len(todo) > 0 && (todo[0] == "" || todo[0] == ".") {
			todo = todo[1:]
		}
		if len(todo) == 0 {
			return strings.Join(append([]string{s.Physical(p)}, done...), "/"), nil
		}
		if todo[0] == ".." {
			if len(done) == 0 {
				return "", fmt.Errorf("it leads out of %s", p)
			}
			done = done[:len(done)-1]
		} else {
			done = append(done, todo[0])
		}
		todo = todo[1:]
	}
}
