// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// Bounds of what is read. The longest real lines, Provides of some libraries,
// have a few ten thousand bytes; the longest stanzas are lists of files in
// Release files, about a hundred bytes a file.
const (
	maxLine   = 1 << 20
	maxStanza = 32 << 20
	maxFields = 256
)

// lines gives the lines of a file without their newline. A line is valid
// until the next one is read.
type lines struct {
	r    *bufio.Reader
	long []byte // a line longer than r's buffer
	line int    // the number of the last line
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 128<<10)} }

// next returns io.EOF after the last line. A last line without a newline is a
// line too.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		l.long = l.long[:0]
		for err == bufio.ErrBufferFull {
			if l.long = append(l.long, line...); len(l.long) > maxLine {
				l.line++
				return nil, l.errorf("the line is longer than %d bytes", maxLine)
			}
			line, err = l.r.ReadSlice('\n')
		}
		if l.long = append(l.long, line...); len(l.long) > maxLine+1 {
			l.line++
			return nil, l.errorf("the line is longer than %d bytes", maxLine)
		}
		line = l.long
	}
	if err != nil && (err != io.EOF || len(line) == 0) {
		return nil, err
	}
	l.line++
	if n := len(line) - 1; n >= 0 && line[n] == '\n' {
		line = line[:n]
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return nil, l.errorf("the line has a zero byte")
	}
	return line, nil
}

func (l *lines) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", l.line, fmt.Sprintf(format, args...))
}
