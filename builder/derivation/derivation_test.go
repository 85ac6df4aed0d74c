// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package derivation

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"osbuild/store"
)

func sample() Derivation {
	return Derivation{
		Name: "web", Builder: "/go/bin/go", System: "x86_64-linux",
		Args:    []string{"build", "<&>", "ä\u2028"},
		Env:     map[string]string{"B": "2", "A": "1"},
		Inputs:  []Input{{Path: pathOf("b")}, {Path: pathOf("a")}, {Path: pathOf("b")}},
		Host:    []Host{{"/go/src", "h2"}, {"/go/bin", "h1"}},
		Outputs: []string{"out", "doc"},
		Pos:     Position{"system.star", 4, 7},
	}
}

func pathOf(name string) store.Path {
	p, err := store.TextPath(name, []byte(name), nil)
	if err != nil {
		panic(err)
	}
	return p
}

func TestPosition(t *testing.T) {
	for _, c := range []struct {
		pos  Position
		want string
	}{
		{Position{}, ""},
		{Position{File: "a.star"}, "a.star"},
		{Position{"a.star", 3, 0}, "a.star:3"},
		{Position{"a.star", 3, 9}, "a.star:3:9"},
	} {
		if got := c.pos.String(); got != c.want {
			t.Errorf("%#v: got %q, want %q", c.pos, got, c.want)
		}
	}
}

func TestKeyIsTheHashOfTheEncoding(t *testing.T) {
	d := sample()
	sum := sha256.Sum256(d.Encode())
	if got := d.Key(); string(got) != hex.EncodeToString(sum[:]) {
		t.Errorf("key %s is not the hash of the encoding", got)
	}
	if strings.Contains(string(d.Encode()), "system.star") {
		t.Error("the position is in the encoding")
	}
}

func TestKeyDependsOn(t *testing.T) {
	base := sample()
	for _, c := range []struct {
		summary string
		same    bool
		change  func(*Derivation)
	}{
		{"nothing", true, func(*Derivation) {}},
		{"position", true, func(d *Derivation) { d.Pos = Position{"b.star", 1, 1} }},
		{"order of inputs and outputs", true, func(d *Derivation) {
			d.Inputs = []Input{{Path: pathOf("a")}, {Path: pathOf("b")}}
			d.Outputs = []string{"doc", "out"}
		}},
		{"order of host trees", true, func(d *Derivation) { d.Host = []Host{{"/go/bin", "h1"}, {"/go/src", "h2"}} }},
		{"name", false, func(d *Derivation) { d.Name = "web2" }},
		{"builder", false, func(d *Derivation) { d.Builder = "/go/bin/go2" }},
		{"system", false, func(d *Derivation) { d.System = "aarch64-linux" }},
		{"order of arguments", false, func(d *Derivation) { d.Args = []string{"<&>", "build", "ä\u2028"} }},
		{"variable", false, func(d *Derivation) { d.Env = map[string]string{"A": "1", "B": "3"} }},
		{"input", false, func(d *Derivation) { d.Inputs = d.Inputs[:2] }},
		{"host tree", false, func(d *Derivation) { d.Host = []Host{{"/go/bin", "h1"}, {"/go/src", "h3"}} }},
		{"output", false, func(d *Derivation) { d.Outputs = []string{"out"} }},
		{"fixed hash", false, func(d *Derivation) {
			d.Outputs, d.Fixed = []string{"out"}, &Fixed{Algo: "sha256", Hash: strings.Repeat("0", 64)}
		}},
	} {
		d := sample()
		if c.summary == "input" {
			d.Inputs = []Input{{Path: pathOf("a")}, {Path: pathOf("c")}, {}}
		}
		c.change(&d)
		if same := d.Key() == base.Key(); same != c.same {
			t.Errorf("%s: same key: %v, want %v", c.summary, same, c.same)
		}
	}
}

func TestDecode(t *testing.T) {
	d := sample()
	d.normalise()
	good := string(d.Encode())
	back, err := Decode([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if back.Key() != d.Key() || back.Env["B"] != "2" || back.Args[2] != d.Args[2] {
		t.Errorf("decoded %+v", back)
	}
	for _, c := range []struct{ summary, in, want string }{
		{"empty", "", "EOF"},
		{"null", "null", "format 0"},
		{"other format", strings.Replace(good, `"format":1`, `"format":2`, 1), "format 2"},
		{"unknown field", strings.Replace(good, `"name"`, `"x":1,"name"`, 1), "unknown field"},
		{"spaces", strings.Replace(good, `,`, `, `, 1), "canonical"},
		{"trailing newline", good + "\n", "canonical"},
		{"trailing garbage", good + "{}", "canonical"},
		{"other case", strings.Replace(good, `"name"`, `"Name"`, 1), "canonical"},
		{"escaped", strings.Replace(good, `<&>`, `\u003c&>`, 1), "canonical"},
		{"variables out of order", strings.Replace(good, `"A":"1","B":"2"`, `"B":"2","A":"1"`, 1), "canonical"},
		{"no outputs", strings.Replace(good, `["doc","out"]`, `[]`, 1), "canonical"},
		{"bad name", strings.Replace(good, `"web"`, `"we/b"`, 1), "name"},
		{"bad input", strings.Replace(good, string(pathOf("a")), "/tmp/x", 1), "store path"},
	} {
		if c.in == good {
			t.Fatalf("%s: nothing was changed", c.summary)
		}
		if _, err := Decode([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.summary, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	d := sample()
	f.Add(d.Encode())
	d.Fixed, d.Outputs = &Fixed{Algo: "sha256", Hash: strings.Repeat("0", 64)}, nil
	f.Add(d.Encode())
	f.Add([]byte(`{"format":1,"name":"a","builder":"builtin:text","outputs":["out"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Decode(data)
		if err != nil {
			return
		}
		if string(d.Encode()) != string(data) {
			t.Errorf("%q decodes, and encodes as %q", data, d.Encode())
		}
	})
}

func TestParseKey(t *testing.T) {
	d := sample()
	if _, err := ParseKey(string(d.Key())); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"", "abc", strings.Repeat("A", 64), strings.Repeat("g", 64), strings.Repeat("0", 66)} {
		if _, err := ParseKey(s); !errors.Is(err, ErrBadKey) {
			t.Errorf("%q: error %v", s, err)
		}
	}
}

func TestDeriver(t *testing.T) {
	got := Deriver(Key("01"+strings.Repeat("0", 37)+"1"+strings.Repeat("f", 24)), "web")
	if want := "04000000000000000000000000000001-web.drv"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if p, err := store.ParsePath(store.Dir + "/" + Deriver(Key(strings.Repeat("a", 64)), strings.Repeat("n", 211))); err != nil {
		t.Errorf("%s: %v", p, err)
	}
}

func TestDeclarationsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		summary string
		change  func(*Derivation)
		want    string
	}{
		{"empty name", func(d *Derivation) { d.Name = "" }, "name"},
		{"relative builder", func(d *Derivation) { d.Builder = "bin/sh" }, "absolute"},
		{"no builtin", func(d *Derivation) { d.Builder = "builtin:" }, "no builtin"},
		{"version of a program", func(d *Derivation) { d.Version = 1 }, "version"},
		{"NUL in an argument", func(d *Derivation) { d.Args = []string{"a\x00b"} }, "argument 1 holds a NUL"},
		{"bytes that are no text", func(d *Derivation) { d.Env["A"] = "\xff" }, "variable A is not valid UTF-8"},
		{"variable with =", func(d *Derivation) { d.Env["A=B"] = "" }, "variable name"},
		{"variable named as an output", func(d *Derivation) { d.Env["doc"] = "" }, "name of an output"},
		{"output twice", func(d *Derivation) { d.Outputs = []string{"out", "out"} }, "twice"},
		{"output with a slash", func(d *Derivation) { d.Outputs = []string{"a/b"} }, "output name"},
		{"two trees at one place", func(d *Derivation) { d.Host = []Host{{"/go", "h1"}, {"/go", "h2"}} }, "two host trees"},
		{"unknown host tree", func(d *Derivation) { d.Host = []Host{{"/go", "h9"}} }, "not known"},
		{"fixed hash with two outputs", func(d *Derivation) { d.Fixed = &Fixed{Algo: "sha256", Hash: strings.Repeat("0", 64)} }, "exactly one output"},
		{"short fixed hash", func(d *Derivation) { d.Outputs, d.Fixed = nil, &Fixed{Algo: "sha256", Hash: "00"} }, "bad sha256 hash"},
		{"unknown algorithm", func(d *Derivation) { d.Outputs, d.Fixed = nil, &Fixed{Algo: "crc", Hash: "00"} }, "unknown hash algorithm"},
		{"unknown input", func(d *Derivation) { d.Inputs = []Input{{Drv: Key(strings.Repeat("0", 64)), Output: "out"}} }, "unknown"},
		{"input of nothing", func(d *Derivation) { d.Inputs = []Input{{Output: "out"}} }, "no derivation"},
	} {
		g := NewGraph(nil)
		g.AddHost("h1", "/x")
		g.AddHost("h2", "/y")
		d := sample()
		c.change(&d)
		_, err := g.Derive(d)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.summary, err, c.want)
			continue
		}
		if !strings.HasPrefix(err.Error(), `system.star:4:7: cannot declare `) {
			t.Errorf("%s: the error does not begin with the position: %v", c.summary, err)
		}
	}
}
