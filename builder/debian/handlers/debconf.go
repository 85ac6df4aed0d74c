// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package handlers

import (
	"strings"

	"osbuild/builder/debian/control"
	"osbuild/builder/debian/script"
)

// confmodule is what scripts read to ask questions. Nothing of it is needed:
// the questions are commands here.
const confmodule = "/usr/share/debconf/confmodule"

// debconf answers what scripts ask the user with the defaults of the package.
var debconf = class{name: classDebconf, quiet: true, commands: map[string]command{
	"db_get": dbGet, "db_metaget": dbMetaGet, "db_set": dbSet, "db_fget": dbEmpty,
	"db_version": dbNothing, "db_capb": dbNothing, "db_stop": dbNothing, "db_go": dbNothing, "db_input": dbNothing,
	"db_fset": dbNothing, "db_subst": dbNothing, "db_reset": dbNothing, "db_title": dbNothing, "db_settitle": dbNothing,
	"db_purge": dbNothing, "db_register": dbNothing, "db_unregister": dbNothing, "db_beginblock": dbNothing, "db_endblock": dbNothing,
	"db_info": dbNothing, "db_progress": dbNothing, "db_x_loadtemplatefile": dbNothing, "db_clear": dbNothing,
}}

func dbNothing(*call) script.Status { return script.Success }

func dbEmpty(c *call) script.Status {
	c.Set("RET", "")
	return script.Success
}

func dbGet(c *call) script.Status {
	if len(c.Args) == 0 {
		return script.Failure
	}
	answer, ok := c.r.answer(c.p, c.Args[0], "")
	c.Set("RET", answer)
	if !c.Sure() || !script.Known(c.Args...) {
		return script.Unsure
	}
	return script.When(ok)
}

// dbMetaGet asks for a field of a question.
func dbMetaGet(c *call) script.Status {
	if len(c.Args) < 2 {
		return script.Failure
	}
	answer, ok := c.r.answer(c.p, c.Args[0], c.Args[1])
	c.Set("RET", answer)
	if !c.Sure() || !script.Known(c.Args...) {
		return script.Unsure
	}
	return script.When(ok)
}

func dbSet(c *call) script.Status {
	if len(c.Args) == 0 || !c.Sure() || !script.Known(c.Args...) {
		return script.Success // the default stays
	}
	c.p.questions()
	c.p.answers[c.Args[0]+"\x00"] = strings.Join(c.Args[1:], " ")
	return script.Success
}

// answer is that to a question of this package, or of another one, as for
// those that several share.
func (r *root) answer(p *pkg, question, field string) (string, bool) {
	key := question + "\x00" + strings.ToLower(field)
	for _, q := range append([]*pkg{p}, r.pkgs...) {
		q.questions()
		if a, ok := q.answers[key]; ok {
			return a, true
		}
	}
	return "", false
}

// questions reads the member templates once.
func (p *pkg) questions() {
	if p.answers != nil {
		return
	}
	p.answers = map[string]string{}
	text, err := p.Member("templates")
	if err != nil || text == "" {
		return
	}
	// A template that cannot be read has no default.
	_ = control.ReadStanzas(strings.NewReader(text), func(s control.Stanza) error {
		name := s.Get("Template")
		p.answers[name+"\x00"] = s.Get("Default")
		for _, f := range s.Fields {
			if !strings.Contains(f.Name, "-") || strings.HasSuffix(strings.ToLower(f.Name), "-c") {
				p.answers[name+"\x00"+strings.ToLower(f.Name)] = f.Value
			}
		}
		return nil
	})
}
