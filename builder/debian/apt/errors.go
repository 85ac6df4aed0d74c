// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package apt

import "errors"

var (
	// ErrGone is wrapped when every mirror says that it does not have a file.
	ErrGone = errors.New("the archives do not have it any more")
	// ErrOffline is wrapped when the network is needed and switched off.
	ErrOffline = errors.New("the network is switched off (--offline)")
	// ErrNetwork is wrapped when no server could be reached.
	ErrNetwork = errors.New("no server answers")
	// ErrSignature is wrapped when a release file is not signed as it has to be.
	ErrSignature = errors.New("the signature is not good")
	// ErrRollback is wrapped when an archive shows an older state than before.
	ErrRollback = errors.New("the archive went back in time")
	// ErrExpired is wrapped when a release file is too old to be believed.
	ErrExpired = errors.New("the release file has expired")
	// ErrMismatch is wrapped when bytes are not those that were promised.
	ErrMismatch = errors.New("not the bytes that were promised")
)
