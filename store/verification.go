// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"osbuild/store/refscan"
)

// verification checks items, several at once.
type verification struct {
	store    *Store
	contents bool
	named    bool             // the user named the items, so each must be there
	leased   bool             // so that none can be collected meanwhile
	refs     *refscan.Scanner // of all items, if contents are read

	mu    sync.Mutex
	valid map[Path]bool // whether it is, as far as that was asked
}

// verdict is what was found out about an item.
type verdict struct {
	problems []Problem
	checked  bool
}

// run checks the items; the problems come in the order of the paths. 0 jobs
// are one a processor.
func (v *verification) run(ctx context.Context, paths []Path, jobs int) (problems []Problem, checked int, err error) {
	if jobs == 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		wg       sync.WaitGroup
		next     atomic.Int64
		verdicts = make([]verdict, len(paths))
	)
	for range min(jobs, len(paths)) {
		var refs *refscan.Scanner
		if v.refs != nil {
			refs = v.refs.Clone()
		}
		wg.Go(func() {
			for k := next.Add(1) - 1; k < int64(len(paths)) && ctx.Err() == nil; k = next.Add(1) - 1 {
				var err error
				if verdicts[k], err = v.item(ctx, paths[k], refs); err != nil {
					stop(err)
				}
			}
		})
	}
	wg.Wait()
	for _, d := range verdicts {
		if d.checked {
			checked++
		}
		problems = append(problems, d.problems...)
	}
	return problems, checked, context.Cause(ctx)
}

// item checks one item: one that the user named, or one that was listed and may
// be collected since, unless it is leased. The info file is read here and not
// taken from the index, because it is the truth.
func (v *verification) item(ctx context.Context, p Path, refs *refscan.Scanner) (verdict, error) {
	i, err := v.store.Info(p)
	var damaged *InfoError
	switch {
	case errors.As(err, &damaged):
		return verdict{[]Problem{{p, ProblemInfo, damaged.Err.Error()}}, true}, nil
	case errors.Is(err, ErrNotFound) && !v.named:
		return verdict{}, nil // collected since the list was made
	case err != nil:
		return verdict{}, err
	}
	var problems []Problem
	for _, r := range i.References {
		if r != p && !v.isValid(r) {
			problems = append(problems, Problem{p, ProblemReference, "it refers to " + string(r) + ", which is not valid"})
		}
	}
	problems = append(problems, v.store.checkTree(ctx, i, v.contents, refs)...)
	if err := ctx.Err(); err != nil {
		return verdict{}, err // which may be all that was found
	}
	if len(problems) > 0 && !v.leased {
		// Without a lease the item may have been collected meanwhile.
		if _, err := v.store.Info(p); errors.Is(err, ErrNotFound) {
			return verdict{}, nil
		}
	}
	return verdict{problems, true}, nil
}

// isValid asks once for each item: most are referred to more than once.
func (v *verification) isValid(p Path) bool {
	v.mu.Lock()
	valid, known := v.valid[p]
	v.mu.Unlock()
	if known {
		return valid
	}
	valid = v.store.Valid(p)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.valid[p] = valid
	return valid
}
