// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory is what a forked child reads and writes. It lies outside Go's heap,
// so that a child can do without a copy of that, and in blocks that one code
// after the other uses.
type memory struct {
	blocks [][]byte
	// used is how much of the last block is.
	used int
	err  error
}

// memoryBlock is the size of a block. The code of a small container takes one.
const memoryBlock = 64 << 10

// spare are blocks that no code uses; they hold zeros.
var spare struct {
	sync.Mutex
	blocks [][]byte
}

// maxSpare is how many are kept.
const maxSpare = 16

// take gives n bytes, which are zero and lie at a multiple of 16: the processor
// wants that of a stack.
func (m *memory) take(n int) []byte {
	n = (n + 15) &^ 15
	if len(m.blocks) == 0 || n > len(m.blocks[len(m.blocks)-1])-m.used {
		b, err := newBlock(n)
		if err != nil {
			m.err = fmt.Errorf("cannot get memory for a process: %w", err)
			return make([]byte, n) // nobody will use it
		}
		m.blocks, m.used = append(m.blocks, b), 0
	}
	b := m.blocks[len(m.blocks)-1][m.used:][:n:n]
	m.used += n
	return b
}

func newBlock(n int) ([]byte, error) {
	spare.Lock()
	defer spare.Unlock()
	if last := len(spare.blocks) - 1; last >= 0 && n <= memoryBlock {
		b := spare.blocks[last]
		spare.blocks = spare.blocks[:last]
		return b, nil
	}
	return unix.Mmap(-1, 0, max(n, memoryBlock), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}

// release gives the blocks back, without what they held.
func (m *memory) release() {
	spare.Lock()
	defer spare.Unlock()
	for i, b := range m.blocks {
		if len(b) > memoryBlock || len(spare.blocks) == maxSpare {
			_ = unix.Munmap(b) // it is a whole mapping
			continue
		}
		if i < len(m.blocks)-1 {
			clear(b)
		} else {
			clear(b[:m.used])
		}
		spare.blocks = append(spare.blocks, b)
	}
	*m = memory{}
}

// New gives a T in the memory of c; what it points to must lie there, too.
func New[T any](c *Code) *T {
	var v T
	return (*T)(unsafe.Pointer(unsafe.SliceData(c.memory.take(int(unsafe.Sizeof(v))))))
}
