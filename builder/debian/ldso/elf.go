// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package ldso

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
)

// Program is what the first bytes of an executable say of what it needs.
type Program struct {
	// Interpreter is that of a script or of a dynamic program, "" for none.
	Interpreter string
	Script      bool
	// The rest is for ELF files, see elf(5).
	Machine elf.Machine
	Class   elf.Class
	Dynamic bool
	Soname  string
	Needed  []string
}

// ErrNoProgram is for a file that is neither a script nor an ELF file.
var ErrNoProgram = errors.New("it is no program")

// ReadProgram looks into an executable or a library. Only headers and the
// dynamic section are read, by the program headers, since section headers may
// be stripped.
func ReadProgram(disk string) (*Program, error) {
	f, err := os.Open(disk)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ParseProgram(f)
}

// ParseProgram is ReadProgram for bytes that are no file.
func ParseProgram(f io.ReaderAt) (*Program, error) {
	head := make([]byte, 1024)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head = head[:n]
	if line, ok := bytes.CutPrefix(head, []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		words := strings.Fields(string(line))
		if len(words) == 0 {
			return nil, ErrNoProgram
		}
		p := &Program{Interpreter: words[0], Script: true}
		if strings.HasSuffix("/"+words[0], "/env") {
			for _, w := range words[1:] {
				if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
					p.Interpreter = w
					break
				}
			}
		}
		return p, nil
	}
	if len(head) < 64 || !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return nil, ErrNoProgram
	}
	return parseELF(f, head)
}

// segment is a program header.
type segment struct {
	kind              elf.ProgType
	offset, addr, len uint64
}

// maxPart bounds the parts of an ELF file that are read.
const maxPart = 1 << 20

func parseELF(f io.ReaderAt, head []byte) (*Program, error) {
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	p := &Program{Class: elf.Class(head[elf.EI_CLASS]), Machine: elf.Machine(order.Uint16(head[18:]))}
	var at uint64
	var size, count int
	wide := p.Class == elf.ELFCLASS64
	switch p.Class {
	case elf.ELFCLASS64:
		at, size, count = order.Uint64(head[32:]), int(order.Uint16(head[54:])), int(order.Uint16(head[56:]))
	case elf.ELFCLASS32:
		at, size, count = uint64(order.Uint32(head[28:])), int(order.Uint16(head[42:])), int(order.Uint16(head[44:]))
	default:
		return nil, ErrNoProgram
	}
	if least := map[bool]int{true: 56, false: 32}[wide]; size < least || count > 256 {
		return nil, ErrNoProgram
	}
	table, err := part(f, at, uint64(size*count))
	if err != nil {
		return nil, err
	}
	var segments []segment
	for i := range count {
		h := table[i*size:]
		s := segment{kind: elf.ProgType(order.Uint32(h))}
		if wide {
			s.offset, s.addr, s.len = order.Uint64(h[8:]), order.Uint64(h[16:]), order.Uint64(h[32:])
		} else {
			s.offset, s.addr, s.len = uint64(order.Uint32(h[4:])), uint64(order.Uint32(h[8:])), uint64(order.Uint32(h[16:]))
		}
		segments = append(segments, s)
	}
	for _, s := range segments {
		switch s.kind {
		case elf.PT_INTERP:
			text, err := part(f, s.offset, s.len)
			if err != nil {
				return nil, err
			}
			p.Interpreter = string(bytes.TrimRight(text, "\x00"))
		case elf.PT_DYNAMIC:
			p.Dynamic = true
			if err := p.readDynamic(f, s, segments, order, wide); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// readDynamic reads the names in the dynamic section.
func (p *Program) readDynamic(f io.ReaderAt, s segment, segments []segment, order binary.ByteOrder, wide bool) error {
	text, err := part(f, s.offset, s.len)
	if err != nil {
		return err
	}
	var table, size uint64
	var needed []uint64
	soname, named := uint64(0), false
	step := map[bool]int{true: 16, false: 8}[wide]
	for ; len(text) >= step; text = text[step:] {
		var tag, value uint64
		if wide {
			tag, value = order.Uint64(text), order.Uint64(text[8:])
		} else {
			tag, value = uint64(order.Uint32(text)), uint64(order.Uint32(text[4:]))
		}
		switch elf.DynTag(tag) {
		case elf.DT_NEEDED:
			needed = append(needed, value)
		case elf.DT_SONAME:
			soname, named = value, true
		case elf.DT_STRTAB:
			table = value
		case elf.DT_STRSZ:
			size = value
		}
		if elf.DynTag(tag) == elf.DT_NULL {
			break
		}
	}
	for _, l := range segments {
		// The table is known by its address in memory. It may be large, so
		// that each name is read alone.
		if l.kind != elf.PT_LOAD || table < l.addr || table-l.addr >= l.len {
			continue
		}
		at := l.offset + (table - l.addr)
		for _, n := range needed {
			if s := word(f, at, n, size); s != "" {
				p.Needed = append(p.Needed, s)
			}
		}
		if named {
			p.Soname = word(f, at, soname, size)
		}
		return nil
	}
	return nil
}

// word is the string at an offset of a table, "" where it has none.
func word(f io.ReaderAt, table, at, size uint64) string {
	if at >= size || table+at > 1<<40 {
		return ""
	}
	b := make([]byte, min(256, size-at))
	n, err := f.ReadAt(b, int64(table+at))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	w, _, ended := bytes.Cut(b[:n], []byte{0})
	if !ended {
		return ""
	}
	return string(w)
}

func part(f io.ReaderAt, at, size uint64) ([]byte, error) {
	if size > maxPart || at > 1<<40 {
		return nil, ErrNoProgram
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, int64(at)); n < len(b) {
		if errors.Is(err, io.EOF) {
			return nil, ErrNoProgram
		}
		return nil, err
	}
	return b, nil
}
