// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import "osbuild/builder/service"

// EssentialTypes are the types of the services that every system has by
// itself, for documentation.
func EssentialTypes(env *service.Env) ([]*service.Type, error) {
	list, err := defaultServices(env, New())
	if err != nil {
		return nil, err
	}
	types := make([]*service.Type, len(list))
	for i, s := range list {
		types[i] = s.Type
	}
	return types, nil
}
