// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// archive is one suite of one place, with all that the configuration wants of
// it.
type archive struct {
	where   string // of the first entry that names it
	suite   string // as the configuration calls it
	uri     string // likewise, without credentials: what makes it this archive
	mirrors []mirror
	targets []target
	options options
	// err is why the archive cannot be used. Others may do, so it is told only
	// when this one is needed.
	err error
}

// mirror is a place that holds the archive.
type mirror struct {
	base *url.URL // without credentials; the path ends with a slash
	user *url.Userinfo
}

// target is one index that the configuration wants: of a component, "" in a
// flat archive, for the architectures that the options of its entry allow.
type target struct {
	component string
	options   options
}

// flat says whether the archive is a folder with an index and packages, and
// not a tree with suites below dists.
func (a *archive) flat() bool { return strings.HasSuffix(a.suite, "/") }

// dist is the folder of the release file, relative to the base.
func (a *archive) dist() string {
	if a.flat() {
		if p := path.Clean("/" + a.suite); p != "/" {
			return p[1:] + "/"
		}
		return ""
	}
	return "dists/" + a.suite + "/"
}

// String names the archive in messages.
func (a *archive) String() string { return a.uri + " " + a.suite }

// makeArchives brings the entries in the form in which they are used.
func (h *Host) makeArchives(entries []entry) ([]*archive, error) {
	var archives []*archive
	known := map[string]*archive{}
	for _, e := range entries {
		for _, uri := range e.uris {
			for _, suite := range e.suites {
				shown := redact(uri)
				a := known[shown+" "+suite]
				if a == nil {
					a = &archive{where: e.where, suite: suite, uri: shown, options: e.options}
					a.mirrors, a.err = h.mirrors(uri, e)
					known[shown+" "+suite] = a
					archives = append(archives, a)
				} else if err := a.agrees(e); err != nil {
					return nil, err
				}
				components := e.components
				if a.flat() {
					components = []string{""}
				}
				for _, c := range components {
					a.targets = append(a.targets, target{component: c, options: e.options})
				}
			}
		}
	}
	return archives, nil
}

// agrees refuses two sources of one archive that want it verified by other
// keys: which of them counts must not depend on an order.
func (a *archive) agrees(e entry) error {
	trusted := func(o options) string {
		if o.trusted == nil {
			return ""
		}
		return strconv.FormatBool(*o.trusted)
	}
	if a.options.signedBy != e.options.signedBy {
		return fmt.Errorf("cannot use the source at %s: it has another Signed-By than %s for the same archive %s", e.where, a.where, a)
	}
	if trusted(a.options) != trusted(e.options) {
		return fmt.Errorf("cannot use the source at %s: it has another value of trusted than %s for the same archive %s", e.where, a.where, a)
	}
	return nil
}

// mirrors gives the places that a URI stands for.
func (h *Host) mirrors(uri string, e entry) ([]mirror, error) {
	if list, ok := strings.CutPrefix(uri, "mirror+file:"); ok {
		return h.mirrorList(list, e)
	}
	m, err := makeMirror(uri)
	if err != nil {
		return nil, fmt.Errorf("cannot use the source at %s: %w", e.where, err)
	}
	return []mirror{m}, nil
}

func makeMirror(uri string) (mirror, error) {
	scheme, _, ok := strings.Cut(uri, ":")
	if !ok {
		return mirror{}, fmt.Errorf("%q is not a URI", redact(uri))
	}
	switch scheme {
	case "http", "https", "file", "copy":
	default:
		return mirror{}, fmt.Errorf("the scheme of %s is none that osbuild knows (http, https, file, copy, mirror+file): give another URI, or disable the source", redact(uri))
	}
	u, err := url.Parse(uri)
	if err != nil { // and the error shows the URI
		return mirror{}, fmt.Errorf("%q is not a URI", redact(uri))
	}
	if local(u) {
		if u.Opaque != "" || u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") {
			return mirror{}, fmt.Errorf("%s does not name a folder of this machine: write %s:///path", redact(uri), scheme)
		}
	} else if u.Host == "" {
		return mirror{}, fmt.Errorf("%s names no server", redact(uri))
	}
	m := mirror{base: u, user: u.User}
	u.User, u.RawQuery, u.Fragment, u.RawPath = nil, "", "", ""
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return m, nil
}

// mirrorList reads a file of mirrors: a URI a line, then options behind a tab,
// of which priority orders the mirrors.
func (h *Host) mirrorList(file string, e entry) ([]mirror, error) {
	file = filepath.Join(h.cfg.Root, strings.TrimPrefix(file, "//"))
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot use the source at %s: cannot read its list of mirrors: %w", e.where, err)
	}
	type listed struct {
		mirror
		priority int
	}
	var list []listed
	for i, line := range strings.Split(string(data), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		m, err := makeMirror(words[0])
		if err != nil {
			return nil, fmt.Errorf("cannot use the source at %s: %s:%d: %w", e.where, file, i+1, err)
		}
		l := listed{mirror: m, priority: 1 << 30}
		for _, w := range words[1:] {
			if p, ok := strings.CutPrefix(w, "priority:"); ok {
				if n, err := strconv.Atoi(p); err == nil {
					l.priority = n
				}
			}
		}
		list = append(list, l)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("cannot use the source at %s: %s names no mirror", e.where, file)
	}
	slices.SortStableFunc(list, func(a, b listed) int { return a.priority - b.priority })
	out := make([]mirror, len(list))
	for i, l := range list {
		out[i] = l.mirror
	}
	return out, nil
}

// at is the URL of a file of the mirror, without credentials. A plus is
// escaped, since some stores take it for a blank.
func (m mirror) at(name string) *url.URL {
	u := *m.base
	u.Path += name
	u.RawPath = strings.ReplaceAll(u.EscapedPath(), "+", "%2B")
	return &u
}

// local says whether a URI names a file of this machine.
func local(u *url.URL) bool { return u.Scheme == "file" || u.Scheme == "copy" }

// redact takes the credentials out of a URI. Of one that is none only the
// scheme is left, since it is not known where in it a password stands.
func redact(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		scheme, _, _ := strings.Cut(uri, ":")
		return scheme + ":…"
	}
	if u.User == nil {
		return uri
	}
	u.User = nil
	return u.String()
}
