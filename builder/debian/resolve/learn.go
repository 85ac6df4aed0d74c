// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import "osbuild/builder/debian/control"

// decision is the choice of one candidate for a dependency that others could
// have satisfied.
type decision struct{ dependency, candidate string }

// reasons are decisions that together are a mistake.
type reasons map[decision]bool

func (r reasons) add(more reasons) {
	for d := range more {
		r[d] = true
	}
}

// because are the decisions without which n would not be chosen.
func because(n *node) reasons {
	r := reasons{}
	for ; n != nil; n = n.parent {
		if n.decision != nil {
			r[*n.decision] = true
		}
	}
	return r
}

// refused says whether d would complete a set of decisions that is known to
// be a mistake; it returns the others of that set.
func (a *attempt) refused(d decision) reasons {
	for _, mistake := range a.mistakes[d] {
		others := reasons{}
		for e := range mistake {
			if e != d && a.decisions[e] {
				others[e] = true
			}
		}
		if len(others) == len(mistake)-1 {
			return others
		}
	}
	return nil
}

// learn remembers why an attempt failed, and says whether another one can end
// differently. Every attempt that fails adds a set of decisions that none had
// before, so that the search does not go round in circles.
func (s *solver) learn(f *failure) bool {
	if s.update {
		for _, name := range f.pins {
			if s.free(name) {
				return true
			}
		}
	}
	for d := range f.because {
		s.mistakes[d] = append(s.mistakes[d], f.because)
	}
	return len(f.because) > 0
}

// free lets a locked package move, if there is anything newer to move to, or
// another file of the same version. What was learnt while it was kept holds no
// more.
func (s *solver) free(name string) bool {
	pin, now := s.pins[name], s.ix.newest(name)
	if pin == nil || now == nil || now.SHA256 == pin.SHA256 || now.Version.Compare(control.Version(pin.Version)) < 0 {
		return false
	}
	delete(s.pins, name)
	s.mistakes, s.freed = map[decision][]reasons{}, true
	return true
}
