// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/runner/spec"
)

// point is a service that is a name for its requirements.
func point(documentation string, provision ...string) *ShepherdService {
	s := NewShepherdService()
	s.Provision = provision
	s.Documentation = documentation
	return s
}

// standIn is a point that stands back for others of its names.
func standIn(documentation string, provision ...string) *ShepherdService {
	s := point(documentation, provision...)
	s.Fallback = true
	return s
}

// provider is a service type without a value whose services stand for names.
func provider(name, description, produces string, make func() []*ShepherdService) *service.Type {
	return &service.Type{
		Name: name, Description: description, Check: noValue, HasDefault: true,
		Elements: []reflect.Type{}, Extend: pulledIn,
		ValueDoc: "none", ContributionDoc: nothing, ProducesDoc: produces,
		Extensions: []service.Extension{
			{Target: ShepherdRoot, Compute: func(*service.Env, any) ([]any, error) { return many(make()) }},
		},
	}
}

// nothing is what may be contributed to a type that is only pulled in.
const nothing = "nothing; an extension makes sure that the service is there"

// pulledIn is the Extend of types that others extend for their presence alone.
func pulledIn(_ *service.Env, value, _ any) (any, error) { return value, nil }

// Loopback stands for the loopback device, which the runner of a container
// brings up before PID 1 runs.
var Loopback = provider("loopback", "The loopback network.", "the service loopback", func() []*ShepherdService {
	return []*ShepherdService{standIn("The loopback device, which is up from the start.", "loopback")}
})

// DummyNetworking provides loopback and networking where no other service
// does: in a container the network is there, or not, before PID 1 runs.
var DummyNetworking = provider("dummy_networking", "Networking that was set up from outside.",
	"the services loopback and networking, unless others provide them", func() []*ShepherdService {
		return []*ShepherdService{standIn("The network as the container was given it.", "networking", "loopback")}
	})

// RootFileSystem stands for the root file system.
var RootFileSystem = provider("root_file_system", "The root file system.", "the service root-file-system", func() []*ShepherdService {
	return []*ShepherdService{point("The root file system, which is mounted from the start.", "root-file-system")}
})

// NetworkAddress is an address of a network device.
type NetworkAddress struct {
	Pos    derivation.Position `star:"-"`
	Device string              `star:"device,required" doc:"The device, e.g. \"eth0\"."`
	Value  string              `star:"value,required" doc:"The address with its prefix length, e.g. \"192.0.2.10/24\"."`
}

// Validate checks the fields.
func (a *NetworkAddress) Validate() error {
	if err := identifier("device", a.Device); err != nil {
		return err
	}
	if _, err := netip.ParsePrefix(a.Value); err != nil {
		return fmt.Errorf("field value: %q is not an address with a prefix length, such as 192.0.2.10/24", a.Value)
	}
	return nil
}

// NetworkRoute is a route.
type NetworkRoute struct {
	Pos         derivation.Position `star:"-"`
	Destination string              `star:"destination,required" doc:"A network, e.g. \"198.51.100.0/24\", or \"default\"."`
	Gateway     string              `star:"gateway,required" doc:"The address of the next hop."`
}

// Validate checks the fields.
func (r *NetworkRoute) Validate() error {
	if _, err := netip.ParsePrefix(r.Destination); err != nil && r.Destination != "default" {
		return fmt.Errorf("field destination: %q is not a network or \"default\"", r.Destination)
	}
	if _, err := netip.ParseAddr(r.Gateway); err != nil {
		return fmt.Errorf("field gateway: %q is not an IP address", r.Gateway)
	}
	return nil
}

// StaticNetworkingConfiguration is a network whose addresses are known.
type StaticNetworkingConfiguration struct {
	Pos         derivation.Position `star:"-"`
	IP          string              `star:"ip,required" doc:"The program ip, e.g. package(\"iproute2\") + \"/usr/sbin/ip\"."`
	Addresses   []*NetworkAddress   `star:"addresses" doc:"Addresses: network_address records or tuples (device, value)."`
	Routes      []*NetworkRoute     `star:"routes" doc:"Routes: network_route records or tuples (destination, gateway)."`
	NameServers []string            `star:"name_servers" doc:"Addresses of name servers; with any, /etc/resolv.conf is made."`
	Provision   []string            `star:"provision" doc:"The names of the service."`
	Requirement []string            `star:"requirement" doc:"Services that must have started before."`
}

// Validate checks the fields.
func (c *StaticNetworkingConfiguration) Validate() error {
	for _, s := range c.NameServers {
		if _, err := netip.ParseAddr(s); err != nil {
			return fmt.Errorf("field name_servers: %q is not an IP address", s)
		}
	}
	if len(c.Provision) == 0 {
		return errors.New("field provision: at least one name is needed")
	}
	return fileLike("ip", c.IP)
}

// StaticNetworking sets up a network whose addresses are known.
var StaticNetworking = &service.Type{
	Name:        "static_networking",
	Description: "A network whose addresses are known. A container's network is set up from outside, so this is left out there.",
	Check:       checkRecord[*StaticNetworkingConfiguration],
	ValueDoc:    "static_networking_configuration",
	ProducesDoc: "the one-shot service networking, and /etc/resolv.conf",
	Extensions: []service.Extension{
		{Target: ShepherdRoot, Compute: typed(func(_ *service.Env, c *StaticNetworkingConfiguration) ([]any, error) {
			ip := func(args ...string) spec.Process {
				return spec.Process{Argv: append([]string{c.IP}, args...), Env: environ(nil)}
			}
			start := &Start{}
			up := map[string]bool{}
			for _, a := range c.Addresses {
				start.Run = append(start.Run, ip("address", "replace", a.Value, "dev", a.Device))
				if !up[a.Device] {
					up[a.Device] = true
					start.Run = append(start.Run, ip("link", "set", a.Device, "up"))
				}
			}
			for _, r := range c.Routes {
				start.Run = append(start.Run, ip("route", "replace", r.Destination, "via", r.Gateway))
			}
			s := point("Set up the network.", c.Provision...)
			s.Pos, s.Requirement = c.Pos, c.Requirement
			if len(start.Run) > 0 {
				s.Start = start
			}
			return one(s)
		})},
		{Target: Etc, Compute: typed(func(env *service.Env, c *StaticNetworkingConfiguration) ([]any, error) {
			if len(c.NameServers) == 0 {
				return nil, nil
			}
			var b strings.Builder
			for _, s := range c.NameServers {
				b.WriteString("nameserver " + s + "\n")
			}
			e, err := etcText(env, "resolv.conf", b.String())
			if err != nil {
				return nil, err
			}
			return one(e)
		})},
	},
}

// DHCPClientConfiguration is a network whose addresses a server gives.
type DHCPClientConfiguration struct {
	Pos        derivation.Position `star:"-"`
	Client     string              `star:"client,required" doc:"The program dhclient, e.g. package(\"isc-dhcp-client\") + \"/usr/sbin/dhclient\"."`
	Interfaces []string            `star:"interfaces" doc:"The devices; all by default."`
}

// Validate checks the fields.
func (c *DHCPClientConfiguration) Validate() error {
	for _, i := range c.Interfaces {
		if err := identifier("interfaces", i); err != nil {
			return err
		}
	}
	return fileLike("client", c.Client)
}

// DHCPClient asks a server for the network's addresses.
var DHCPClient = &service.Type{
	Name:        "dhcp_client",
	Description: "A network whose addresses a DHCP server gives. A container's network is set up from outside, so this is left out there.",
	Check:       checkRecord[*DHCPClientConfiguration],
	ValueDoc:    "dhcp_client_configuration",
	ProducesDoc: "the service networking",
	Extensions: []service.Extension{{Target: ShepherdRoot, Compute: typed(func(_ *service.Env, c *DHCPClientConfiguration) ([]any, error) {
		const pidFile = "/run/dhclient.pid"
		s := point("Get the network's addresses from a server.", "networking")
		s.Pos, s.Requirement = c.Pos, []string{"user-processes", "udev"}
		s.Start = &Start{Exec: &spec.Process{
			Argv: append([]string{c.Client, "-d", "-nw", "-pf", pidFile}, c.Interfaces...), Env: environ(nil), PIDFile: pidFile,
		}}
		return one(s)
	})}},
}

func networkRecords() []Record {
	return []Record{
		{Name: "host", Proto: &Host{}, Doc: "A line of /etc/hosts."},
		{Name: "network_address", Proto: &NetworkAddress{}, Doc: "An address of a network device."},
		{Name: "network_route", Proto: &NetworkRoute{}, Doc: "A route."},
		{Name: "static_networking_configuration", Proto: &StaticNetworkingConfiguration{Provision: []string{"networking"}, Requirement: []string{"udev"}}, Doc: "A network whose addresses are known."},
		{Name: "dhcp_client_configuration", Proto: &DHCPClientConfiguration{}, Doc: "A network whose addresses a server gives."},
		{Name: "nscd_configuration", Proto: &NscdConfiguration{CacheSize: nscdCache}, Doc: "The name service cache."},
	}
}
