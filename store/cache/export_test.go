// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package cache

import "osbuild/store"

// Users is how many calls take part in the flight of an item.
func (p *Puller) Users(path store.Path) int {
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	if fl := p.flights.items[path]; fl != nil {
		return fl.users
	}
	return 0
}
