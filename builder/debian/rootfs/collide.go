// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"

	"osbuild/builder/debian/control"
)

// ErrConflict is wrapped by the error for two packages that have different
// files of one path.
var ErrConflict = errors.New("they differ")

// collision is a path that two packages have and that is no folder in both.
type collision struct {
	path          string
	first, second *Node
}

// Diversion says that other packages' files of a path go elsewhere.
type Diversion struct{ To, By string }

// Settle decides which package's file stands where several have one, and
// tells in which order their trees must lie on one another.
func (r *Root) Settle() error {
	over := map[*Package][]*Package{} // what must lie over a package
	for _, c := range r.collisions {
		winner, loser, err := r.judge(c)
		if err != nil {
			return err
		}
		if winner == nil {
			continue
		}
		dir, _, err := r.Find(path.Dir(c.path), true)
		if err != nil {
			return err
		}
		dir.Kids[path.Base(c.path)] = winner
		if winner.kept && !slices.Contains(over[loser.From], winner.From) {
			over[loser.From] = append(over[loser.From], winner.From)
		}
	}
	for _, from := range slices.Sorted(maps.Keys(r.Diversions)) {
		d := r.Diversions[from]
		n, real, err := r.Find(from, false)
		if err != nil || n.Kind == Folder || n.From == nil || n.From.Name == d.By {
			continue
		}
		moved := *n
		moved.kept = false
		o := r.OwnerOf(real, n)
		moved.Owner = &o
		if err := r.Put(d.To, &moved); err != nil {
			return err
		}
	}
	var err error
	r.stacked, err = stack(r.pkgs, over)
	return err
}

// judge gives the file that stands and the one that does not, or none when
// they are the same.
func (r *Root) judge(c collision) (winner, loser *Node, err error) {
	a, b := c.first, c.second
	if now, _, err := r.Find(c.path, false); err == nil && now.From != nil {
		a = now // an earlier collision may have changed it
	}
	fail := func(why error) (*Node, *Node, error) {
		return nil, nil, fmt.Errorf("cannot put packages %s and %s together: both have %s: %w", a.From.Name, b.From.Name, c.path, why)
	}
	if a.Kind == Folder || b.Kind == Folder {
		return fail(errors.New("it is a folder in one of them only; leave one of the two out"))
	}
	equal, err := same(a, b)
	if err != nil {
		return fail(err)
	}
	if d, ok := r.Diversions[c.path]; ok && (a.From.Name == d.By) != (b.From.Name == d.By) {
		if b.From.Name == d.By {
			a, b = b, a
		}
		moved := *b
		moved.kept = false
		o := r.OwnerOf(c.path, b)
		moved.Owner = &o
		return a, b, r.Put(d.To, &moved)
	}
	switch {
	case equal:
		return nil, nil, nil
	case b.From.replaces(a.From):
		return b, a, nil
	case a.From.replaces(b.From):
		return a, b, nil
	}
	return fail(fmt.Errorf("%w, and neither replaces the other; leave one of the two out", ErrConflict))
}

// replaces says whether the package may have files of another one's.
func (p *Package) replaces(q *Package) bool {
	for _, dep := range p.Relations("Replaces") {
		for _, rel := range dep {
			if rel.Name == q.Name && (rel.Op == "" || control.Version(q.Version).Satisfies(rel.Op, rel.Version)) {
				return true
			}
		}
	}
	return false
}

// stack orders packages by name, but each below those that must lie over it.
func stack(pkgs []*Package, over map[*Package][]*Package) ([]*Package, error) {
	const (
		begun = 1
		done  = 2
	)
	state := map[*Package]int{}
	var out []*Package
	var place func(p *Package) error
	place = func(p *Package) error {
		switch state[p] {
		case done:
			return nil
		case begun:
			return fmt.Errorf("cannot put the packages together: %s and others replace files of each other", p.Name)
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
func same(a, b *Node) (bool, error) {
	if a.Kind != b.Kind {
		return false, nil
	}
	if a.Kind == Link {
		s, err := a.Target()
		if err != nil {
			return false, err
		}
		t, err := b.Target()
		return s == t, err
	}
	if a.Executable() != b.Executable() {
		return false, nil
	}
	if a.Disk == "" || b.Disk == "" {
		return a.Disk == b.Disk && a.Text == b.Text, nil
	}
	return sameBytes(a.Disk, b.Disk)
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
