// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"fmt"
	"strings"
	"testing"

	"osbuild/builder/service"
	"osbuild/builder/services"
	"osbuild/builder/system"
)

// prelude loads what the tests of services use.
const prelude = `load("@osbuild//base.star", "account", "base_services", "etc", "profile", "shepherd_root")
`

// fold gives the value that the services of a program have for a type.
func fold(t *testing.T, e *evaluation, list, target string) (any, error) {
	t.Helper()
	v, err := e.Value(list)
	if err != nil {
		t.Fatal(err)
	}
	all, err := service.List(v)
	if err != nil {
		t.Fatal(err)
	}
	if all, err = service.InstantiateMissing(all); err != nil {
		return nil, err
	}
	typ, err := e.Eval(target)
	if err != nil {
		t.Fatal(err)
	}
	s, err := service.Fold(&service.Env{Graph: e.graph}, all, typ.(*service.Type))
	if err != nil {
		return nil, err
	}
	return s.Value, nil
}

func TestOwnServiceTypes(t *testing.T) {
	e := mustEvaluate(t, prelude+`
def greet(conf):
    return [
        user_account(conf.user, group = "users"),
        user_group("g-" + conf.user, system = True),
    ]

conf = configuration("greeter_configuration", {"user": str, "files": field(list_of("file"), default = [])})
greeter = service_type("greeter", extensions = [
    extension(account, greet),
    extension(profile, lambda conf: conf.files),
], default = conf("alice"))

# A target of one's own, extended by a type of one's own and by a simple service.
pool = service_type("pool",
    compose = lambda lists: ["<%s>" % x for x in lists],
    extend = lambda value, more: value + more,
    default = ["own"])
swimmer = service_type("swimmer", extensions = [extension(pool, lambda name: [name, name.upper()])])

all = [
    service(greeter),
    service(swimmer, "eve"),
    simple_service("more", pool, ["a", "b"]),
    simple_service("users", account, [user_group("x")]),
    service(swimmer, "bob"),
]
tool = plain_file("tool", "")
second = [service(greeter, conf("bob", files = [tool]))]
attributes = [greeter.name, greeter.default.user, all[0].type == greeter, all[1].value, all[0] == service(greeter)]
`)
	accounts, err := fold(t, e, "all", "account")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names(accounts), " "); !strings.Contains(got, "user alice") || !strings.HasSuffix(got, "group g-alice group x") {
		t.Errorf("the accounts are %s", got)
	}
	pool, err := fold(t, e, "all", "pool")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(pool), `["own", "<eve>", "<EVE>", "<a>", "<b>", "<bob>", "<BOB>"]`; got != want {
		t.Errorf("the pool is %s, want %s", got, want)
	}
	profile, err := fold(t, e, "second", "profile")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(profile); !strings.Contains(got, get[string](t, e, "tool")) {
		t.Errorf("the profile is %s", got)
	}
	if got := fmt.Sprint(get[[]any](t, e, "attributes")); got != "[greeter alice true eve true]" {
		t.Errorf("the attributes are %s", got)
	}
}

func names(v any) []string {
	var out []string
	if a, ok := v.(*services.Accounts); ok {
		for _, u := range a.Users {
			out = append(out, "user "+u.Name)
		}
		for _, g := range a.Groups {
			out = append(out, "group "+g.Name)
		}
	}
	return out
}

func TestModifyServices(t *testing.T) {
	e := mustEvaluate(t, prelude+`
a = service_type("a", default = 1)
b = service_type("b", default = "x")
all = [service(a), service(b), service(a, 10)]
none = modify_services(all)
changed = modify_services(all, (a, lambda v: v + 1), (b, delete), (a, lambda v: v * 2))
gone = modify_services(all, (a, lambda v: v), (a, delete))
values = [s.value for s in changed]
kinds = [s.type.name for s in gone] + [s.type.name for s in none]
lib = modify_services([service(profile, ["/x"])], (profile, lambda v: v + ["/y"]))
groups = [g for g in lib[0].value]
c = configuration("c", {"n": field(int, 1, sanitize = lambda v: v + 1)})
t = service_type("t", default = c())
tuples = [service(t).value.n, service(t, (5,)).value.n, modify_services([service(t)], (t, lambda v: v.replace(n = 7)))[0].value.n]
`)
	if got := fmt.Sprint(get[[]any](t, e, "values")); got != "[4 22]" {
		t.Errorf("the values are %s", got)
	}
	if got := fmt.Sprint(get[[]any](t, e, "kinds")); got != "[b a b a]" {
		t.Errorf("the types are %s", got)
	}
	if got := fmt.Sprint(get[[]any](t, e, "tuples")); got != "[2 6 8]" {
		t.Errorf("the configurations are %s", got)
	}
	if got := fmt.Sprint(get[[]any](t, e, "groups")); got != "[/x /y]" {
		t.Errorf("the groups are %s", got)
	}
}

func TestServiceErrors(t *testing.T) {
	tests := []struct{ summary, text, want string }{
		{
			"no value", "t = service_type(\"t\")\ns = service(t)\n",
			`system.star:3:5: cannot declare service "t": no value is given and the type has no default (declared at system.star:2:5)`,
		},
		{
			"no type", "s = service(\"t\")\n",
			`system.star:2:13: service: argument type: want service_type, got string`,
		},
		{
			"value of another record", "c = configuration(\"c\", {\"a\": field(int, 1)})\nt = service_type(\"t\", default = c())\ns = service(t, \"x\")\n",
			`system.star:4:5: cannot declare service "t": want c, got string`,
		},
		{
			"modify into another record", "c = configuration(\"c\", {\"a\": field(int, 1)})\nt = service_type(\"t\", default = c())\nx = modify_services([service(t)], (t, lambda v: v.a))\n",
			`system.star:4:35: cannot modify service "t": want c, got int`,
		},
		{
			"wrong element of a library type", "s = service(account, [5])\n",
			`system.star:2:5: cannot declare service "account": element 1: want user_account or user_group or subids_configuration, got int`,
		},
		{
			"wrong tuple in a list", "s = service(etc, [(\"motd\", 5)])\n",
			`system.star:2:5: cannot declare service "etc": element 1: etc_entry: field file: want string, got int`,
		},
		{
			"wrong contribution", "s = simple_service(\"s\", account, [service(account)])\n",
			`system.star:2:34: simple_service: argument value: element 1: want user_account or user_group or subids_configuration, got service`,
		},
		{
			"one contribution", "s = simple_service(\"s\", etc, plain_file(\"x\", \"\"))\n",
			`system.star:2:30: simple_service: argument value: want a list of contributions, got string (write [...] around it)`,
		},
		{
			"extension of nothing", "e = extension(\"account\", lambda v: [])\n",
			`system.star:2:15: extension: argument target: want service_type, got string`,
		},
		{
			"extension without a function", "e = extension(account, [])\n",
			`system.star:2:24: extension: argument compute: want function, got list`,
		},
		{
			"something else as an extension", "t = service_type(\"t\", extensions = [account])\n",
			`system.star:2:36: service_type: argument extensions: element 1: want extension, got service_type`,
		},
		{
			"modify what is not there", "t = service_type(\"t\", default = 1)\nx = modify_services([],\n    (t, delete))\n",
			`system.star:4:5: cannot modify services of type "t": there is none in the list`,
		},
		{
			"modify what was deleted", "t = service_type(\"t\", default = 1)\nx = modify_services([service(t)], (t, delete), (t, lambda v: v))\n",
			`system.star:3:48: cannot modify services of type "t": an earlier clause deleted them (declared at system.star:3:35)`,
		},
		{
			"modify with a function that fails", "t = service_type(\"t\", default = 1)\ndef f(v):\n    return v + None\nx = modify_services([service(t)], (t, f))\n",
			`system.star:4:14: cannot modify service "t": unknown binary op: int + NoneType` + "\n  called from system.star:5:5",
		},
		{
			"modify with a number", "t = service_type(\"t\", default = 1)\nx = modify_services([service(t)], (t, 5))\n",
			`system.star:3:5: modify_services: pair 1: want a function or delete second, got int`,
		},
		{
			"list in a list of services", "system = operating_system(\n    services = [base_services])\n",
			`system.star:3:16: operating_system: field services: element 1: want service, got list (join lists with +)`,
		},
		{
			"type in a list of services", "system = operating_system(services = [account])\n",
			`system.star:2:38: operating_system: field services: element 1: want service, got service_type (write service(account))`,
		},
		{
			"package without a name", "system = operating_system(\n    host_name = \"x\",\n    packages = [\"\"],\n)\n",
			`system.star:4:16: operating_system: field packages: the name of a package is empty`,
		},
		{
			"name of a module", "load(\"@osbuild//base.star\", \"acount\")\n",
			`system.star:2:1: cannot load "acount": @osbuild//base.star has no such name; did you mean account?`,
		},
		{
			"name without load", "x = loopback\n",
			`system.star:2:5: undefined name "loopback": it comes with load("@osbuild//base.star", "loopback")`,
		},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			_, err := evaluate(t, "-- system.star --\n"+prelude+test.text)
			if err == nil {
				t.Fatal("no error")
			}
			checkError(t, err)
			if got := err.Error(); !strings.HasPrefix(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestComputeErrors(t *testing.T) {
	const before = prelude + "t = service_type(\"t\", default = 1, extensions = [\n    extension(account, compute)])\nall = [service(t)]\n"
	tests := []struct{ summary, def, want string }{
		{
			"fails", "def compute(v):\n    return [user_account(\"a\")]\n",
			`system.star:5:5: cannot compute what service "t" contributes to "account": system.star:2:13: user_account: field group: must be given`,
		},
		{
			"gives a record alone", "def compute(v):\n    return user_group(\"a\")\n",
			`system.star:5:5: cannot compute what service "t" contributes to "account": compute gave a wrong value: want a list of contributions, got user_group (write [...] around it)`,
		},
		{
			"gives None", "def compute(v):\n    pass\n",
			`system.star:5:5: cannot compute what service "t" contributes to "account": compute gave a wrong value: want a list of contributions, got None`,
		},
		{
			"gives another record", "def compute(v):\n    return [user_group(\"a\"), fork_exec([\"/x\"])]\n",
			`system.star:5:5: cannot compute what service "t" contributes to "account": compute gave a wrong value: element 2: want user_account or user_group or subids_configuration, got fork_exec`,
		},
		{
			"takes no argument", "def compute():\n    return []\n",
			`system.star:5:5: cannot compute what service "t" contributes to "account": system.star:1:1: function compute accepts no arguments (1 given)`,
		},
		{
			"does not end", "def compute(v):\n    for i in range(1000000000):\n        pass\n",
			`system.star:6:5: cannot compute what service "t" contributes to "account": system.star:2:5: the evaluation does not end within`,
		},
		{
			"changes what is frozen", "seen = []\ndef compute(v):\n    seen.append(v)\n    return []\n",
			`system.star:7:5: cannot compute what service "t" contributes to "account": system.star:3:5: append: cannot append to frozen list`,
		},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			e := mustEvaluate(t, test.def+before)
			_, err := fold(t, e, "all", "account")
			if err == nil {
				t.Fatal("no error")
			}
			if got := err.Error(); !strings.HasPrefix(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestSystem(t *testing.T) {
	e := mustEvaluate(t, prelude+`
def essential(defaults):
    return [s for s in defaults if s.type != etc]

bin = local_file(".", name = "tools")
system = operating_system(
    host_name = "web",
    packages = [bin],
    users = [("alice", "users")],
    essential_services = essential,
)
box = containerized(system)
same = containerized(box)
renamed = box.replace(host_name = "other")
plain = operating_system()
host = [box.host_name, system.users[0].home, len(system.services) == len(base_services)]
`)
	os := get[*system.OperatingSystem](t, e, "system")
	if os.HostName != "web" || len(os.Users) != 1 || os.Users[0].Name != "alice" || os.Contained() {
		t.Errorf("the system is %+v", os)
	}
	if os.Pos.String() != "system.star:7:10" || os.Users[0].Pos.String() != "system.star:7:10" {
		t.Errorf("made at %s and %s", os.Pos, os.Users[0].Pos)
	}
	if box := get[*system.OperatingSystem](t, e, "box"); !box.Contained() {
		t.Error("containerized made no container")
	}
	if renamed := get[*system.OperatingSystem](t, e, "renamed"); !renamed.Contained() || renamed.HostName != "other" {
		t.Error("replace lost what containerized added")
	}
	list, err := os.EssentialServices.(service.Func).Call(services.BaseServices())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := service.List(list); err != nil || len(got) != len(services.BaseServices()) {
		t.Errorf("essential_services gave %v, %v", list, err)
	}
	if got := fmt.Sprint(get[[]any](t, e, "host")); !strings.HasPrefix(got, "[web ") || !strings.HasSuffix(got, " true]") {
		t.Errorf("the attributes are %s", got)
	}
}
