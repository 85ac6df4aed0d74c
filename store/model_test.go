// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"osbuild/closure"
	"osbuild/store"
)

// envLong is a duration, such as 10m: how long the tests of chance work.
const envLong = "OSBUILD_TEST_LONG"

// Otherwise they work this long.
const modelTime = 30 * time.Second

func modelDuration(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(envLong)
	if text == "" {
		return modelTime
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", envLong, err)
	}
	return d
}

// A model worker does steps of chance on a store, beside others, until it is
// killed or told to stop. It prints a letter for each step that is done, and
// for each thing that it has checked.
type modelWorker struct {
	store   *store.Store
	rand    *rand.Rand
	links   string // folder of the worker's own roots
	checked []byte // letters, not printed yet
}

// step is one kind of work: its letter, its name, and how often it is chosen.
type step struct {
	letter byte
	name   string
	weight int
	do     func(w *modelWorker, ctx context.Context) error
}

var steps = []step{
	{'a', "add", 8, (*modelWorker).add},
	{'b', "build", 8, (*modelWorker).build},
	{'r', "root", 6, (*modelWorker).root},
	{'u', "unroot", 6, (*modelWorker).unroot},
	{'c', "closures of roots", 6, (*modelWorker).roots},
	{'g', "gc", 5, (*modelWorker).gc},
	{'v', "verify", 2, (*modelWorker).verify},
	{'o', "optimise", 2, (*modelWorker).optimise},
	{'s', "sync", 2, func(w *modelWorker, _ context.Context) error { return w.store.Sync() }},
	{'i', "index dropped", 1, (*modelWorker).dropIndex},
	{'f', "fsck", 1, (*modelWorker).fsck},
	{'n', "reopen", 1, (*modelWorker).reopen},
}

// What workers check, and kinds of verify and gc.
const (
	underLease    = 'L'
	ofRoot        = 'R'
	itemVerified  = 'V'
	contentsToo   = 'C'
	itemCollected = 'G'
)

var checks = []struct {
	letter byte
	name   string
}{
	{underLease, "closures under a lease"},
	{ofRoot, "closures of roots"},
	{itemVerified, "items verified"},
	{contentsToo, "items hashed"},
	{itemCollected, "items collected"},
}

// note notes that n things were checked.
func (w *modelWorker) note(letter byte, n int) {
	w.checked = append(w.checked, bytes.Repeat([]byte{letter}, n)...)
}

// modelChild is a worker's process: its argument is a seed, how many operations
// it lives (0: for ever), when it ends and where it works.
func modelChild(arg string) error {
	var (
		seed        uint64
		fatal, end  int64
		root, links string
	)
	if _, err := fmt.Sscan(arg, &seed, &fatal, &end, &root, &links); err != nil {
		return err
	}
	s, err := store.Open(root, store.Options{FS: killer(fatal)})
	if err != nil {
		return err
	}
	w := &modelWorker{store: s, rand: rand.New(rand.NewPCG(seed, 3)), links: links}
	total := 0
	for _, st := range steps {
		total += st.weight
	}
	ctx := context.Background()
	if err := w.roots(ctx); err != nil { // those of a killed one
		return err
	}
	for time.Now().Before(time.UnixMilli(end)) {
		n := w.rand.IntN(total)
		for _, st := range steps {
			if n -= st.weight; n >= 0 {
				continue
			}
			if err := st.do(w, ctx); err != nil {
				return fmt.Errorf("%s: %w", st.name, err)
			}
			if _, err := os.Stdout.Write(append(w.checked, st.letter)); err != nil {
				return err
			}
			w.checked = w.checked[:0]
			break
		}
	}
	return w.store.Sync()
}

// leased does something under a lease of its own.
func (w *modelWorker) leased(do func(l *store.Lease) error) (err error) {
	l, err := w.store.NewLease("model")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return do(l)
}

// items adds a few items that refer to each other, partly the same ones as
// others add, and checks that all of them are whole. It returns the last one.
func (w *modelWorker) items(ctx context.Context, l *store.Lease, built bool) (store.Path, error) {
	var all, refs []store.Path
	for k := range 1 + w.rand.IntN(5) {
		var (
			i   store.Info
			err error
		)
		if built && k%2 == 0 {
			i, err = addDir(ctx, w.store, l, refs, w.rand.IntN(4))
		} else {
			content := fmt.Sprintf("%d %q", w.rand.IntN(4), refs)
			i, err = w.store.AddText(ctx, l, "text", []byte(content+strings.Repeat(".", w.rand.IntN(2)*2000)), refs)
		}
		if err != nil {
			return "", err
		}
		all = append(all, i.Path)
		refs = all[w.rand.IntN(len(all)):]
	}
	for _, p := range all {
		if err := whole(w.store, p); err != nil {
			return "", fmt.Errorf("under a lease: %w", err)
		}
	}
	w.note(underLease, len(all))
	return all[len(all)-1], nil
}

// whole checks that all of a closure is there.
func whole(s *store.Store, p store.Path) error {
	infos, err := closure.Compute(s, p)
	if err != nil {
		return err
	}
	for _, i := range infos {
		if !s.Valid(i.Path) {
			return fmt.Errorf("%s needs %s, which is not valid", p, i.Path)
		}
	}
	return nil
}

func (w *modelWorker) add(ctx context.Context) error {
	return w.leased(func(l *store.Lease) error {
		_, err := w.items(ctx, l, false)
		return err
	})
}

// build does what a build does: lock, look up, make, record.
func (w *modelWorker) build(ctx context.Context) error {
	return w.leased(func(l *store.Lease) (err error) {
		key := fmt.Sprintf("key%d", w.rand.IntN(6))
		lock, _, err := w.store.Lock(ctx, "drv-"+key)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lock.Unlock()) }()
		if have, err := w.store.Record("model", key); err == nil {
			p, err := store.ParsePath(string(have))
			if err != nil {
				return fmt.Errorf("the record %s is torn: %q", key, have)
			}
			if err := l.Add(p); err != nil {
				return err
			}
			if w.store.Valid(p) {
				w.note(underLease, 1)
				return whole(w.store, p)
			}
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		p, err := w.items(ctx, l, true)
		if err != nil {
			return err
		}
		return w.store.PutRecord("model", key, []byte(p))
	})
}

const modelRoots = 5

func (w *modelWorker) link() string {
	return fmt.Sprintf("%s/root%d", w.links, w.rand.IntN(modelRoots))
}

func (w *modelWorker) root(ctx context.Context) error {
	return w.leased(func(l *store.Lease) error {
		p, err := w.items(ctx, l, true)
		if err != nil {
			return err
		}
		return w.store.AddRoot(w.link(), p)
	})
}

func (w *modelWorker) unroot(context.Context) error {
	if err := os.Remove(w.link()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// roots checks that what the worker's own roots lead to is whole: nobody else
// removes them.
func (w *modelWorker) roots(context.Context) error {
	n, err := wholeRoots(w.store, w.links)
	w.note(ofRoot, n)
	return err
}

func wholeRoots(s *store.Store, links string) (n int, err error) {
	list, err := filepath.Glob(links + "/root?")
	if err != nil {
		return 0, err
	}
	for _, link := range list {
		target, err := os.Readlink(link)
		if err != nil {
			return 0, err
		}
		p, _, err := s.Resolve(target)
		if err != nil {
			return 0, err
		}
		if err := whole(s, p); err != nil {
			return 0, fmt.Errorf("root %s: %w", link, err)
		}
	}
	return len(list), nil
}

func (w *modelWorker) gc(ctx context.Context) error {
	o := store.GCOptions{DryRun: w.rand.IntN(6) == 0}
	switch w.rand.IntN(4) {
	case 0:
		o.KeepLast = w.rand.IntN(4)
	case 1:
		o.MaxFreed = 1000
	case 2:
		o.MinAge = time.Hour
	}
	r, err := w.store.GC(ctx, o)
	if !o.DryRun {
		w.note(itemCollected, len(r.Freed))
	}
	return err
}

func (w *modelWorker) verify(ctx context.Context) error {
	o := store.VerifyOptions{Contents: w.rand.IntN(2) == 0, Jobs: w.rand.IntN(4)}
	r, err := w.store.Verify(ctx, o)
	w.note(map[bool]byte{false: itemVerified, true: contentsToo}[o.Contents], r.Checked)
	if len(r.Problems) > 0 {
		return fmt.Errorf("problems: %v", r.Problems)
	}
	return err
}

func (w *modelWorker) optimise(ctx context.Context) error {
	_, err := w.store.Optimise(ctx, nil)
	return err
}

func (w *modelWorker) dropIndex(context.Context) error {
	if err := os.Remove(w.store.Root() + "/db/index.log"); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// fsck takes up what killed workers left in the store folder.
func (w *modelWorker) fsck(ctx context.Context) error {
	_, err := w.store.Rebuild(ctx, false)
	return err
}

func (w *modelWorker) reopen(context.Context) error {
	if err := w.store.Sync(); err != nil {
		return err
	}
	s, err := store.Open(w.store.Root(), store.Options{Lazy: w.rand.IntN(2) == 0})
	if err == nil {
		w.store = s
	}
	return err
}

// Processes work at random and are killed at random, at operations and at any
// time, and the store stays whole: the closure of every root and of every
// lease is valid, what is valid has its tree and its references, and after a
// collection nothing is left that nobody needs.
func TestModel(t *testing.T) {
	t.Parallel() // the work is that of other processes
	const slots = 4
	long := modelDuration(t)
	if testing.Short() {
		long = time.Second
	}
	dir := fastDir(t)
	root := dir + "/root"
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %v", seed, long)
	end := time.Now().Add(long)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		done  = make(map[byte]int)
		kills = make(map[string]int)
		runs  int
	)
	for slot := range slots {
		links := fmt.Sprintf("%s/links%d", dir, slot)
		if err := os.Mkdir(links, 0o755); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(slot)))
			for k := 0; time.Now().Before(end) && !t.Failed(); k++ {
				out, kill, err := runModel(r, root, links, end)
				mu.Lock()
				for _, letter := range out {
					done[letter]++
				}
				runs++
				if kill != "" {
					kills[kill]++
				}
				mu.Unlock()
				if err != nil {
					t.Errorf("worker %d: %v", slot, err)
				}
			}
		})
	}
	wg.Wait()
	s := openAt(t, root)
	mustVerify(t, s)
	for slot := range slots {
		links := fmt.Sprintf("%s/links%d", dir, slot)
		n, err := wholeRoots(s, links)
		if err != nil {
			t.Error(err)
		}
		done[ofRoot] += n
		if err := os.RemoveAll(links); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.GC(context.Background(), store.GCOptions{}); err != nil {
		t.Error(err)
	}
	all, err := s.All()
	if err != nil || len(all) > 0 || len(links(t, s)) > 0 {
		t.Errorf("after the last collection %q and %q remain, %v", all, links(t, s), err)
	}
	expectTidyButFiles(t, s)
	var counts []string
	for _, st := range steps {
		counts = append(counts, fmt.Sprintf("%s %d", st.name, done[st.letter]))
	}
	t.Logf("steps: %s", strings.Join(counts, ", "))
	counts = nil
	for _, c := range checks {
		counts = append(counts, fmt.Sprintf("%s %d", c.name, done[c.letter]))
	}
	t.Logf("checks: %s", strings.Join(counts, ", "))
	t.Logf("%d processes, %d of them killed at an operation, %d at any time", runs, kills[atOperation], kills[atAnyTime])
}

// Kinds of kills.
const (
	atOperation = "operation"
	atAnyTime   = "any time"
)

// modelLife is how long a worker works that is not killed.
const modelLife = 2 * time.Second

// runModel runs a worker to its end, which may be a sudden one.
func runModel(r *rand.Rand, root, links string, end time.Time) (out []byte, kill string, err error) {
	fatal, sudden := 0, time.Duration(0)
	if life := time.Now().Add(modelLife); life.Before(end) {
		end = life
	}
	switch r.IntN(3) {
	case 0:
		fatal = 1 + r.IntN(300)
	case 1:
		sudden = time.Duration(r.IntN(1000)) * time.Millisecond
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %d %s %s", envModel, r.Uint64(), fatal, end.UnixMilli(), root, links))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	if sudden > 0 {
		timer := time.AfterFunc(sudden, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	err = cmd.Wait()
	switch {
	case fatal > 0 && killed(err):
		return stdout.Bytes(), atOperation, nil
	case sudden > 0 && killed(err):
		return stdout.Bytes(), atAnyTime, nil
	case err != nil || stderr.Len() > 0:
		err = fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	return stdout.Bytes(), "", err
}
