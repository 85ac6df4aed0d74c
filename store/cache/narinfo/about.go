// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package narinfo

import (
	"fmt"
	"strconv"
	"strings"

	"osbuild/store"
)

// AboutName is the name of the file in which a cache says what it is.
const AboutName = "nix-cache-info"

// DefaultPriority is that of a cache which does not say.
const DefaultPriority = 50

// About is what a cache says of itself.
type About struct {
	// StoreDir is the logical folder of its items.
	StoreDir string
	// Priority orders caches: a lower one is asked first.
	Priority int
	// WantMassQuery says that many questions at once are welcome.
	WantMassQuery bool
}

// Encode writes the text.
func (a About) Encode() []byte {
	mass := 0
	if a.WantMassQuery {
		mass = 1
	}
	return fmt.Appendf(nil, "StoreDir: %s\nWantMassQuery: %d\nPriority: %d\n", a.StoreDir, mass, a.Priority)
}

// ParseAbout reads the text. Fields that it does not know are skipped.
func ParseAbout(text []byte) (About, error) {
	a := About{Priority: DefaultPriority}
	if len(text) > MaxSize {
		return About{}, fmt.Errorf("cannot read what the cache says of itself: it has more than %d bytes", MaxSize)
	}
	for l := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(l), ":")
		if !ok && key != "" {
			return About{}, fmt.Errorf("cannot read what the cache says of itself: %.60q is no \"key: value\"", key)
		}
		value = strings.TrimSpace(value)
		switch key {
		case "StoreDir":
			a.StoreDir = value
		case "WantMassQuery":
			a.WantMassQuery = value == "1"
		case "Priority":
			n, err := strconv.Atoi(value)
			if err != nil {
				return About{}, fmt.Errorf("cannot read what the cache says of itself: the priority %.60q is no number", value)
			}
			a.Priority = n
		}
	}
	return a, nil
}

// Check says whether the items of a cache can be items of this store.
func (a About) Check() error {
	if a.StoreDir != store.Dir {
		return fmt.Errorf("its items belong to %q, and those of osbuild to %s", a.StoreDir, store.Dir)
	}
	return nil
}
