// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package realise

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// tailBytes is how much of a log's end is kept in memory for its last lines.
const tailBytes = 16 << 10

// buildLog writes a log to a file, which is made at the first write: most
// builds say nothing. A file that cannot be written does not stop the
// builder; Close reports it.
type buildLog struct {
	path string

	mu   sync.Mutex
	file *os.File
	err  error
	end  []byte
}

func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = append(l.end, p...)
	if extra := len(l.end) - tailBytes; extra > 0 {
		l.end = append(l.end[:0], l.end[extra:]...)
	}
	if l.file == nil && l.err == nil {
		l.file, l.err = os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	}
	if l.err == nil {
		_, l.err = l.file.Write(p)
	}
	return len(p), nil
}

// Close ends the log.
func (l *buildLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		if err := l.file.Close(); l.err == nil {
			l.err = err
		}
	}
	return l.err
}

// written gives the log's path, "" where nothing was written.
func (l *buildLog) written() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return ""
	}
	return l.path
}

// tail gives the last lines, without what could move a terminal's cursor.
func (l *buildLog) tail() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := bytes.TrimRight(l.end, "\n")
	if len(text) == 0 {
		return nil
	}
	lines := strings.Split(strings.ToValidUTF8(string(text), "?"), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return lines
}

// printable drops colours and other control sequences, and cuts long lines.
func printable(line string) string {
	const longest = 400
	var b strings.Builder
	for i := 0; i < len(line); {
		if n := escapeLen(line[i:]); n > 0 {
			i += n
			continue
		}
		r, n := utf8.DecodeRuneInString(line[i:])
		i += n
		switch {
		case b.Len() > longest:
			return b.String() + "…"
		case r == '\t' || unicode.IsPrint(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// escapeLen is the length of the control sequence that s begins with.
func escapeLen(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	for i := 2; i < len(s); i++ {
		if s[i] >= 0x40 && s[i] <= 0x7e {
			return i + 1
		}
	}
	return len(s)
}
