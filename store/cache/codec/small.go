// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// smallSize is how large a text may be that is compressed in one go. Most items
// are small, and what takes twice the time for them takes little.
const smallSize = 256 << 10

// small compresses one small text at a time.
type small struct {
	text     []byte
	encoders []*zstd.Encoder // of which sometimes one does better, sometimes another
	packed   [2][]byte
}

var smalls sync.Pool

func newSmall() (*small, error) {
	if s, _ := smalls.Get().(*small); s != nil {
		return s, nil
	}
	s := &small{}
	for _, level := range []zstd.EncoderLevel{zstd.SpeedBetterCompression, zstd.SpeedFastest} {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithWindowSize(smallSize), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
		if err != nil {
			return nil, err
		}
		s.encoders = append(s.encoders, e)
	}
	return s, nil
}

// pack gives the shortest frame of the text.
func (s *small) pack() ([]byte, error) {
	var best []byte
	for k, e := range s.encoders {
		s.packed[k] = e.EncodeAll(s.text, s.packed[k][:0])
		if k == 0 || len(s.packed[k]) < len(best) {
			best = s.packed[k]
		}
	}
	return windowed(best, len(s.text))
}

const (
	frameMagic    = 0xfd2fb528
	singleSegment = 1 << 5
	minWindowLog  = 10
)

// windowed makes a frame tell a window instead of the exact size, which takes
// up to three bytes less (RFC 8878, section 3.1.1.1): a reader needs no more
// memory, and of small items there are many.
func windowed(frame []byte, size int) ([]byte, error) {
	const head = 5 // magic number and descriptor
	if len(frame) < head || binary.LittleEndian.Uint32(frame) != frameMagic || frame[4]&^0xc0 != singleSegment {
		return nil, errors.New("cannot compress: the library makes another kind of frame than expected")
	}
	sizeLen := 1 << (frame[4] >> 6)
	log := max(minWindowLog, bits.Len(uint(size-1)))
	frame[head+sizeLen-1] = byte(log-minWindowLog) << 3
	frame[head+sizeLen-2] = 0
	at := sizeLen - 1
	copy(frame[at:], frame[:head-1])
	return frame[at:], nil
}

// smallWriter gathers the text of a small stream.
type smallWriter struct {
	w         io.Writer
	size, got int64
	s         *small // nil once closed
}

func (sw *smallWriter) Write(p []byte) (int, error) {
	if sw.s == nil {
		return 0, errClosed
	}
	if sw.got += int64(len(p)); sw.got <= sw.size {
		sw.s.text = append(sw.s.text, p...)
	}
	return len(p), nil
}

func (sw *smallWriter) Close() error {
	s := sw.s
	if s == nil {
		return nil
	}
	sw.s = nil
	defer func() {
		s.text = s.text[:0]
		smalls.Put(s)
	}()
	if sw.got != sw.size {
		return fmt.Errorf("cannot compress: %d bytes came, but %d were announced", sw.got, sw.size)
	}
	frame, err := s.pack()
	if err == nil {
		_, err = sw.w.Write(frame)
	}
	return err
}
