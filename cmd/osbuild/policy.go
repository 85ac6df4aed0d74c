// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"osbuild/store/cache/policy"
)

// sharing says where builds may come from instead of being built: flags come
// before the environment, and that before the policy file.
type sharing struct {
	substituters, keys []string
}

// policyFile is OSBUILD_CACHES, or the user's, or the machine's.
func policyFile() (file string, must bool) {
	if file := os.Getenv("OSBUILD_CACHES"); file != "" {
		return file, true
	}
	if dir, err := os.UserConfigDir(); err == nil && os.Geteuid() != 0 {
		if file := filepath.Join(dir, "osbuild", "caches.json"); fileExists(file) {
			return file, false
		}
	}
	return "/etc/osbuild/caches.json", false
}

func fileExists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// readPolicy reads the policy file, or gives one that says nothing where there
// is none.
func readPolicy() (*policy.Policy, error) {
	file, must := policyFile()
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return policy.Any(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read which caches to use: %w", err)
	}
	return policy.Parse(file, text)
}

// list splits what an environment variable or flag holds, at commas and
// spaces.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// effective settles what holds for this command: the rules, and the caches
// that builds ask. With keys that are given here the file's rules do not hold.
func (s sharing) effective() (*policy.Policy, error) {
	env := func(have []string, name string) []string {
		if have != nil {
			return have
		}
		if text, ok := os.LookupEnv(name); ok {
			return append([]string{}, list(text)...)
		}
		return nil
	}
	substituters, keys := env(s.substituters, "OSBUILD_SUBSTITUTERS"), env(s.keys, "OSBUILD_TRUSTED_KEYS")
	p := policy.Any(nil)
	if substituters == nil || keys == nil {
		var err error
		if p, err = readPolicy(); err != nil {
			return nil, err
		}
	}
	if keys != nil {
		trust, err := trusted(keys)
		if err != nil {
			return nil, err
		}
		caches := p.Caches
		p = policy.Any(trust)
		p.Caches = caches
	}
	if substituters != nil {
		p.Caches = nil
		for _, url := range substituters {
			p.Caches = append(p.Caches, policy.Cache{URL: url})
		}
	}
	return p, nil
}

// policyInfo is the result of `cache-info --json` without a URL.
type policyInfo struct {
	File   string        `json:"file,omitempty"`
	Caches []policyCache `json:"substituters"`
	Keys   []string      `json:"trustedKeys"`
	Rules  []policyRule  `json:"rules"`
}

type policyCache struct {
	URL     string   `json:"url"`
	Trusted bool     `json:"trusted,omitempty"`
	Rules   []string `json:"rules,omitempty"`
}

type policyRule struct {
	Name       string         `json:"name"`
	For        policy.Subject `json:"for"`
	Names      []string       `json:"names,omitempty"`
	Keys       []string       `json:"keys"`
	Signatures int            `json:"signatures"`
	Closure    bool           `json:"closure,omitempty"`
}

// showPolicy prints what holds for builds and pulls that give no options.
func (a *app) showPolicy() error {
	p, err := sharing{}.effective()
	if err != nil {
		return err
	}
	if a.json {
		info := policyInfo{File: p.File, Caches: []policyCache{}, Keys: []string{}, Rules: []policyRule{}}
		for _, c := range p.Caches {
			info.Caches = append(info.Caches, policyCache(c))
		}
		for _, k := range p.Keys {
			info.Keys = append(info.Keys, k.String())
		}
		for _, r := range p.Rules {
			rule := policyRule{Name: r.Name, For: r.For, Names: r.Names, Keys: []string{}, Signatures: r.Signatures, Closure: r.Closure}
			for _, k := range r.Keys {
				rule.Keys = append(rule.Keys, k.Name())
			}
			info.Rules = append(info.Rules, rule)
		}
		return a.printJSON(info)
	}
	line := func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	if p.File != "" {
		line("File: %s", p.File)
	}
	for _, c := range p.Caches {
		text := c.URL
		if c.Trusted {
			text += ", trusted"
		}
		if len(c.Rules) > 0 {
			text += ", for the rules " + strings.Join(c.Rules, ", ")
		}
		line("Cache: %s", text)
	}
	for _, k := range p.Keys {
		line("Key: %s", k)
	}
	for _, r := range p.Rules {
		text := string(r.For)
		if len(r.Names) > 0 {
			text += " named " + strings.Join(r.Names, " or ")
		}
		if r.Closure {
			text += ", and what they need"
		}
		line("Rule: %s: %s: %s", r.Name, text, r.Wants())
	}
	return nil
}
