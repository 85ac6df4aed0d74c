// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"osbuild/builder/derivation"
)

// Check realises the targets, then builds again every derivation that they
// need, and compares. Nothing of the second build gets into the store. The
// error joins a *[DifferenceError] for each derivation that gave something
// else. Derivations with a fixed hash are left out: what they give is checked
// each time it is made.
func (r *Realiser) Check(ctx context.Context, g *derivation.Graph, targets ...string) error {
	if _, err := r.Realise(ctx, g, targets...); err != nil {
		return err
	}
	s, done := r.session(ctx, g)
	defer done()
	keys := s.needed(targets)
	errs := make([]error, len(keys))
	// A difference must not stop the other comparisons, so these do not go
	// through once.
	checked := make(chan struct{})
	for i, k := range keys {
		go func() {
			defer func() { checked <- struct{}{} }()
			errs[i] = s.check(k)
		}()
	}
	for range keys {
		<-checked
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// needed gives the derivations below the targets, inputs first.
func (s *session) needed(targets []string) []derivation.Key {
	var keys []derivation.Key
	seen := map[derivation.Key]bool{"": true}
	var add func(derivation.Key)
	add = func(k derivation.Key) {
		if seen[k] {
			return
		}
		seen[k] = true
		d, ok := s.g.Derivation(k)
		if !ok || d.Fixed != nil {
			return
		}
		for _, in := range d.Inputs {
			add(in.Drv)
		}
		keys = append(keys, k)
	}
	for _, t := range targets {
		ref, _, _ := s.g.Split(t)
		add(ref.Drv)
	}
	return keys
}

// check builds one derivation again and compares.
func (s *session) check(k derivation.Key) error {
	first, err := s.result(s.derivation(k))
	if err != nil {
		return err
	}
	d, _ := s.g.Derivation(k)
	inputs, err := s.ensureAll(d.Inputs)
	if err != nil {
		return err
	}
	resolved, err := d.Resolve(inputs)
	if err != nil {
		return err
	}
	b := &build{s: s, key: k, drv: d, resolved: resolved, rkey: resolved.Key()}
	end, err := b.begin(func() (bool, error) { return false, nil })
	if err != nil {
		return err
	}
	defer end()
	start := time.Now()
	b.event(Event{Kind: EventStart})
	_, err = b.attempt(func(a *attempt) (outputs, error) { return first, a.compare(first) })
	if err != nil {
		b.event(Event{Kind: EventFailed, Duration: time.Since(start), Detail: firstLine(err)})
		return err
	}
	b.event(Event{Kind: EventDone, Duration: time.Since(start)})
	return nil
}

// compare compares what was made now with the items first.
func (a *attempt) compare(first outputs) error {
	if err := a.made(); err != nil {
		return err
	}
	if err := a.canonicalise(); err != nil {
		return err
	}
	final := map[string]string{}
	for o, p := range a.scratch {
		final[p.Digest()] = first[o].Digest()
	}
	for _, o := range a.drv.Outputs {
		if err := rewrite(a.out(o), final); err != nil {
			return fmt.Errorf("cannot compare output %q: %w", o, err)
		}
		file, detail, err := difference(a.s.Store.Physical(first[o]), a.out(o), "")
		if err != nil {
			return fmt.Errorf("cannot compare output %q: %w", o, err)
		}
		if detail != "" {
			return &DifferenceError{Name: a.drv.Name, Key: a.key, Pos: a.drv.Pos, Output: o, File: file, Detail: detail}
		}
	}
	return nil
}

// difference gives the first file below two trees that differs, and in what;
// detail is empty where there is none.
func difference(first, second, rel string) (file, detail string, err error) {
	a, err := os.Lstat(filepath.Join(first, rel))
	if err != nil {
		return "", "", err
	}
	b, err := os.Lstat(filepath.Join(second, rel))
	if err != nil {
		return "", "", err
	}
	switch {
	case a.Mode().Type() != b.Mode().Type():
		return rel, fmt.Sprintf("it was a %s and is now a %s", kindOf(a), kindOf(b)), nil
	case a.IsDir():
		return differentFolder(first, second, rel)
	case a.Mode()&fs.ModeSymlink != 0:
		was, err := os.Readlink(filepath.Join(first, rel))
		if err != nil {
			return "", "", err
		}
		is, err := os.Readlink(filepath.Join(second, rel))
		if err != nil || was == is {
			return "", "", err
		}
		return rel, fmt.Sprintf("it pointed to %s and now points to %s", was, is), nil
	case a.Mode()&0o111 != b.Mode()&0o111:
		return rel, "it is executable in only one of the two", nil
	}
	return differentFile(first, second, rel, a.Size(), b.Size())
}

func differentFolder(first, second, rel string) (file, detail string, err error) {
	was, err := os.ReadDir(filepath.Join(first, rel))
	if err != nil {
		return "", "", err
	}
	is, err := os.ReadDir(filepath.Join(second, rel))
	if err != nil {
		return "", "", err
	}
	// Both lists are sorted, so the first names that differ tell which tree
	// lacks one.
	for i := range max(len(was), len(is)) {
		switch {
		case i >= len(is) || i < len(was) && was[i].Name() < is[i].Name():
			return filepath.Join(rel, was[i].Name()), "it is missing now", nil
		case i >= len(was) || was[i].Name() > is[i].Name():
			return filepath.Join(rel, is[i].Name()), "it was not there before", nil
		}
		if file, detail, err := difference(first, second, filepath.Join(rel, was[i].Name())); err != nil || detail != "" {
			return file, detail, err
		}
	}
	return "", "", nil
}

func differentFile(first, second, rel string, was, is int64) (file, detail string, err error) {
	a, err := os.Open(filepath.Join(first, rel))
	if err != nil {
		return "", "", err
	}
	defer a.Close()
	b, err := os.Open(filepath.Join(second, rel))
	if err != nil {
		return "", "", err
	}
	defer b.Close()
	var x, y [32 << 10]byte
	for offset := int64(0); ; {
		n, errA := io.ReadFull(a, x[:])
		m, errB := io.ReadFull(b, y[:])
		if !bytes.Equal(x[:n], y[:m]) {
			i := 0
			for i < n && i < m && x[i] == y[i] {
				i++
			}
			if was != is {
				return rel, fmt.Sprintf("its contents differ from byte %d on, and it had %d bytes and has now %d", offset+int64(i), was, is), nil
			}
			return rel, fmt.Sprintf("its contents differ from byte %d on", offset+int64(i)), nil
		}
		offset += int64(n)
		if errA != nil || errB != nil {
			if errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF) {
				errA = nil
			}
			if errors.Is(errB, io.EOF) || errors.Is(errB, io.ErrUnexpectedEOF) {
				errB = nil
			}
			return "", "", errors.Join(errA, errB)
		}
	}
}

func kindOf(i fs.FileInfo) string {
	switch {
	case i.IsDir():
		return "folder"
	case i.Mode()&fs.ModeSymlink != 0:
		return "link"
	case i.Mode().IsRegular():
		return "file"
	}
	return "special file"
}
