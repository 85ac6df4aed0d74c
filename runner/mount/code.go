// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reg names a place for the result of a system call. The zero Reg is none.
type Reg uint8

// Regs is how many registers there are.
const Regs = 24

// Digits is how many digits a PID may have.
const Digits = 10

// Instructions that are no single system call.
const (
	// DoFork is clone3: in the child, execution goes on at instruction Jump.
	DoFork = ^uintptr(0) - iota
	// DoForkOn is clone3 with arguments that name a stack for the child, on
	// which it goes on at instruction Jump. Where it shares the memory, the
	// kernel has to stop the parent meanwhile (CLONE_VFORK): both use the
	// registers.
	DoForkOn
	// DoReport sends a record {Args[0], value of From[1]} to the parent.
	DoReport
	// DoDecimal writes the value of From[0] in decimal into Number, padded on
	// the left with slashes.
	DoDecimal
	// DoReap waits for children until the one of From[0] has ended, then
	// reports its wait status as record Args[1] and exits.
	DoReap
)

// Instr is one instruction of a forked child. The zero value of every optional
// field means that it is not used.
type Instr struct {
	Nr   uintptr
	Args [6]uintptr
	// From names registers whose value takes the place of an argument.
	From [6]Reg
	// Save is where the result goes.
	Save Reg
	// Exact says that a result other than Want is an error.
	Exact bool
	Want  uintptr
	// Jump is where to go on after an error; for DoFork and DoForkOn, where the child goes.
	// Without it an error is reported and ends the process.
	Jump   int32
	Number *[Digits]byte
	// Label says what this instruction is part of, see [Code.Label].
	Label int32
}

// Code is a program for a forked child: instructions, and the memory that they
// point to. Nothing in it may be changed once it is sealed, and it lasts until
// it is released.
type Code struct {
	Instrs []Instr
	labels []label
	memory memory
	// texts is the unused end of a block that holds C strings, of which there
	// are thousands in a large closure, and binds the attributes of binds.
	texts []byte
	binds map[unix.MountAttr]uintptr
}

// label says what failed, after "cannot". That of a step is put into words only
// when it is needed.
type label struct {
	text string
	step *Step
}

// Begin says what the following instructions do, for error messages.
func (c *Code) Begin(text string) { c.labels = append(c.labels, label{text: text}) }

// Label is what an instruction is part of, or "" where no such label exists.
func (c *Code) Label(i int32) string {
	switch {
	case i < 0 || int(i) >= len(c.labels):
		return ""
	case c.labels[i].step != nil:
		return c.labels[i].step.Verb()
	}
	return c.labels[i].text
}

// Step is the step that an instruction is part of, or nil.
func (c *Code) Step(i int32) *Step {
	if i < 0 || int(i) >= len(c.labels) {
		return nil
	}
	return c.labels[i].step
}

// Grow makes room for instructions, and for as many labels as there are steps.
func (c *Code) Grow(instrs, steps int) {
	c.Instrs = slices.Grow(c.Instrs, instrs)
	c.labels = slices.Grow(c.labels, steps)
}

// Do adds an instruction and returns it for more fields to be set; the pointer
// is good until the next call.
func (c *Code) Do(nr uintptr, args ...uintptr) *Instr {
	in := Instr{Nr: nr, Label: int32(len(c.labels) - 1)}
	copy(in.Args[:], args)
	c.Instrs = append(c.Instrs, in)
	return &c.Instrs[len(c.Instrs)-1]
}

// Next is the index of the instruction that comes next.
func (c *Code) Next() int32 { return int32(len(c.Instrs)) }

// SkipFrom lets every instruction since start go on here after an error.
func (c *Code) SkipFrom(start int32) {
	for i := start; i < c.Next(); i++ {
		c.Instrs[i].Jump = c.Next()
	}
}

// Seal gives the instructions as a child finds them.
func (c *Code) Seal() (*Instr, error) {
	size := len(c.Instrs) * int(unsafe.Sizeof(Instr{}))
	first := (*Instr)(unsafe.Pointer(unsafe.SliceData(c.memory.take(size))))
	copy(unsafe.Slice(first, len(c.Instrs)), c.Instrs)
	return first, c.memory.err
}

// Release gives back the memory, once no child works with it any more.
func (c *Code) Release() { c.memory.release() }

// textBlock is how much memory is taken for C strings at a time.
const textBlock = 8 << 10

// Text is the address of a C string.
func (c *Code) Text(s string) uintptr {
	n := len(s) + 1
	if n > textBlock/8 {
		return c.Bytes(append([]byte(s), 0))
	}
	if n > len(c.texts) {
		c.texts = c.memory.take(textBlock)
	}
	b := c.texts[:n:n]
	c.texts = c.texts[n:]
	copy(b, s)
	return uintptr(unsafe.Pointer(&b[0]))
}

// attributes is the address of mount attributes, one for all that are equal.
func (c *Code) attributes(a unix.MountAttr) uintptr {
	at, ok := c.binds[a]
	if !ok {
		if c.binds == nil {
			c.binds = map[unix.MountAttr]uintptr{}
		}
		at = Data(c, &a)
		c.binds[a] = at
	}
	return at
}

// Copy gives a copy of b, which must not be empty, that a child finds.
func (c *Code) Copy(b []byte) []byte {
	room := c.memory.take(len(b))[:len(b)]
	copy(room, b)
	return room
}

// Bytes is the address of a copy of b, which must not be empty.
func (c *Code) Bytes(b []byte) uintptr { return uintptr(unsafe.Pointer(&c.Copy(b)[0])) }

// Strings is the address of a NULL-terminated array of C strings.
func (c *Code) Strings(list []string) uintptr {
	ptrs := make([]uintptr, len(list)+1)
	for i, s := range list {
		ptrs[i] = c.Text(s)
	}
	return List(c, ptrs)
}

// List is the address of a copy of a list, which must not be empty, of values
// without pointers.
func List[T any](c *Code, list []T) uintptr {
	room := c.memory.take(len(list) * int(unsafe.Sizeof(list[0])))
	first := (*T)(unsafe.Pointer(unsafe.SliceData(room)))
	copy(unsafe.Slice(first, len(list)), list)
	return uintptr(unsafe.Pointer(first))
}

// Data is the address of a copy of *v, a struct without pointers that a system
// call reads.
func Data[T any](c *Code, v *T) uintptr {
	room := New[T](c)
	*room = *v
	return uintptr(unsafe.Pointer(room))
}

// AtCwd is AT_FDCWD as an argument.
func AtCwd() uintptr {
	fd := unix.AT_FDCWD
	return uintptr(fd)
}
