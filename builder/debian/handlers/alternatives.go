// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strconv"

	"osbuild/builder/debian/rootfs"
	"osbuild/builder/debian/script"
)

// alternative is one program of a group.
type alternative struct {
	path     string
	priority int
	slaves   map[string]follower
}

// follower is a link that follows the choice of a group.
type follower struct{ link, path string }

// choice is a group of alternatives: the link, and what it may lead to.
type choice struct {
	link string
	list []alternative
}

// alternatives are the groups by name.
type alternatives map[string]*choice

const alternativesDir = "/etc/alternatives/"

// alternativesClass makes the links of update-alternatives: in each group the
// highest priority wins, and of equal ones that which came first.
var alternativesClass = class{
	name:     "alternatives",
	commands: map[string]command{"update-alternatives": updateAlternatives},
	finish:   finishAlternatives,
}

func updateAlternatives(c *call) script.Status {
	var at, group string
	var alt alternative
	for i := 0; i < len(c.Args); i++ {
		more := func(n int) bool { return i+n < len(c.Args) }
		switch c.Args[i] {
		case "--quiet", "--verbose", "--force", "--skip-auto":
		case "--altdir", "--admindir", "--log":
			i++
		case "--install":
			if !more(4) {
				return script.Unsure
			}
			priority, err := strconv.Atoi(c.Args[i+4])
			if err != nil {
				return script.Unsure
			}
			at, group = c.Args[i+1], c.Args[i+2]
			alt = alternative{path: c.Args[i+3], priority: priority, slaves: map[string]follower{}}
			i += 4
		case "--slave", "--follower":
			if !more(3) {
				return script.Unsure
			}
			alt.slaves[c.Args[i+2]] = follower{c.Args[i+1], c.Args[i+3]}
			i += 3
		case "--remove", "--remove-all", "--auto", "--display", "--query", "--list", "--set":
			// Of other versions, or for a person.
			if c.Args[i] == "--display" || c.Args[i] == "--query" || c.Args[i] == "--list" {
				return script.Failure
			}
			return script.When(c.Args[i] != "--set")
		default:
			return script.Unsure
		}
	}
	if at == "" {
		return script.Unsure
	}
	if !c.r.Has(alt.path) {
		return script.Failure // as update-alternatives does
	}
	g := c.r.alternatives[group]
	if g == nil {
		if c.r.alternatives == nil {
			c.r.alternatives = alternatives{}
		}
		g = &choice{link: at}
		c.r.alternatives[group] = g
	}
	for i, have := range g.list {
		if have.path == alt.path {
			g.list[i] = alt
			return script.Success
		}
	}
	g.list = append(g.list, alt)
	return script.Success
}

func finishAlternatives(r *root) error {
	for _, group := range sorted(r.alternatives) {
		g := r.alternatives[group]
		best := g.list[0]
		for _, a := range g.list[1:] {
			if a.priority > best.priority {
				best = a
			}
		}
		if err := r.alternativeLink(group, g.link, best.path); err != nil {
			return err
		}
		for _, name := range sorted(best.slaves) {
			s := best.slaves[name]
			if !r.Has(s.path) {
				continue
			}
			if err := r.alternativeLink(name, s.link, s.path); err != nil {
				return err
			}
		}
	}
	return nil
}

// alternativeLink makes at -> /etc/alternatives/name -> path. A file of a
// package in the link's place stays, as it does in Debian.
func (r *root) alternativeLink(name, at, path string) error {
	if err := r.Put(alternativesDir+name, &rootfs.Node{Kind: rootfs.Link, Text: path}); err != nil {
		return err
	}
	if n, _, err := r.Find(at, false); err == nil && n.Kind != rootfs.Link {
		return nil
	}
	return r.Put(at, &rootfs.Node{Kind: rootfs.Link, Text: alternativesDir + name})
}
