// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package codec_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sync/errgroup"

	"osbuild/store/cache/codec"
)

func compress(t testing.TB, name string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := codec.NewWriter(name, &b, int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(name string, r io.Reader) ([]byte, error) {
	d, err := codec.NewReader(name, r)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return io.ReadAll(d)
}

func TestRoundTrip(t *testing.T) {
	text := []byte(strings.Repeat("some text, ", 50_000))
	for _, name := range []string{"none", "zstd", "gzip"} {
		packed := compress(t, name, text)
		if got, err := read(name, bytes.NewReader(packed)); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if name == "none" {
			continue
		}
		if _, err := read(name, bytes.NewReader(packed[:len(packed)-9])); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("%s, cut: %v", name, err)
		}
		if _, err := read(name, iotest.TimeoutReader(bytes.NewReader(packed))); !errors.Is(err, iotest.ErrTimeout) || errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("%s: the error of the connection became %v", name, err)
		}
		if _, err := read(name, strings.NewReader("no archive at all")); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("%s, garbage: %v", name, err)
		}
	}
	if _, err := codec.NewWriter("xz", io.Discard, -1); err == nil {
		t.Error("xz is written")
	}
	if err := codec.Readable("rar"); err == nil {
		t.Error("rar is read")
	}
}

// TestSame holds that a text always becomes the same stream: whatever was
// compressed before with the same encoder and is at the same time, in whatever
// pieces it comes, and on however many processors.
func TestSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 500)
	for k := range words {
		words[k] = fmt.Sprintf("%x ", r.Uint64()>>r.IntN(64))
	}
	var texts [][]byte
	for _, size := range []int{1, 200, 255, 256, 65791, 65792, 128 << 10, 128<<10 + 1, 256 << 10, 256<<10 + 1, 5 << 20} {
		var b bytes.Buffer
		for b.Len() < size {
			b.WriteString(words[r.IntN(len(words))])
		}
		texts = append(texts, b.Bytes()[:size])
		noise := make([]byte, size)
		for k := range noise {
			noise[k] = byte(r.Uint32())
		}
		texts = append(texts, noise)
	}
	for _, name := range []string{"zstd", "gzip"} {
		t.Run(name, func(t *testing.T) {
			texts := texts
			if name == "gzip" {
				texts = texts[:len(texts)-2] // it knows no difference between large and larger
			}
			want := make([][sha256.Size]byte, len(texts))
			for k, text := range texts {
				packed := compress(t, name, text)
				want[k] = sha256.Sum256(packed)
				if got, err := read(name, bytes.NewReader(packed)); err != nil || !bytes.Equal(got, text) {
					t.Errorf("text %d of %d bytes: read %d bytes, %v", k, len(text), len(got), err)
				}
			}
			for _, processors := range []int{1, 8} {
				before := runtime.GOMAXPROCS(processors)
				var g errgroup.Group
				for n := range 2 * len(texts) {
					k, piece := n%len(texts), []int{1000, 1 << 20}[n/len(texts)]
					g.Go(func() error {
						h := sha256.New()
						w, err := codec.NewWriter(name, h, int64(len(texts[k])))
						if err != nil {
							return err
						}
						for p := range slices.Chunk(texts[k], piece) {
							if _, err := w.Write(p); err != nil {
								return err
							}
						}
						if err := w.Close(); err != nil {
							return err
						}
						if [sha256.Size]byte(h.Sum(nil)) != want[k] {
							return fmt.Errorf("text %d of %d bytes, in pieces of %d, on %d processors: another stream", k, len(texts[k]), piece, processors)
						}
						return nil
					})
				}
				err := g.Wait()
				runtime.GOMAXPROCS(before)
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestWrongSize holds that a stream of another size than announced fails.
func TestWrongSize(t *testing.T) {
	for _, size := range []int64{1, 200, 1 << 20} {
		for _, n := range []int64{size - 1, size + 1, 2 * size} {
			w, err := codec.NewWriter("zstd", io.Discard, size)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Write(make([]byte, n))
			if err = errors.Join(err, w.Close()); err == nil {
				t.Errorf("%d bytes are taken for %d", n, size)
			}
			if _, err := w.Write([]byte("x")); err == nil {
				t.Error("a closed stream is written to")
			}
		}
	}
	// Where the size is not known, any will do.
	var b bytes.Buffer
	w, err := codec.NewWriter("zstd", &b, -1)
	if err == nil {
		_, err = w.Write([]byte("hello"))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := read("zstd", &b); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestPrograms reads what the usual programs write, and lets them read ours.
func TestPrograms(t *testing.T) {
	text := []byte(strings.Repeat("some text, ", 50_000))
	for name, program := range map[string]string{"zstd": "zstd", "gzip": "gzip", "xz": "xz", "bzip2": "bzip2"} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil {
				t.Skipf("SKIP-ENV: %s is not installed, so nothing is compared with it", program)
			}
			run := func(in []byte, args ...string) []byte {
				cmd := exec.Command(program, args...)
				cmd.Stdin = bytes.NewReader(in)
				out, err := cmd.Output()
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			for _, size := range []int{1, 255, 256, 65791, 65792, 256 << 10, 256<<10 + 1, len(text)} {
				if codec.Writable(name) == nil && !bytes.Equal(run(compress(t, name, text[:size]), "-dc"), text[:size]) {
					t.Errorf("%d bytes: they read something else", size)
				}
			}
			packed := run(text, "-c")
			if got, err := read(name, bytes.NewReader(packed)); err != nil || !bytes.Equal(got, text) {
				t.Errorf("theirs: %d bytes, %v", len(got), err)
			}
		})
	}
}

// FuzzReader holds that no stream makes a reader panic, and that damage is
// called so.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"zstd", "gzip"} {
		f.Add(name, compress(f, name, []byte("hello, hello, hello")))
	}
	f.Add("xz", []byte("\xfd7zXZ\x00\x00\x04"))
	f.Add("bzip2", []byte("BZh91AY&SY"))
	f.Fuzz(func(t *testing.T, name string, packed []byte) {
		d, err := codec.NewReader(name, bytes.NewReader(packed))
		if err == nil {
			_, err = io.Copy(io.Discard, io.LimitReader(d, 1<<20))
			d.Close()
		}
		if err != nil && codec.Readable(name) == nil && !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("%v", err)
		}
	})
}
