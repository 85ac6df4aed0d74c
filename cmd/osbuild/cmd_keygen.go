// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"osbuild/store/cache/signature"
)

func keygenVerb() verb {
	return verb{
		name:    "keygen",
		args:    "NAME FILE",
		summary: "make a key that signs what is shared",
		help: `osbuild keygen example.org-1 cache.key   # cache.key is the secret, cache.key.pub for those who trust it
osbuild push --key cache.key system.star file:///srv/cache
osbuild build --substituters http://example.org --trusted-keys "$(cat cache.key.pub)" system.star`,
		setup: plain(keygen),
	}
}

func keygen(_ context.Context, a *app, args []string) error {
	if args = words(args); len(args) != 2 {
		return usagef("keygen: give the key's NAME and a FILE; see `osbuild help keygen`")
	}
	name, file := args[0], args[1]
	secret, err := signature.Generate(name)
	if err != nil {
		return err
	}
	if err := writeKey(file, secret.Text(), 0o600); err != nil {
		return err
	}
	public := secret.Public().String()
	if err := writeKey(file+".pub", public, 0o644); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	if a.json {
		return a.printJSON(map[string]string{"name": name, "secretFile": file, "publicFile": file + ".pub", "public": public})
	}
	_, err = fmt.Fprintln(a.stdout, public)
	return err
}

// writeKey writes a file that is not there yet: a key that is gone cannot be
// made again.
func writeKey(file, text string, perm os.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("cannot write a key to %s: it exists already, and a key is never overwritten", file)
	}
	if err != nil {
		return fmt.Errorf("cannot write a key: %w", err)
	}
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("cannot write a key: %w", err), os.Remove(file))
	}
	return nil
}

// readKey reads the secret key of --key; nil, where none is given.
func readKey(file string) (*signature.Secret, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read a secret key: %w (make one with `osbuild keygen NAME FILE`)", err)
	}
	secret, err := signature.ParseSecret(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &secret, nil
}
