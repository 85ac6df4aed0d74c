// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"osbuild/store/fsys"
	"osbuild/store/nar"
	"osbuild/store/refscan"
)

// ErrWrong is wrapped by errors about an archive or an info from elsewhere
// that is not what it says it is.
var ErrWrong = errors.New("not what it says it is")

// CheckAddress says whether the path of i follows from its content address
// and references. That the content has this address only [Store.Unpack] and
// [Store.Verify] can tell.
func CheckAddress(i Info) error {
	p, err := pathOfCA(i.Path, i.CA, i.References)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrong, err)
	}
	if p != i.Path {
		return fmt.Errorf("%w: its content address %s gives the path %s", ErrWrong, i.CA, p)
	}
	return nil
}

// Arrival is an item from elsewhere: unpacked into the lease's folder, checked
// against its info, and not registered yet. It ends with [Store.Admit] or
// Discard.
type Arrival struct {
	Info  Info
	store *Store
	temp  string
}

// Discard removes the tree of an arrival that was not admitted.
func (a *Arrival) Discard() error { return fsys.RemoveTree(a.store.fs, a.temp) }

// Unpack unpacks the archive of the item that i describes and checks that it
// is the one: hash, size and, where i has one, content address. It reads no
// more than the announced size. Whether i itself may be trusted the caller
// decides; see [CheckAddress].
func (s *Store) Unpack(ctx context.Context, l *Lease, i Info, archive io.Reader) (*Arrival, error) {
	temp, err := l.scratch()
	if err != nil {
		return nil, err
	}
	if err := s.unpack(ctx, i, archive, temp); err != nil {
		err = errors.Join(s.explain(err), fsys.RemoveTree(s.fs, temp))
		return nil, fmt.Errorf("cannot unpack %s: %w", i.Path, err)
	}
	return &Arrival{Info: i, store: s, temp: temp}, nil
}

func (s *Store) unpack(ctx context.Context, i Info, archive io.Reader, temp string) error {
	check, err := newArchiveCheck(i)
	if err != nil {
		return err
	}
	// One byte more than announced, which shows that there is more.
	limited := io.LimitReader(contextReader{ctx, archive}, i.NarSize+1)
	// Most items are small, and need no large buffers.
	size := int(min(i.NarSize+1, copyBuffer))
	buffered := bufio.NewReaderSize(io.TeeReader(limited, check), size)
	tree, err := s.unpackTree(nar.NewReader(buffered), temp, make([]byte, size))
	var behind int64
	if err == nil {
		behind, err = io.Copy(io.Discard, buffered)
	}
	switch {
	case check.size > i.NarSize:
		return fmt.Errorf("%w: its archive is longer than the %d bytes announced", ErrWrong, i.NarSize)
	case err == nil && behind > 0:
		// Announced and hashed, but no part of the tree, whose own archive
		// would have another hash.
		return fmt.Errorf("%w: %w: %d bytes follow its end", ErrWrong, nar.ErrFormat, behind)
	case errors.Is(err, nar.ErrFormat):
		return fmt.Errorf("%w: %w", ErrWrong, err)
	case err != nil:
		return err
	}
	if err := check.done(i, tree); err != nil {
		return err
	}
	if err := s.checkContentAddress(i, temp, check.modulo); err != nil {
		return err
	}
	return seal(s.fs, tree, temp, false)
}

// checkContentAddress compares the tree's content address with that of i.
func (s *Store) checkContentAddress(i Info, temp string, modulo Hash) error {
	if i.CA == "" {
		return nil
	}
	ca, err := deriveCA(i.CA, temp, modulo)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrong, err)
	}
	if ca != i.CA {
		return fmt.Errorf("%w: its content has the address %s, but %s is announced", ErrWrong, ca, i.CA)
	}
	return nil
}

// unpackTree writes the nodes of an archive to dst, whose folders stay
// writable; contents pass through buf.
func (s *Store) unpackTree(r *nar.Reader, dst string, buf []byte) (*nar.Tree, error) {
	t := &nar.Tree{Root: dst}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		n := nar.Node{Header: h}
		t.Nodes = append(t.Nodes, n)
		// The reader lets no name with a slash and no dots pass, and no link
		// can have entries, so the place lies below dst.
		place := target(dst, &n)
		switch h.Type {
		case nar.Directory:
			err = s.fs.Mkdir(place, 0o755)
		case nar.Symlink:
			if err = s.fs.Symlink(h.Target, place); err == nil {
				err = s.fs.SetTime(place, epoch)
			}
		case nar.Regular:
			err = s.unpackFile(r, place, h.Executable, buf)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (s *Store) unpackFile(r io.Reader, place string, executable bool, buf []byte) error {
	f, err := s.fs.Create(place, 0o600)
	if err != nil {
		return err
	}
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, werr := f.Write(buf[:n]); werr != nil {
				return errors.Join(werr, f.Close())
			}
		}
		if errors.Is(err, io.EOF) {
			return f.Finish(fileMode(executable), epoch)
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
}

// archiveCheck hashes an archive as it passes. Where the item does not refer
// to itself its two hashes are one, and computed once.
type archiveCheck struct {
	size    int64
	plain   hash.Hash       // nil where digest tells the archive's hash too
	digest  *refscan.Modulo // nil for an item without a content address
	modulo  Hash
	refSelf bool
}

func newArchiveCheck(i Info) (*archiveCheck, error) {
	c := &archiveCheck{refSelf: slices.Contains(i.References, i.Path)}
	if i.CA == "" || c.refSelf {
		c.plain = sha256.New()
	}
	if i.CA != "" {
		m, err := refscan.NewModulo(i.Path.Digest())
		if err != nil {
			return nil, err
		}
		c.digest = m
	}
	return c, nil
}

// Write never fails.
func (c *archiveCheck) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	if c.plain != nil {
		_, _ = c.plain.Write(p) // a hash never fails
	}
	if c.digest != nil {
		_, _ = c.digest.Write(p) // likewise
	}
	return len(p), nil
}

// done compares what passed with what i announces.
func (c *archiveCheck) done(i Info, t *nar.Tree) error {
	var got Hash
	if c.digest != nil {
		var self []int64
		c.modulo, self = c.digest.Finish()
		got = c.modulo
		if len(self) > 0 && !c.refSelf {
			return fmt.Errorf("%w: it holds its own path, but does not list it among its references", ErrWrong)
		}
	}
	if c.plain != nil {
		got = Hash(c.plain.Sum(nil))
	}
	if c.size != i.NarSize {
		return fmt.Errorf("%w: its archive has %d bytes, but %d are announced", ErrWrong, c.size, i.NarSize)
	}
	if got != i.NarHash {
		return fmt.Errorf("%w: %w", ErrWrong, &HashMismatchError{Name: string(i.Path), Want: i.NarHash.String(), Got: got.String()})
	}
	flat := strings.HasPrefix(i.CA, "text:") || strings.HasPrefix(i.CA, "fixed:") && !strings.HasPrefix(i.CA, "fixed:r:")
	if flat && t.Nodes[0].Executable {
		// An address of this kind says nothing of the executable bit.
		return fmt.Errorf("%w: it is executable, which no item with the content address %s is", ErrWrong, i.CA)
	}
	return nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Admit registers arrivals, references first. Every reference must be valid
// or arrive too; where that does not hold, nothing is registered. What was
// not registered is removed.
func (s *Store) Admit(ctx context.Context, l *Lease, arrivals ...*Arrival) error {
	err := s.admit(ctx, l, arrivals)
	for _, a := range arrivals {
		if a.temp != "" {
			err = errors.Join(err, a.Discard())
		}
	}
	if err != nil {
		return fmt.Errorf("cannot add items from elsewhere: %w", s.explain(err))
	}
	return nil
}

func (s *Store) admit(ctx context.Context, l *Lease, arrivals []*Arrival) error {
	order, err := s.arrivalOrder(l, arrivals)
	if err != nil {
		return err
	}
	for _, a := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		temp := a.temp
		a.temp = "" // finish removes what it does not register
		if _, err := s.finish(ctx, l, a.Info, temp); err != nil {
			return err
		}
	}
	return nil
}

// arrivalOrder sorts arrivals, references first.
func (s *Store) arrivalOrder(l *Lease, arrivals []*Arrival) ([]*Arrival, error) {
	const (
		open = iota + 1
		done
	)
	byPath := make(map[Path]*Arrival, len(arrivals))
	var all []Path
	for _, a := range arrivals {
		byPath[a.Info.Path] = a
		all = append(append(all, a.Info.Path), a.Info.References...)
	}
	if err := l.Add(all...); err != nil {
		return nil, err
	}
	state := make(map[Path]int, len(arrivals))
	order := make([]*Arrival, 0, len(arrivals))
	// Not recursive: chains of references may be long.
	for _, first := range arrivals {
		stack := []Path{first.Info.Path}
		for len(stack) > 0 {
			p := stack[len(stack)-1]
			if state[p] != 0 {
				if stack = stack[:len(stack)-1]; state[p] == open {
					state[p] = done
					order = append(order, byPath[p])
				}
				continue
			}
			state[p] = open
			for _, r := range byPath[p].Info.References {
				switch {
				case r == p:
				case byPath[r] == nil:
					if !s.Valid(r) {
						return nil, fmt.Errorf("%s refers to %s, which is not valid: %w", p, r, ErrNotFound)
					}
				case state[r] == open:
					return nil, fmt.Errorf("%w: %s and %s refer to each other", ErrWrong, p, r)
				case state[r] == 0:
					stack = append(stack, r)
				}
			}
		}
	}
	return order, nil
}
