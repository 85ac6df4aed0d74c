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
	// copyWriters write while one goroutine reads and hashes: hashing is
	// bound to one stream, creating files is not.
	copyWriters = 2
	// copyBuffers of copyBuffer bytes are in flight at most.
	copyBuffers = 32
	copyBuffer  = 128 << 10
)

// copier writes a canonical copy of a tree while the tree is read once.
type copier struct {
	fs   fsys.FS
	jobs chan copyJob
	free chan []byte

	mu  sync.Mutex
	err error
}

// copyJob is one file to write. Its content comes in pieces, because it may
// be larger than all buffers; most files are one piece.
type copyJob struct {
	path   string
	exec   bool
	first  []byte      // the first piece, or nil
	pieces chan []byte // the others; nil if there are none
}

// copyTree writes the tree t to dst, which must not exist, in canonical form
// but for the mode of the top folder (see register), and its archive to w.
// content, if not nil, gets the plain bytes of all files. On an error dst is
// removed.
func copyTree(ctx context.Context, f fsys.FS, t *nar.Tree, dst string, w, content io.Writer) (size int64, err error) {
	c := &copier{fs: f, jobs: make(chan copyJob, copyBuffers), free: make(chan []byte, copyBuffers)}
	for range copyBuffers {
		c.free <- nil // made when first used
	}
	var wg sync.WaitGroup
	for range copyWriters {
		wg.Go(c.work)
	}
	e := nar.NewEncoder(w)
	err = t.Encode(ctx, e, func(e *nar.Encoder, n *nar.Node) error {
		return c.file(ctx, t, e, n, target(dst, n), content)
	}, func(n *nar.Node) error {
		switch n.Type {
		case nar.Directory:
			return f.Mkdir(target(dst, n), 0o755)
		case nar.Symlink:
			if err := f.Symlink(n.Target, target(dst, n)); err != nil {
				return err
			}
			return f.SetTime(target(dst, n), epoch)
		}
		return nil
	})
	close(c.jobs)
	wg.Wait()
	// A writer's error is the cause of the reader's, if both failed.
	if c.err != nil {
		err = c.err
	}
	if err == nil {
		err = seal(f, t, dst, false)
	}
	if err != nil {
		return 0, errors.Join(err, fsys.RemoveTree(f, dst))
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

// buffer waits for a free buffer.
func (c *copier) buffer() []byte {
	b := <-c.free
	if b == nil {
		b = make([]byte, copyBuffer)
	}
	return b[:copyBuffer]
}

// file reads one file, gives it to the archive and hands it to a writer.
func (c *copier) file(ctx context.Context, t *nar.Tree, e *nar.Encoder, n *nar.Node, dst string, content io.Writer) error {
	if err := c.failed(); err != nil {
		return err
	}
	e.OpenFile(n.Size, n.Executable)
	job := copyJob{path: dst, exec: n.Executable}
	if n.Size > copyBuffer {
		job.pieces = make(chan []byte, copyBuffers)
		c.jobs <- job
		defer close(job.pieces)
	}
	buf := c.buffer()
	err := nar.ReadContent(t.Physical(n), n.Size, buf, func(p []byte) ([]byte, error) {
		_, err := e.Write(p)
		if err == nil && content != nil {
			_, err = content.Write(p)
		}
		switch {
		case job.pieces != nil:
			job.pieces <- p
			buf = c.buffer()
		default:
			// One file may come in several reads, into one buffer.
			job.first = buf[:len(job.first)+len(p)]
			return buf[len(job.first):], err
		}
		return buf, errors.Join(err, c.failed(), ctx.Err())
	})
	if job.pieces != nil {
		c.free <- buf
	} else if err == nil {
		if job.first == nil {
			c.free <- buf
		}
		c.jobs <- job
	}
	if err != nil {
		return err
	}
	e.CloseFile(n.Size)
	return nil
}

// work writes files until there are no more. After an error it only takes
// jobs, so that the reader never waits for ever.
func (c *copier) work() {
	for job := range c.jobs {
		err := c.failed()
		if err == nil {
			err = c.write(job)
		}
		if err != nil {
			c.fail(err)
		}
		c.recycle(job.first)
		if job.pieces != nil {
			for p := range job.pieces {
				c.recycle(p)
			}
		}
	}
}

func (c *copier) write(job copyJob) error {
	f, err := c.fs.Create(job.path, 0o600)
	if err != nil {
		return err
	}
	if job.first != nil {
		_, err = f.Write(job.first)
	}
	if job.pieces != nil {
		for p := range job.pieces {
			if err == nil {
				_, err = f.Write(p)
			}
			c.recycle(p)
			if err != nil {
				break // the caller takes the rest
			}
		}
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Finish(fileMode(job.exec), epoch)
}

func (c *copier) recycle(p []byte) {
	if p != nil {
		c.free <- p[:0:cap(p)]
	}
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
