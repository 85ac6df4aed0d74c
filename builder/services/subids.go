// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// Bounds of subordinate ids, the upper ones exclusive. In a container regular
// users have the ids from 1000 to 9999, and the two highest ids are nobody's.
const (
	defaultSubids     = 65536
	minSubid          = 100000
	maxSubid          = 600100000
	minSubidContainer = 10000
	maxSubidContainer = spec.Ids - 2
)

// SubidRange is a range of subordinate ids of one user.
type SubidRange struct {
	Pos   derivation.Position `star:"-"`
	Name  string              `star:"name,required" doc:"The user whose ids they are."`
	Start *int                `star:"start" doc:"The first id. Without one the range is placed at activation, and kept."`
	Count int                 `star:"count" doc:"How many ids; without a start fewer may be given in a container, where 65536 do not fit."`
}

// Validate checks the fields.
func (r *SubidRange) Validate() error {
	if err := accountName("name", r.Name); err != nil {
		return err
	}
	if r.Count < 1 || r.Count > maxSubid-minSubid {
		return fmt.Errorf("field count: %d is not between 1 and %d", r.Count, maxSubid-minSubid)
	}
	if r.Start != nil && (*r.Start < 1 || *r.Start+r.Count > maxSubid) {
		return fmt.Errorf("field start: %d to %d is not between 1 and %d", *r.Start, *r.Start+r.Count-1, maxSubid-1)
	}
	return nil
}

// SubidsConfiguration is the value of the subids service.
type SubidsConfiguration struct {
	Pos     derivation.Position `star:"-"`
	AddRoot bool                `star:"add_root" doc:"Whether root gets a range when none is declared for it."`
	Subuids []*SubidRange       `star:"subuids" doc:"Ranges of user ids."`
	Subgids []*SubidRange       `star:"subgids" doc:"Ranges of group ids."`
}

// SubidsExtension is what other services contribute.
type SubidsExtension struct {
	Pos     derivation.Position `star:"-"`
	Subuids []*SubidRange       `star:"subuids" doc:"Ranges of user ids."`
	Subgids []*SubidRange       `star:"subgids" doc:"Ranges of group ids."`
}

// Subids gives users ranges of further ids, which they may use in user
// namespaces of their own.
var Subids = &service.Type{
	Name:        "subids",
	Description: "Subordinate user and group ids.",
	Elements:    elements(&SubidsExtension{}),
	Check:       checkRecord[*SubidsConfiguration],
	Extend: func(_ *service.Env, value, contributions any) (any, error) {
		own, ok := value.(*SubidsConfiguration)
		if !ok {
			return nil, fmt.Errorf("the value is %s, not a subids_configuration", service.Describe(value))
		}
		more, err := listOf[*SubidsExtension](contributions)
		if err != nil {
			return nil, err
		}
		all := &SubidsConfiguration{Pos: own.Pos, AddRoot: own.AddRoot}
		all.Subuids = append(all.Subuids, own.Subuids...)
		all.Subgids = append(all.Subgids, own.Subgids...)
		for _, e := range more {
			all.Subuids = append(all.Subuids, e.Subuids...)
			all.Subgids = append(all.Subgids, e.Subgids...)
		}
		return all, nil
	},
	Default:         &SubidsConfiguration{AddRoot: true},
	HasDefault:      true,
	ValueDoc:        "subids_configuration",
	ContributionDoc: "subids_extension",
	ProducesDoc:     "/etc/subuid and /etc/subgid, in the accounts step of the activation",
	Extensions: []service.Extension{
		{Target: Account, Compute: func(_ *service.Env, v any) ([]any, error) { return one(v) }},
	},
}

// subidBounds are the bounds within which a declared range must lie. On a
// machine it may lie where a container's would, so that one declaration serves
// both; ranges without a start are then placed from there as well.
func subidBounds(container bool) (low, high int) {
	if container {
		return minSubidContainer, maxSubidContainer
	}
	return minSubidContainer, maxSubid
}

// checkSubids finds ranges that can never be placed.
func (a *Accounts) checkSubids(users map[string]*UserAccount) error {
	if a.subids == nil {
		return nil
	}
	var known []string
	for _, u := range a.Users {
		known = append(known, u.Name)
	}
	low, high := subidBounds(a.Container)
	uids, gids := map[int]string{}, map[int]string{}
	for _, u := range a.Users {
		if u.UID != nil {
			uids[*u.UID] = u.Name
		}
	}
	for _, g := range a.Groups {
		if g.ID != nil {
			gids[*g.ID] = g.Name
		}
	}
	for _, kind := range []struct {
		ranges   []*SubidRange
		accounts map[int]string
	}{{a.subids.Subuids, uids}, {a.subids.Subgids, gids}} {
		list, total := kind.ranges, 0
		for i, r := range list {
			if total += r.Count; !a.Container && total > high-low {
				return service.At(r.Pos, fmt.Errorf("cannot give %q %d subordinate ids: %w, which has %d for all",
					r.Name, r.Count, ErrSubidRange, high-low))
			}
			if users[r.Name] == nil {
				return service.At(r.Pos, fmt.Errorf("cannot give subordinate ids to %q: there is no such user%s", r.Name, service.Meant(r.Name, known)))
			}
			for _, other := range list[:i] {
				if other != r && other.Name == r.Name {
					return service.At(r.Pos, fmt.Errorf("cannot give %q two ranges of subordinate ids%s", r.Name, madeAt(other.Pos)))
				}
			}
			if r.Start == nil {
				continue
			}
			if *r.Start < low || *r.Start+r.Count > high {
				return service.At(r.Pos, fmt.Errorf("cannot give %q the subordinate ids %d to %d: %w, which has %d to %d",
					r.Name, *r.Start, *r.Start+r.Count-1, ErrSubidRange, low, high-1))
			}
			for _, id := range slices.Sorted(maps.Keys(kind.accounts)) {
				if id >= *r.Start && id < *r.Start+r.Count {
					return service.At(r.Pos, fmt.Errorf("cannot give %q the subordinate ids %d to %d: %d is %q itself",
						r.Name, *r.Start, *r.Start+r.Count-1, id, kind.accounts[id]))
				}
			}
			for _, other := range list[:i] {
				if other != r && other.Start != nil && *r.Start < *other.Start+other.Count && *other.Start < *r.Start+r.Count {
					return service.At(r.Pos, fmt.Errorf("cannot give %q the subordinate ids %d to %d: %q has %d to %d%s", r.Name,
						*r.Start, *r.Start+r.Count-1, other.Name, *other.Start, *other.Start+other.Count-1, madeAt(other.Pos)))
				}
			}
		}
	}
	return nil
}

// ErrSubidRange is the error for a range that lies outside of the system's.
var ErrSubidRange = errors.New("they do not fit into the system")

func (c *SubidsConfiguration) lower(container bool) *spec.Subids {
	low, high := subidBounds(container)
	if !container {
		low = minSubid
		for _, r := range slices.Concat(c.Subuids, c.Subgids) {
			if r.Start != nil {
				low = min(low, *r.Start)
			}
		}
	}
	return &spec.Subids{AddRoot: c.AddRoot, Min: low, Max: high, UIDs: lowerRanges(c.Subuids), GIDs: lowerRanges(c.Subgids)}
}

// lowerRanges drops repetitions of one and the same record.
func lowerRanges(list []*SubidRange) []spec.SubidRange {
	var out []spec.SubidRange
	seen := map[*SubidRange]bool{}
	for _, r := range list {
		if !seen[r] {
			seen[r] = true
			out = append(out, spec.SubidRange{Name: r.Name, Start: r.Start, Count: r.Count})
		}
	}
	return out
}
