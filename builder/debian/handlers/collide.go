// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"osbuild/builder/debian/control"
)

// ErrConflict is wrapped by the error for two packages that have different
// files of one path.
var ErrConflict = errors.New("they differ")

// collision is a path that two packages have and that is no folder in both.
type collision struct {
	path          string
	first, second *node
}

// diversion says that other packages' files of a path go elsewhere.
type diversion struct{ to, by string }

// settle decides which package's file stands where several have one, and
// tells in which order their trees must lie on one another.
func (r *root) settle() ([]*pkg, error) {
	over := map[*pkg][]*pkg{} // what must lie over a package
	for _, c := range r.collisions {
		winner, loser, err := r.judge(c)
		if err != nil {
			return nil, err
		}
		if winner == nil {
			continue
		}
		dir, _, err := r.find(c.path[:len(c.path)-len(base(c.path))], true)
		if err != nil {
			return nil, err
		}
		dir.kids[base(c.path)] = winner
		if winner.kept && !slices.Contains(over[loser.from], winner.from) {
			over[loser.from] = append(over[loser.from], winner.from)
		}
	}
	for _, from := range sorted(r.diversions) {
		d := r.diversions[from]
		n, real, err := r.find(from, false)
		if err != nil || n.kind == folder || n.from == nil || n.from.name == d.by {
			continue
		}
		moved := *n
		moved.kept = false
		o := r.ownerOf(real, n)
		moved.owner = &o
		if err := r.put(d.to, &moved); err != nil {
			return nil, err
		}
	}
	return stack(r.pkgs, over)
}

// judge gives the file that stands and the one that does not, or none when
// they are the same.
func (r *root) judge(c collision) (winner, loser *node, err error) {
	a, b := c.first, c.second
	if now, _, err := r.find(c.path, false); err == nil && now.from != nil {
		a = now // an earlier collision may have changed it
	}
	fail := func(why error) (*node, *node, error) {
		return nil, nil, fmt.Errorf("cannot put packages %s and %s together: both have %s: %w", a.from.name, b.from.name, c.path, why)
	}
	if a.kind == folder || b.kind == folder {
		return fail(errors.New("it is a folder in one of them only; leave one of the two out"))
	}
	equal, err := same(a, b)
	if err != nil {
		return fail(err)
	}
	if d, ok := r.diversions[c.path]; ok && (a.from.name == d.by) != (b.from.name == d.by) {
		if b.from.name == d.by {
			a, b = b, a
		}
		moved := *b
		moved.kept = false
		o := r.ownerOf(c.path, b)
		moved.owner = &o
		return a, b, r.put(d.to, &moved)
	}
	switch {
	case equal:
		return nil, nil, nil
	case b.from.replaces(a.from):
		return b, a, nil
	case a.from.replaces(b.from):
		return a, b, nil
	}
	return fail(fmt.Errorf("%w, and neither replaces the other; leave one of the two out", ErrConflict))
}

// replaces says whether the package may have files of another one's.
func (p *pkg) replaces(q *pkg) bool {
	for _, dep := range p.relations("Replaces") {
		for _, rel := range dep {
			if rel.Name == q.name && (rel.Op == "" || control.Version(q.version).Satisfies(rel.Op, rel.Version)) {
				return true
			}
		}
	}
	return false
}

// stack orders packages by name, but each below those that must lie over it.
func stack(pkgs []*pkg, over map[*pkg][]*pkg) ([]*pkg, error) {
	const (
		begun = 1
		done  = 2
	)
	state := map[*pkg]int{}
	var out []*pkg
	var place func(p *pkg) error
	place = func(p *pkg) error {
		switch state[p] {
		case done:
			return nil
		case begun:
			return fmt.Errorf("cannot put the packages together: %s and others replace files of each other", p.name)
		}
		state[p] = begun
		for _, q := range over[p] {
			if err := place(q); err != nil {
				return err
			}
		}
		state[p] = done
		out = append(out, p)
		return nil
	}
	for _, p := range pkgs {
		if err := place(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// same says whether two files or links are alike. Only here are bytes of
// packages compared, so it costs nothing where nothing collides.
func same(a, b *node) (bool, error) {
	if a.kind != b.kind {
		return false, nil
	}
	if a.kind == link {
		s, err := a.target()
		if err != nil {
			return false, err
		}
		t, err := b.target()
		return s == t, err
	}
	if a.executable() != b.executable() {
		return false, nil
	}
	if a.disk == "" || b.disk == "" {
		return a.disk == b.disk && a.text == b.text, nil
	}
	return sameBytes(a.disk, b.disk)
}

func sameBytes(a, b string) (bool, error) {
	x, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer y.Close()
	p, q := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, errX := io.ReadFull(x, p)
		m, errY := io.ReadFull(y, q)
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		if errX != nil || errY != nil {
			return ended(errX) && ended(errY), errors.Join(failed(errX), failed(errY))
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func failed(err error) error {
	if ended(err) {
		return nil
	}
	return err
}
