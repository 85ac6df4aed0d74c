// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"osbuild/store"
)

// worker adds, queries, verifies and collects at random. Every error counts.
func worker(arg string) error {
	var (
		root  string
		k     uint64
		fatal int64
	)
	if _, err := fmt.Sscanf(arg, "%d %d %s", &k, &fatal, &root); err != nil {
		return err
	}
	s, err := store.Open(root, store.Options{FS: killer(fatal)})
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(k, 1))
	ctx := context.Background()
	for range 40 {
		var err error
		switch r.IntN(8) {
		case 0:
			_, err = s.GC(ctx, store.GCOptions{})
		case 1:
			var rep store.Report
			if rep, err = s.Verify(ctx, store.VerifyOptions{Contents: true}); len(rep.Problems) > 0 {
				err = fmt.Errorf("verify: %v", rep.Problems)
			}
		case 2:
			_, err = s.Infos()
		case 3:
			err = s.Sync()
		default:
			err = addChain(ctx, s, r)
		}
		if err != nil {
			return fmt.Errorf("worker %d: %w", k, err)
		}
	}
	return s.Sync()
}

// addChain adds items that refer to each other, the same ones as the other
// workers do, and checks that all are there as long as the lease lasts.
func addChain(ctx context.Context, s *store.Store, r *rand.Rand) (err error) {
	l, err := s.NewLease("worker")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	var all, refs []store.Path
	for i := range 2 + r.IntN(6) {
		var info store.Info
		if i%2 == 0 {
			info, err = s.AddText(ctx, l, "text", fmt.Appendf(nil, "%d %q", r.IntN(3), refs), refs)
		} else {
			info, err = addDir(ctx, s, l, refs, r.IntN(3))
		}
		if err != nil {
			return err
		}
		refs = []store.Path{info.Path}
		all = append(all, info.Path)
	}
	for _, p := range all {
		if !s.Valid(p) {
			return fmt.Errorf("%s is gone in spite of a lease", p)
		}
	}
	if _, err := s.PutRecordOnce("memo", all[0].Digest(), []byte("same")); err != nil {
		return err
	}
	lock, _, err := s.Lock(ctx, "build-"+all[0].Digest())
	if err != nil {
		return err
	}
	return lock.Unlock()
}

func addDir(ctx context.Context, s *store.Store, l *store.Lease, refs []store.Path, k int) (store.Info, error) {
	temp, err := l.TempDir()
	if err != nil {
		return store.Info{}, err
	}
	dir := fmt.Sprintf("%s/d%d", temp, rand.Uint64())
	text := fmt.Sprintf("%d %q %s", k, refs, scratchA)
	if err := errors.Join(os.MkdirAll(dir+"/x", 0o755), os.WriteFile(dir+"/x/f", []byte(text), 0o644)); err != nil {
		return store.Info{}, err
	}
	return s.AddOutput(ctx, l, store.Output{Name: "out", Physical: dir, Scratch: scratchA, Candidates: refs})
}

func TestProcesses(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	var wg sync.WaitGroup
	// Those beyond the eighth are killed at some time, and the others must
	// not notice.
	for k := range 14 {
		fatal := 0
		if k >= 8 {
			fatal = 50 + 173*(k-8)
		}
		wg.Go(func() {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", envWorker, k, fatal, root))
			if out, err := cmd.CombinedOutput(); err != nil && (fatal == 0 || !killed(err)) || len(out) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	s := openAt(t, root)
	mustVerify(t, s)
	if _, err := s.GC(context.Background(), store.GCOptions{}); err != nil {
		t.Error(err)
	}
	if all, err := s.All(); err != nil || len(all) > 0 {
		t.Errorf("%d remain, %v", len(all), err)
	}
}

const addsEach = 50

// adder adds items, partly the same ones as others, and makes each a root.
func adder(arg string) error {
	var (
		k           int
		root, links string
	)
	if _, err := fmt.Sscan(arg, &k, &root, &links); err != nil {
		return err
	}
	for n := range addsEach {
		// As a command does, each time anew.
		if err := addOne(root, fmt.Sprintf("%s/%d-%d", links, k, n), k, n); err != nil {
			return err
		}
	}
	return nil
}

func addOne(root, link string, k, n int) (err error) {
	s, err := store.Open(root, store.Options{})
	if err != nil {
		return err
	}
	l, err := s.NewLease("add")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Sync(), l.Close()) }()
	common, err := s.AddText(context.Background(), l, "common", fmt.Append(nil, n), nil)
	if err != nil {
		return err
	}
	own, err := s.AddText(context.Background(), l, "own", fmt.Append(nil, k, n), []store.Path{common.Path})
	if err != nil {
		return err
	}
	return s.AddRoot(link, own.Path)
}

// Eight processes add while collections run all the time: nothing is lost, and
// nobody says a word.
func TestAddsAndCollections(t *testing.T) {
	t.Parallel()
	dir := fastDir(t)
	root, links := dir+"/root", dir+"/links"
	if err := os.Mkdir(links, 0o755); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, root)
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s", envAdds, k, root, links))
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	collections := 0
	for running := true; running; collections++ {
		select {
		case <-ended:
			running = false
		default:
		}
		if _, err := s.GC(context.Background(), store.GCOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d collections", collections)
	roots, err := s.Roots()
	if err != nil || len(roots) != 8*addsEach {
		t.Errorf("%d roots, %v", len(roots), err)
	}
	for _, r := range roots {
		if err := whole(s, r.Path); err != nil {
			t.Error(err)
		}
	}
	if all, err := s.All(); err != nil || len(all) != 9*addsEach {
		t.Errorf("%d items, want %d, %v", len(all), 9*addsEach, err)
	}
	mustVerify(t, s)
}

// Goroutines of one process share a store and a lease.
func TestGoroutines(t *testing.T) {
	s := open(t)
	l := lease(t, s)
	ctx := context.Background()
	src := writeTree(t, map[string]string{"a": "1", "b/c": strings.Repeat("x", 200_000)})
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for n := range 20 {
				if _, err := s.AddText(ctx, l, "t", fmt.Append(nil, n), nil); err != nil {
					t.Error(err)
				}
				if _, err := s.AddTree(ctx, l, "tree", src, nil); err != nil {
					t.Error(err)
				}
				if k == 0 {
					if _, err := s.GC(ctx, store.GCOptions{}); err != nil {
						t.Error(err)
					}
				}
				if k == 1 {
					if err := s.Sync(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if all, err := s.All(); err != nil || len(all) != 21 {
		t.Errorf("%d items, %v", len(all), err)
	}
	mustVerify(t, s)
}
