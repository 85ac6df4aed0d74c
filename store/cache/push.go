// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"osbuild/closure"
	"osbuild/store"
	"osbuild/store/cache/codec"
	"osbuild/store/cache/location"
	"osbuild/store/cache/narinfo"
	"osbuild/store/cache/signature"
)

// questions is how many small files are asked for at once: the answer takes
// long to come, and nothing to read.
const questions = 32

// PushOptions say how items are pushed.
type PushOptions struct {
	// Compression of the archives; "" is codec.Default.
	Compression string
	// Listings writes the listing of each item's files beside its narinfo.
	Listings bool
	// Key signs what is pushed; nil signs nothing.
	Key *signature.Secret
	// Jobs is how many items are compressed at once; less than 1 means 1.
	Jobs int
	// Observe, if set, is told how far each archive is.
	Observe Observer
	// Steps, if set, is told how far what moves no archives is, in order.
	Steps func(s Step, done, all int)
}

// Step is a part of a push that moves small files only.
type Step string

const (
	// Asking is for what the cache lacks, before anything moves.
	Asking Step = "asking"
	// Telling of what was pushed comes last.
	Telling Step = "telling"
)

// PushResult is what was done.
type PushResult struct {
	Items     int   // that were pushed
	Present   int   // that were there already
	Signed    int   // of those, to which a signature was added
	Bytes     int64 // of the archives
	FileBytes int64 // of the files
}

// Push makes the closures of paths, which the caller keeps alive, be in the
// cache. What is there is left alone, but that it is signed, too. Narinfos come after all archives, and
// references before what refers to them, so that the cache never tells of an
// item whose closure it lacks.
func Push(ctx context.Context, s *store.Store, c *Cache, paths []store.Path, o PushOptions) (PushResult, error) {
	if o.Compression == "" {
		o.Compression = codec.Default
	}
	if err := codec.Writable(o.Compression); err != nil {
		return PushResult{}, err
	}
	infos, err := closure.Compute(s, paths...)
	if err != nil {
		return PushResult{}, err
	}
	p := &push{s: s, c: c, o: o}
	if err := p.run(ctx, infos); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return PushResult{}, fmt.Errorf("cannot push to %s: %w", c, err)
	}
	return p.result, nil
}

type push struct {
	s      *store.Store
	c      *Cache
	o      PushOptions
	result PushResult
}

func (p *push) run(ctx context.Context, infos []store.Info) error {
	missing, present, err := p.missing(ctx, infos)
	if err != nil {
		return err
	}
	p.result.Present = len(present)
	texts, err := p.archives(ctx, missing)
	if err != nil {
		return err
	}
	if p.o.Key == nil {
		present = nil // nothing to add
	}
	if len(texts)+len(present) == 0 {
		return nil
	}
	if err := p.publish(ctx, texts, present); err != nil || p.result.Items+p.result.Signed == 0 {
		return err
	}
	return p.c.Location.Sync()
}

// archives pushes the archives of items, and gives their narinfos.
func (p *push) archives(ctx context.Context, missing []store.Info) ([]narinfo.Narinfo, error) {
	if len(missing) == 0 {
		return nil, nil
	}
	texts := make([]narinfo.Narinfo, len(missing))
	// The largest first, so that at the end nobody waits for one of them.
	slices.SortFunc(missing, func(a, b store.Info) int { return int(max(-1, min(1, b.NarSize-a.NarSize))) })
	for _, i := range missing {
		p.o.Observe.tell(Transfer{Path: i.Path, Total: i.NarSize})
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(p.o.Jobs, 1))
	for k, i := range missing {
		g.Go(func() (err error) {
			texts[k], err = p.archive(gctx, i)
			end := Transfer{Path: i.Path, Total: i.NarSize, Settled: true, Err: err}
			if err == nil {
				end.Done = end.Total
			}
			p.o.Observe.tell(end)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return texts, p.c.Location.Sync()
}

// publish writes the narinfos of what is pushed, and signs what was there.
// Others may do the same at the same time, so what they wrote is read again.
func (p *push) publish(ctx context.Context, texts []narinfo.Narinfo, present []store.Info) error {
	unlock, err := location.Lock(ctx, p.c.Location)
	if err != nil {
		return err
	}
	defer unlock()
	told := p.counter(Telling, len(texts)+len(present))
	for _, level := range levels(texts) {
		err := many(ctx, level, func(ctx context.Context, n narinfo.Narinfo) error {
			defer told()
			return p.tell(ctx, n)
		})
		if err != nil {
			return err
		}
	}
	var signed atomic.Int64
	err = many(ctx, present, func(ctx context.Context, i store.Info) error {
		defer told()
		added, err := p.countersign(ctx, i)
		if added {
			signed.Add(1)
		}
		return err
	})
	if err != nil {
		return err
	}
	p.result.Signed = int(signed.Load())
	for _, n := range texts {
		p.result.Items++
		p.result.Bytes += n.NarSize
		p.result.FileBytes += n.FileSize
	}
	return nil
}

// many calls a function for each of many small files.
func many[T any](ctx context.Context, list []T, each func(context.Context, T) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(questions)
	for _, v := range list {
		g.Go(func() error { return each(gctx, v) })
	}
	return g.Wait()
}

// counter counts what is done of a step, and tells of it.
func (p *push) counter(s Step, all int) (one func()) {
	if p.o.Steps == nil || all == 0 {
		return func() {}
	}
	var mu sync.Mutex
	done := 0
	p.o.Steps(s, done, all)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		p.o.Steps(s, done, all)
	}
}

// missing gives the items that the cache lacks, and those that it has.
func (p *push) missing(ctx context.Context, infos []store.Info) (missing, present []store.Info, err error) {
	has := make([]bool, len(infos))
	asked := p.counter(Asking, len(infos))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(questions)
	for k, i := range infos {
		g.Go(func() (err error) {
			defer asked()
			has[k], err = p.c.Location.Has(gctx, narinfo.Name(i.Path))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for k, i := range infos {
		if has[k] {
			present = append(present, i)
		} else {
			missing = append(missing, i)
		}
	}
	return missing, present, nil
}

// tell writes a narinfo. Where somebody else has pushed the item meanwhile, its
// signatures are kept.
func (p *push) tell(ctx context.Context, n narinfo.Narinfo) error {
	name := narinfo.Name(n.Path)
	if _, ok := p.c.Location.(location.Locker); ok {
		// Elsewhere it would prove nothing, and take a question.
		if text, err := location.Read(ctx, p.c.Location, name, narinfo.MaxSize); err == nil {
			if other, err := narinfo.Parse(text); err == nil && signature.Item(other.Info) == signature.Item(n.Info) {
				n.Sigs = merge(n.Sigs, other.Sigs)
				slices.Sort(n.Sigs)
			}
		}
	}
	defer p.c.learn(name)
	return location.Write(ctx, p.c.Location, name, n.Encode())
}

// countersign adds a signature to what the cache says of an item, where it
// says the same as the store: so several can vouch for one item.
func (p *push) countersign(ctx context.Context, i store.Info) (added bool, err error) {
	p.c.learn(narinfo.Name(i.Path)) // it is there
	n, err := p.c.Narinfo(ctx, i.Path)
	if errors.Is(err, store.ErrWrong) || err == nil && signature.Item(n.Info) != signature.Item(i) {
		return false, nil // whoever pulls it will be told
	}
	sig := p.o.Key.Sign(signature.Item(i))
	if err != nil || slices.Contains(n.Sigs, sig) {
		return false, err
	}
	n.Sigs = append(slices.Clone(n.Sigs), sig)
	slices.Sort(n.Sigs)
	return true, location.Write(ctx, p.c.Location, narinfo.Name(i.Path), n.Encode())
}

// archive pushes the archive of one item and gives its narinfo, which is not
// pushed yet.
func (p *push) archive(ctx context.Context, i store.Info) (narinfo.Narinfo, error) {
	u, err := p.c.Location.Create(ctx)
	if err != nil {
		return narinfo.Narinfo{}, err
	}
	defer u.Discard()
	file, plain := newDigester(), newDigester()
	w, err := codec.NewWriter(p.o.Compression, io.MultiWriter(u, file), i.NarSize)
	if err != nil {
		return narinfo.Narinfo{}, err
	}
	passed := &passing{tell: p.o.Observe, t: Transfer{Path: i.Path, Total: i.NarSize}}
	err = p.s.DumpNAR(ctx, i.Path, io.MultiWriter(w, plain, passed))
	if err == nil && plain.sum() != i.NarHash {
		err = fmt.Errorf("%s is damaged in the store at %s: its archive has the hash %s, not %s (see `osbuild store verify --contents`)", i.Path, p.s.Root(), plain.sum(), i.NarHash)
	}
	// What has failed already ends too early for the codec, too.
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return narinfo.Narinfo{}, err
	}
	name := narinfo.NarName(file.sum(), codec.Extension(p.o.Compression))
	has, err := p.c.Location.Has(ctx, name)
	if err == nil && !has {
		err = u.Commit(ctx, name)
	}
	if err == nil && p.o.Listings {
		err = p.listing(ctx, i.Path)
	}
	if err != nil {
		return narinfo.Narinfo{}, err
	}
	if p.o.Key != nil {
		i.Sigs = append(slices.Clone(i.Sigs), p.o.Key.Sign(signature.Item(i)))
		slices.Sort(i.Sigs)
		i.Sigs = slices.Compact(i.Sigs)
	}
	return narinfo.Narinfo{Info: i, URL: name, Compression: p.o.Compression, FileHash: file.sum(), FileSize: file.size}, nil
}

func (p *push) listing(ctx context.Context, path store.Path) error {
	text, err := Listing(ctx, p.s.Physical(path))
	if err != nil {
		return err
	}
	return location.Write(ctx, p.c.Location, narinfo.ListingName(path), text)
}

// levels groups items so that each comes after those that it refers to.
func levels(items []narinfo.Narinfo) [][]narinfo.Narinfo {
	const unknown, open = 0, -1
	index := make(map[store.Path]int, len(items))
	for k, n := range items {
		index[n.Path] = k
	}
	level := make([]int, len(items))
	var out [][]narinfo.Narinfo
	for k := range items {
		stack := []int{k}
		for len(stack) > 0 {
			top := stack[len(stack)-1]
			if level[top] > 0 {
				stack = stack[:len(stack)-1]
				continue
			}
			first := level[top] == unknown
			level[top] = open
			height, ready := 1, true
			for _, r := range items[top].References {
				at, ok := index[r]
				switch {
				case !ok || at == top:
				case level[at] == unknown && first:
					stack = append(stack, at)
					ready = false
				default:
					height = max(height, level[at]+1)
				}
			}
			if !ready {
				continue
			}
			level[top] = height
			stack = stack[:len(stack)-1]
			for len(out) < height {
				out = append(out, nil)
			}
			out[height-1] = append(out[height-1], items[top])
		}
	}
	return out
}

// digester hashes and counts.
type digester struct {
	hash hash.Hash
	size int64
}

func newDigester() *digester { return &digester{hash: sha256.New()} }

func (d *digester) Write(p []byte) (int, error) {
	d.size += int64(len(p))
	return d.hash.Write(p)
}

func (d *digester) sum() store.Hash { return store.Hash(d.hash.Sum(nil)) }
