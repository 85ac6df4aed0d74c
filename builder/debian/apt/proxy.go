// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"
)

// proxy returns the proxy for a URL, or nil: what the configuration says for
// the server, or for all, or what a program says that the configuration names,
// or the environment.
func (h *Host) proxy(ctx context.Context, u *url.URL) (*url.URL, error) {
	host := u.Hostname()
	// What is said of http counts for https too.
	schemes := []string{u.Scheme}
	if u.Scheme == "https" {
		schemes = append(schemes, "http")
	}
	value := ""
	for _, s := range schemes {
		if value == "" {
			value = h.conf.get("Acquire::" + s + "::Proxy::" + host)
		}
	}
	for _, s := range schemes {
		if value == "" {
			value = h.conf.get("Acquire::" + s + "::Proxy")
		}
	}
	for _, s := range schemes {
		for _, name := range []string{"Proxy-Auto-Detect", "ProxyAutoDetect"} {
			program := h.conf.get("Acquire::" + s + "::" + name)
			if value != "" || program == "" {
				continue
			}
			var err error
			if value, err = h.askProxy(ctx, program, u); err != nil {
				return nil, err
			}
		}
	}
	if value == "" {
		if exempt(os.Getenv("no_proxy"), u) {
			return nil, nil
		}
		value = os.Getenv(u.Scheme + "_proxy")
	}
	if value == "" || strings.EqualFold(value, "DIRECT") || value == "false" {
		return nil, nil
	}
	return parseProxy(value)
}

func parseProxy(value string) (*url.URL, error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	p, err := url.Parse(value)
	if err != nil || p.Host == "" {
		return nil, fmt.Errorf("the proxy %q is not a URI", redact(value))
	}
	switch p.Scheme {
	case "http", "https", "socks5", "socks5h":
		return p, nil
	}
	return nil, fmt.Errorf("the scheme of the proxy %s is none that osbuild knows (http, https, socks5h)", redact(value))
}

// askProxy runs the program that the host has for finding proxies. apt passes
// over one that fails, or that says nothing, and so do we.
func (h *Host) askProxy(ctx context.Context, program string, u *url.URL) (string, error) {
	h.proxyMu.Lock()
	defer h.proxyMu.Unlock()
	key := program + " " + u.Scheme + "://" + u.Host
	if value, ok := h.proxies[key]; ok {
		return value, nil
	}
	ask, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ask, program, u.Scheme+"://"+u.Host+"/").Output()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		h.warn("passed over the program %s, which is to find the proxy: %v", program, execError(err))
		out = nil
	}
	value, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	h.proxies[key] = value
	return value, nil
}

// exempt says whether the variable no_proxy has the server of a URL: names,
// with all that end with them, networks, or * for all.
func exempt(list string, u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	ip := net.ParseIP(host)
	for _, word := range strings.FieldsFunc(strings.ToLower(list), func(r rune) bool { return r == ',' || r == ' ' }) {
		if word == "*" || word == u.Host {
			return true
		}
		if _, network, err := net.ParseCIDR(word); err == nil {
			if ip != nil && network.Contains(ip) {
				return true
			}
			continue
		}
		word = strings.TrimPrefix(strings.TrimPrefix(word, "*"), ".")
		if host == word || strings.HasSuffix(host, "."+word) {
			return true
		}
	}
	return false
}
