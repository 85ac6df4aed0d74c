// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bytes"
	"strings"
)

const (
	// tailLines is how many lines of a failed service its status shows, each
	// up to tailLine bytes.
	tailLines = 8
	tailLine  = 400
	// maxWarnings is how many warnings of one start are kept.
	maxWarnings = 20
	// warningPrefix begins a line by which a program says that it went on, but
	// not as it should.
	warningPrefix = "warning: "
	// ownPrefix begins a line by which we ourselves say so, before a program
	// runs; then it holds for a program that keeps running as well.
	ownPrefix = "osbuild-init: " + warningPrefix
)

// output is what is known of what a process wrote.
type output struct {
	// last is the last line with anything on it, tail the last lines.
	last string
	tail []string
	// warnings are the lines behind "warning: ", own those among them that are
	// ours.
	warnings, own []string
	// text is the end of all that it wrote, for those who asked for it.
	text string
}

// keeper keeps of a process's lines what an output holds. It costs no memory
// that grows with the lines.
type keeper struct {
	last     []byte
	ring     [tailLines][]byte
	count    int
	warnings []string
	own      []string
	all      bool
	text     []byte
}

// add takes a line without its end.
func (k *keeper) add(line []byte) {
	if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 {
		k.last = append(k.last[:0], trimmed...)
	}
	slot := &k.ring[k.count%tailLines]
	*slot = append((*slot)[:0], line[:min(len(line), tailLine)]...)
	k.count++
	w, own := bytes.CutPrefix(line, []byte(ownPrefix))
	ok := own
	if !own {
		w, ok = bytes.CutPrefix(line, []byte(warningPrefix))
	}
	if ok && len(k.warnings) < maxWarnings {
		text := strings.TrimSpace(string(w[:min(len(w), tailLine)]))
		k.warnings = append(k.warnings, text)
		if own {
			k.own = append(k.own, text)
		}
	}
	if k.all {
		k.text = append(append(k.text, line...), '\n')
		if len(k.text) > 2*logTail {
			k.text = append(k.text[:0], k.text[len(k.text)-logTail:]...)
		}
	}
}

func (k *keeper) output() output {
	out := output{last: string(k.last), warnings: k.warnings, own: k.own, text: string(k.text[max(0, len(k.text)-logTail):])}
	for i := max(0, k.count-tailLines); i < k.count; i++ {
		out.tail = append(out.tail, string(k.ring[i%tailLines]))
	}
	return out
}
