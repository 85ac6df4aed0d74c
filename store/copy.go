// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"io"
	"sync"

	"osbuild/store/fsys"
	"osbuild/store/nar"
)

const (
	// copyBuffer is the size of a block. The blocks are few, so that what one
	// processor has read is still in the cache when another one writes it.
	copyBuffer = 128 << 10
	copyBlocks = 16
	// blockFiles is how many files at most share a block.
	blockFiles = 64
	// copyAhead is how many pieces of a large file are read before their time.
	copyAhead = 4
	// copyQueue is how many jobs wait for a writer before the reader writes.
	copyQueue = 4
	// copyWriters write while one goroutine reads and hashes: hashing is
	// bound to one stream, creating files is not.
	copyWriters = 2
)

// copier writes a canonical copy of a tree while the tree is read once.
type copier struct {
	fs     fsys.FS
	jobs   chan copyJob
	blocks blockPool
	small  *block // being filled
	ahead  func(files int)

	mu  sync.Mutex
	err error
}

// copyJob is what one writer writes: some small files whose contents lie in
// one block, or a large file whose content comes in pieces.
type copyJob struct {
	small  *block
	large  copyFile
	pieces chan *block
}

type copyFile struct {
	path string
	exec bool
	size int
}

// block is a buffer on its way from the reader to a writer.
type block struct {
	buf   []byte // what is used; its capacity is copyBuffer
	files []copyFile
}

// blockPool has a bounded number of blocks. The one that was used last is the
// next one, because it is in the processor's cache.
type blockPool struct {
	mu   sync.Mutex
	some sync.Cond
	free []*block
	made int
}

func (p *blockPool) get() *block {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) == 0 {
		if p.made < copyBlocks {
			p.made++
			return &block{buf: make([]byte, 0, copyBuffer)}
		}
		p.some.Wait()
	}
	b := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return b
}

func (p *blockPool) put(b *block) {
	b.buf, b.files = b.buf[:0], b.files[:0]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, b)
	p.some.Signal()
}

// copyTree writes the tree t to dst, which must not exist, in canonical form
// but for the mode of the top folder (see register), and its archive to w.
// content, if not nil, gets the plain bytes of all files. On an error dst is
// removed.
func (s *Store) copyTree(ctx context.Context, t *nar.Tree, dst string, w, content io.Writer) (size int64, err error) {
	c := &copier{fs: s.fs, jobs: make(chan copyJob, copyQueue), ahead: s.written}
	c.blocks.some.L = &c.blocks.mu
	var wg sync.WaitGroup
	for range copyWriters {
		wg.Go(func() {
			for job := range c.jobs {
				c.do(job)
			}
		})
	}
	e := nar.NewEncoder(w)
	err = t.Encode(ctx, e, func(e *nar.Encoder, n *nar.Node) error {
		return c.file(ctx, t, e, n, target(dst, n), content)
	}, func(n *nar.Node) error {
		switch n.Type {
		case nar.Directory:
			return s.fs.Mkdir(target(dst, n), 0o755)
		case nar.Symlink:
			if err := s.fs.Symlink(n.Target, target(dst, n)); err != nil {
				return err
			}
			return s.fs.SetTime(target(dst, n), epoch)
		}
		return nil
	})
	c.flush()
	close(c.jobs)
	wg.Wait()
	// A writer's error is the cause of the reader's, if both failed.
	if c.err != nil {
		err = c.err
	}
	if err == nil {
		err = seal(s.fs, t, dst, false)
	}
	if err != nil {
		return 0, errors.Join(err, fsys.RemoveTree(s.fs, dst))
	}
	return e.Offset(), nil
}

// target is the place of a node in the copy.
func target(dst string, n *nar.Node) string {
	if n.Path == "" {
		return dst
	}
	return dst + "/" + n.Path
}

// seal gives the folders of a finished tree their time and mode, children
// first. The top keeps its mode unless top is set.
func seal(f fsys.FS, t *nar.Tree, dst string, top bool) error {
	for i := len(t.Nodes) - 1; i >= 0; i-- {
		n := &t.Nodes[i]
		if n.Type != nar.Directory {
			continue
		}
		if err := f.SetTime(target(dst, n), epoch); err != nil {
			return err
		}
		if n.Path == "" && !top {
			continue
		}
		if err := f.Chmod(target(dst, n), modeDir); err != nil {
			return err
		}
	}
	return nil
}

// file reads one file, gives it to the archive and hands it to a writer.
func (c *copier) file(ctx context.Context, t *nar.Tree, e *nar.Encoder, n *nar.Node, dst string, content io.Writer) error {
	if err := c.failed(); err != nil {
		return err
	}
	e.OpenFile(n.Size, n.Executable)
	both := func(p []byte) error {
		_, err := e.Write(p)
		if err == nil && content != nil {
			_, err = content.Write(p)
		}
		return err
	}
	file := copyFile{path: dst, exec: n.Executable, size: int(n.Size)}
	var err error
	if n.Size < copyBuffer {
		err = c.readSmall(t.Physical(n), file, both)
	} else {
		err = c.readLarge(ctx, t.Physical(n), n.Size, file, both)
	}
	if err != nil {
		return err
	}
	e.CloseFile(n.Size)
	return nil
}

// readSmall reads a file into the block that small files share. There is room
// for one byte more, so that a file that has grown shows itself.
func (c *copier) readSmall(src string, file copyFile, emit func([]byte) error) error {
	if b := c.small; b != nil && (len(b.buf)+file.size >= copyBuffer || len(b.files) == blockFiles) {
		c.flush()
	}
	if c.small == nil {
		c.small = c.blocks.get()
	}
	b := c.small
	start := len(b.buf)
	err := nar.ReadContent(src, int64(file.size), b.buf[start:copyBuffer], func(p []byte) ([]byte, error) {
		b.buf = b.buf[:len(b.buf)+len(p)]
		return b.buf[len(b.buf):copyBuffer], emit(p)
	})
	if err != nil {
		b.buf = b.buf[:start]
		return err
	}
	b.files = append(b.files, file)
	return nil
}

// flush hands the small files read so far to a writer, or writes them if all
// are busy.
func (c *copier) flush() {
	if c.small == nil {
		return
	}
	job := copyJob{small: c.small}
	c.small = nil
	select {
	case c.jobs <- job:
	default:
		c.do(job)
	}
}

// readLarge gives the pieces of a file to the archive and to a writer, while
// another goroutine reads the next ones: hashing takes longest.
func (c *copier) readLarge(ctx context.Context, src string, size int64, file copyFile, emit func([]byte) error) error {
	job := copyJob{large: file, pieces: make(chan *block, copyBlocks)}
	c.jobs <- job
	defer close(job.pieces)
	var (
		read = make(chan *block, copyAhead)
		rerr error
	)
	go func() {
		defer close(read)
		b := c.blocks.get()
		rerr = nar.ReadContent(src, size, b.buf[:copyBuffer], func(p []byte) ([]byte, error) {
			b.buf = p
			read <- b
			b = c.blocks.get()
			return b.buf[:copyBuffer], errors.Join(c.failed(), ctx.Err())
		})
		c.blocks.put(b)
	}()
	for b := range read {
		if err := emit(b.buf); err != nil {
			c.fail(err) // which stops the one that reads
		}
		job.pieces <- b
	}
	return rerr
}

// do writes the files of a job. After an error it only takes what comes, so
// that the reader never waits for ever.
func (c *copier) do(job copyJob) {
	if err := c.failed(); err == nil {
		if err := c.write(job); err != nil {
			c.fail(err)
		}
	}
	if job.pieces == nil {
		c.blocks.put(job.small)
		return
	}
	for p := range job.pieces {
		c.blocks.put(p)
	}
}

func (c *copier) write(job copyJob) error {
	if job.pieces != nil {
		return c.writeLarge(job)
	}
	rest := job.small.buf
	for _, file := range job.small.files {
		if err := c.writeSmall(file, rest[:file.size]); err != nil {
			return err
		}
		rest = rest[file.size:]
	}
	c.ahead(len(job.small.files))
	return nil
}

func (c *copier) writeSmall(file copyFile, content []byte) error {
	f, err := c.fs.Create(file.path, fileMode(file.exec))
	if err != nil {
		return err
	}
	if len(content) > 0 {
		if _, err := f.Write(content); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Finish(fileMode(file.exec), epoch)
}

func (c *copier) writeLarge(job copyJob) error {
	f, err := c.fs.Create(job.large.path, fileMode(job.large.exec))
	if err != nil {
		return err
	}
	for p := range job.pieces {
		_, err := f.Write(p.buf)
		c.blocks.put(p)
		if err != nil {
			return errors.Join(err, f.Close()) // the caller takes the rest
		}
	}
	return f.Finish(fileMode(job.large.exec), epoch)
}

func (c *copier) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

func (c *copier) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
