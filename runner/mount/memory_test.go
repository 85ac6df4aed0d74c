// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"bytes"
	"strings"
	"testing"
	"unsafe"
)

// bytesAt gives what a child would find.
func bytesAt(at uintptr, n int) []byte {
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), n)
}

// What a code is given is copied, whatever its size, and the next code finds
// nothing of it in the same memory.
func TestCodeMemory(t *testing.T) {
	tests := []struct {
		summary string
		give    func(c *Code) uintptr
		want    string
	}{
		{"a text", func(c *Code) uintptr { return c.Text("text") }, "text\x00"},
		{"an empty text", func(c *Code) uintptr { return c.Text("") }, "\x00"},
		{"a long text", func(c *Code) uintptr { return c.Text(strings.Repeat("t", 5000)) }, strings.Repeat("t", 5000) + "\x00"},
		{"bytes of more than a block", func(c *Code) uintptr {
			return c.Bytes(bytes.Repeat([]byte("b"), memoryBlock+1))
		}, strings.Repeat("b", memoryBlock+1)},
		{"bytes that change later", func(c *Code) uintptr {
			b := []byte("before")
			at := c.Bytes(b)
			copy(b, "after.")
			return at
		}, "before"},
		{"a value", func(c *Code) uintptr { return Data(c, &[3]byte{'a', 'b', 'c'}) }, "abc"},
		{"a list", func(c *Code) uintptr { return List(c, []byte("list")) }, "list"},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			var c Code
			defer c.Release()
			// Something before and behind it, over several blocks.
			for range 3 {
				c.Bytes(bytes.Repeat([]byte{0xff}, memoryBlock/3))
			}
			at := tt.give(&c)
			for range 10 {
				c.Text(strings.Repeat("x", 500))
			}
			if got := string(bytesAt(at, len(tt.want))); got != tt.want {
				t.Errorf("got %.40q, want %.40q", got, tt.want)
			}
			if at%16 != 0 && len(tt.want) > textBlock/8 {
				t.Errorf("%d bytes begin at %#x", len(tt.want), at)
			}
		})
	}
	var c Code
	defer c.Release()
	for range 2 * maxSpare {
		at := uintptr(unsafe.Pointer(&c.Copy(make([]byte, 1))[0]))
		if got := bytesAt(at, memoryBlock/2); len(bytes.Trim(got, "\x00")) > 0 {
			t.Fatal("the memory holds what an earlier code left")
		}
		c.Copy(make([]byte, memoryBlock-16))
	}
}

func TestCodeSeal(t *testing.T) {
	var c Code
	defer c.Release()
	for k := range 2000 { // more than one block holds
		c.Do(uintptr(k))
	}
	first, err := c.Seal()
	if err != nil {
		t.Fatal(err)
	}
	for k, in := range unsafe.Slice(first, len(c.Instrs)) {
		if in != c.Instrs[k] {
			t.Fatalf("instruction %d is %+v, want %+v", k, in, c.Instrs[k])
		}
	}
}
