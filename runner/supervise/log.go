// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxLine is where a line without an end is cut.
	maxLine = 8192
	// logTail is how much of a log a reply holds.
	logTail = 32 * 1024
	// maxLog is the size at which a service's log becomes NAME.log.1 and a new
	// one begins: /var is often memory, which a talkative service must not
	// fill.
	maxLog = 8 << 20
)

// logReader takes the output of one process: to the console, with the name of
// the service in front, to the service's log, and to a file of its own.
type logReader struct {
	name    string
	pipe    *os.File
	files   []*logFile
	console *console
	done    chan struct{}
	mu      sync.Mutex
	kept    keeper
}

// openLog makes the pipe that a process writes to and returns its end.
func (s *supervisor) openLog(c *child, j job) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot make a pipe for the output of %s: %w", j.name, err)
	}
	l := &logReader{name: j.name, pipe: r, console: s.console, done: make(chan struct{}), kept: keeper{all: j.capture}}
	for _, name := range []string{s.logFile(j.name), j.process.LogFile} {
		if name == "" {
			continue
		}
		// A log that cannot be written is no reason not to run the service.
		f := &logFile{name: name}
		if name != j.process.LogFile {
			f.limit = maxLog // the other file is the user's to look after
		}
		f.full = func() { s.post(func() { s.machine.logFull(j.name) }) }
		f.lost = func(err error) { s.post(func() { s.machine.logLost(j.name, err) }) }
		if err := f.open(); err != nil {
			s.say(fmt.Sprintf("%s: its output is not kept: %v", j.name, err))
			continue
		}
		l.files = append(l.files, f)
	}
	c.log = l
	return w, nil
}

// logFile is a file that output is appended to.
type logFile struct {
	name  string
	limit int64 // 0 means that there is none
	f     *os.File
	size  int64
	// full is called when the log begins again, lost for the first line that
	// cannot be written.
	full func()
	lost func(error)
	told bool
}

func (l *logFile) open() error {
	// The folder may be the service's: through a link it would write to any file
	// as root, and a pipe that nobody reads would hold PID 1.
	dir, err := openFolder(filepath.Dir(l.name))
	if err != nil {
		return err
	}
	fd, err := unix.Openat(dir, filepath.Base(l.name), unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o640)
	unix.Close(dir)
	switch {
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("cannot write %s: it is a symbolic link, and none is followed there; name the file itself", l.name)
	case errors.Is(err, unix.ENXIO):
		return fmt.Errorf("cannot write %s: it is a pipe that nobody reads", l.name)
	case err != nil:
		return fmt.Errorf("cannot write %s: %w", l.name, err)
	}
	f := os.NewFile(uintptr(fd), l.name)
	if st, err := f.Stat(); err == nil {
		l.size = st.Size()
	}
	l.f = f
	return nil
}

// write appends a line. A full log moves aside and takes the place of the one
// that moved there before.
func (l *logFile) write(line []byte) {
	if l.limit > 0 && l.size > 0 && l.size+int64(len(line)) > l.limit && os.Rename(l.name, l.name+".1") == nil {
		old := l.f
		if l.open() == nil {
			old.Close()
		}
		l.full()
	}
	n, err := l.f.Write(line)
	l.size += int64(n)
	if err != nil && !l.told {
		l.told = true
		l.lost(err)
	}
}

// logFile is the log of a service. Names such as file-system-/sys/fs/cgroup
// are one file name here.
func (s *supervisor) logFile(name string) string {
	if s.LogDir == "" {
		return ""
	}
	return filepath.Join(s.LogDir, strings.ReplaceAll(name, "/", "-")+".log")
}

// start begins to read.
func (l *logReader) start() {
	go func() {
		defer close(l.done)
		r := bufio.NewReaderSize(l.pipe, maxLine)
		for {
			line, err := r.ReadSlice('\n')
			if len(line) > 0 {
				l.line(line)
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
		}
		l.closeAll()
	}()
}

// abandon is called instead of start.
func (l *logReader) abandon() {
	l.closeAll()
	close(l.done)
}

func (l *logReader) closeAll() {
	l.pipe.Close()
	for _, f := range l.files {
		f.f.Close()
	}
}

func (l *logReader) line(line []byte) {
	text := bytes.TrimRight(line, "\r\n")
	l.mu.Lock()
	l.kept.add(text)
	l.mu.Unlock()
	for _, f := range l.files {
		f.write(append(text[:len(text):len(text)], '\n'))
	}
	l.console.printWait(l.name + "| " + string(text))
}

// output is what is kept of what has come so far.
func (l *logReader) output() output {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.output()
}

// tail reads the end of a service's log, also where the log has just begun
// again.
func (s *supervisor) tail(name string) (string, error) {
	file := s.logFile(name)
	data, err := fileTail(file, logTail)
	if err == nil && len(data) < logTail {
		var before []byte
		before, err = fileTail(file+".1", logTail-len(data))
		data = append(before, data...)
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the log of %s: %w", name, err)
	}
	return string(data), nil
}

// fileTail reads the last lines of a file, up to n bytes of them. One that is
// not there is empty.
func fileTail(name string, n int) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cut := false
	if st, err := f.Stat(); err == nil && st.Size() > int64(n) {
		_, err = f.Seek(-int64(n), io.SeekEnd)
		cut = err == nil
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(n)))
	if err != nil {
		return nil, err
	}
	if cut {
		// The first line is most likely not a whole one.
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return data, nil
}

// console writes lines to where boot messages go. Whoever reads it may be
// slow; the loop never waits for that, processes do.
type console struct {
	lines  chan string
	done   chan struct{}
	closed chan struct{}
	lost   atomic.Int64
}

// newConsole writes to f. A file that reaches the limit begins again, 0 means
// that there is none: the runner keeps the console where the host's memory may
// be, and a container may live for years.
func newConsole(f *os.File, limit int64) *console {
	c := &console{lines: make(chan string, 256), done: make(chan struct{}), closed: make(chan struct{})}
	go func() {
		defer close(c.closed)
		var size int64
		write := func(line string) {
			if f == nil {
				return
			}
			if limit > 0 && size > 0 && size+int64(len(line)) >= limit {
				if f.Truncate(0) == nil {
					line = "osbuild-init: the console was full and begins again here; the services' logs go back further\n" + line
				}
				size = 0
			}
			if n := c.lost.Swap(0); n > 0 {
				line += fmt.Sprintf("\nosbuild-init: %d lines did not reach the console in time", n)
			}
			n, _ := io.WriteString(f, line+"\n")
			size += int64(n)
		}
		for {
			select {
			case line := <-c.lines:
				write(line)
			case <-c.done:
				for {
					select {
					case line := <-c.lines:
						write(line)
					default:
						return
					}
				}
			}
		}
	}()
	return c
}

// print hands a line over without ever waiting.
func (c *console) print(line string) {
	select {
	case c.lines <- line:
	default:
		c.lost.Add(1)
	}
}

// printWait waits until there is room.
func (c *console) printWait(line string) {
	select {
	case c.lines <- line:
	case <-c.closed:
	}
}

// close writes what is left, unless the reader of the console has stopped.
func (c *console) close() {
	close(c.done)
	select {
	case <-c.closed:
	case <-time.After(time.Second):
	}
}
