// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package services_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"osbuild/builder/derivation"
	"osbuild/builder/golang"
	"osbuild/builder/lang"
	"osbuild/builder/service"
	"osbuild/builder/system"
	"osbuild/runner/spec"
	"osbuild/store"
)

var update = flag.Bool("update", false, "write the golden files")

// emptyTrees takes every local tree for an empty one.
type emptyTrees struct{}

func (emptyTrees) HashTree(context.Context, string, store.Filter) (store.Hash, int64, error) {
	return store.Hash{}, 0, nil
}

// anyPackage has a package of every name.
type anyPackage struct {
	graph *derivation.Graph
	items map[string]bool
}

func (a anyPackage) Package(name string, pos derivation.Position) (string, error) {
	item, err := a.graph.Derive(derivation.Derivation{Name: name, Builder: "builtin:package", Env: map[string]string{"package": name}, Pos: pos})
	a.items[item] = true
	return item, err
}

func (a anyPackage) Is(path string) bool { return a.items[path] }

func (a anyPackage) Use(service.PackagePolicy) ([]string, error) { return nil, nil }

func (a anyPackage) Root([]string, bool, derivation.Position) (string, error) {
	return a.graph.Text("root", "", false, derivation.Position{})
}

// declared is a lowered declaration.
type declared struct {
	graph  *derivation.Graph
	system system.System
}

// declare evaluates a declaration whose services are these.
func declare(t *testing.T, loads, services string) (*declared, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "system.star")
	text := fmt.Sprintf(`load("@osbuild//base.star", "base_services")
%s
system = operating_system(host_name = "ready", users = [user_account("alice", group = "users")], services = [
%s
] + base_services)
`, loads, services)
	for file, text := range map[string]string{file: text, filepath.Join(dir, "go.mod"): "module example.org/one\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := &declared{graph: derivation.NewGraph(emptyTrees{})}
	init, err := d.graph.Text("init", "", true, derivation.Position{})
	if err != nil {
		t.Fatal(err)
	}
	env := &service.Env{Graph: d.graph, Init: init, System: "x86_64-linux", Packages: anyPackage{d.graph, map[string]bool{}}}
	p, err := lang.Load(t.Context(), file, lang.Options{
		Graph:     d.graph,
		Env:       env,
		Toolchain: func() (*golang.Toolchain, error) { return &golang.Toolchain{Version: "go1.26.0"}, nil },
	})
	if err != nil {
		return nil, err
	}
	v, err := p.Value("system")
	if err != nil {
		return nil, err
	}
	contained, err := system.Containerize(v.(*system.OperatingSystem), system.ContainerOptions{})
	if err != nil {
		return nil, err
	}
	d.system, err = system.Lower(env, contained)
	return d, err
}

// texts are all text items that the system is made from, by name.
func (d *declared) texts(t *testing.T) map[string]string {
	t.Helper()
	all, seen := map[string]string{}, map[string]bool{}
	var follow func(string)
	follow = func(s string) {
		deps, err := d.graph.Deps(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, dep := range deps {
			if seen[dep] {
				continue
			}
			seen[dep] = true
			ref, ok := d.graph.Lookup(dep)
			if !ok {
				t.Fatalf("no item %s", dep)
			}
			if text, ok := d.graph.TextItem(ref.Path); ok {
				all[text.Name] = text.Text
				follow(text.Text)
			} else if drv, ok := d.graph.Derivation(ref.Drv); ok {
				if text, ok := drv.Env["text"]; ok {
					all[drv.Name] = text
				}
				for _, s := range append(slices.Collect(maps.Values(drv.Env)), drv.Args...) {
					follow(s)
				}
			}
		}
	}
	follow(string(d.system.Path))
	return all
}

func (d *declared) service(t *testing.T, name string) spec.Service {
	t.Helper()
	for _, s := range d.system.Plan.Services {
		if s.Provision[0] == name {
			return s
		}
	}
	t.Fatalf("no service %q", name)
	return spec.Service{}
}

var digest = regexp.MustCompile(`/osbuild/store/[0-9a-z]{32}-`)

// TestReadyTypes compares the configuration files, scripts and services that
// come of the ready types with golden files.
func TestReadyTypes(t *testing.T) {
	for _, test := range []struct {
		summary, loads, services string
		texts, daemons           []string
	}{
		{
			"sshd", `load("@osbuild//ssh.star", "sshd", "sshd_configuration")`, `service(sshd, sshd_configuration(
	port = 2222, listen = ["127.0.0.1", "::1"], permit_root_login = "no", host_keys = ["ed25519", "rsa"], forwarding = True, sftp = False,
	authorized_keys = {"alice": ["ssh-ed25519 AAAA alice", local_file("system.star"), "ssh-rsa BBBB"], "root": ["ssh-ed25519 CCCC"]},
	extra = "LogLevel VERBOSE\n",
))`,
			[]string{"sshd_config", "make-host-keys", "authorized-keys"},
			[]string{"ssh-host-keys", "sshd"},
		},
		{"sshd_default", `load("@osbuild//ssh.star", "sshd")`, `service(sshd)`, []string{"sshd_config"}, nil},
		{
			"nginx", `load("@osbuild//web.star", "nginx", "nginx_configuration", "nginx_location", "nginx_server")`, `service(nginx, nginx_configuration(workers = 2, servers = [
	nginx_server(listen = [8080, "[::]:8080"], names = ["example.org", "*.example.org"], root = plain_file("site", "x"), locations = [
		nginx_location("/app", proxy = "http://app.internal:8000/x"),
		nginx_location("~ \\.(php|\"x\")$", returns = "403 not \"here\""),
		nginx_location("= /here", alias = "/srv/here", extra = "autoindex on;"),
		nginx_location("/", try_files = ["$uri", "/index.html"]),
	]),
	nginx_server(listen = ["443 default_server"], certificate = "/srv/c.pem", certificate_key = secret("key"), extra = "client_max_body_size 1m;\n"),
], extra = "gzip on;\ngzip_types text/css;"))`,
			[]string{"nginx.conf", "nginx-probe.conf", "check-nginx"},
			[]string{"nginx"},
		},
		{"nginx_default", `load("@osbuild//web.star", "nginx", "nginx_configuration")`, `service(nginx, nginx_configuration(access_log = None))`, []string{"nginx.conf"}, []string{"nginx"}},
		{
			"redis", `load("@osbuild//databases.star", "redis", "redis_configuration")`, `service(redis, redis_configuration(
	port = 7000, unix_socket = "/run/redis/socket", append_only = True, max_memory = "100mb", max_memory_policy = "allkeys-lru",
	secrets = secret("redis"), extra = "hz 20",
))`,
			[]string{"redis.conf"},
			[]string{"redis-secrets", "redis"},
		},
		{
			"postgresql", `load("@osbuild//databases.star", "postgresql", "postgresql_configuration", "postgresql_database", "postgresql_role")`, `service(postgresql, postgresql_configuration(
	version = 17, port = 5433, packages = ["ip4r"], settings = {"max_connections": 20, "log_connections": True, "a.b": 1, "search_path": "it's"},
	roles = [postgresql_role("clerk", password = secret("clerk"), member_of = ["staff"]), postgresql_role("staff", login = False, create_databases = True)],
	databases = [postgresql_database("office", owner = "staff", extensions = ["ip4r"], setup = plain_file("tables.sql", "x")), ("plain",)],
))`,
			[]string{"postgresql.conf", "pg_hba.conf", "setup.sql", "make-cluster"},
			[]string{"postgresql-password-clerk", "postgresql-cluster", "postgresql-server", "postgresql"},
		},
		{
			"cron", `load("@osbuild//cron.star", "cron", "cron_configuration", "cron_job")`, `service(cron, cron_configuration(jobs = [
	cron_job("tidy", "*/10  8-18 * jan,MAR mon-fri/2", ["/bin/tidy", "it's", "100%"], user = "alice", env = {"WORDS": "a 'b'"}),
])),
simple_service("more", cron, [cron_job("greet", "@daily", script = "/bin/echo a |\n\tcat"), ("short", "@reboot", ["/bin/short"])])`,
			[]string{"crontab", "cron-tidy", "job-tidy", "cron-greet", "job-greet", "job-short"},
			[]string{"cron"},
		},
		{
			"logs", `load("@osbuild//logs.star", "log_rotation", "log_rotation_configuration", "log_rotation_rule")`, `service(log_rotation, log_rotation_configuration(rules = [
	log_rotation_rule(["/var/log/a/*.log", "/var/log/b c"], frequency = "daily", keep = 7, max_size = "10M", create = "0640 alice users", then = "/run/osbuild/herd reopen a\n"),
])),
simple_service("more", log_rotation, [log_rotation_rule(["/srv/log"], compress = False, user = "alice users")])`,
			[]string{"logrotate.conf", "cron-log-rotation", "job-log-rotation"},
			[]string{"log-rotation", "cron"},
		},
		{"logs_default", `load("@osbuild//logs.star", "log_rotation")`, `service(log_rotation)`, []string{"logrotate.conf"}, nil},
		{
			"go_service", `load("@osbuild//programs.star", "go_service", "go_service_configuration")`, `service(go_service, go_service_configuration(
	"one", src = local_file(".", name = "src"), package = "./cmd/one", args = ["-v"], env = {"MODE": "fast"}, port = 8000, open_files = 5000, reload = "SIGHUP",
)),
service(go_service, go_service_configuration(
	"two", program = package("two") + "/usr/bin/two", user = "alice", groups = ["video"], notifies = True, requirement = ["one"], config = plain_file("two.conf", "x"),
))`,
			nil,
			[]string{"one", "two"},
		},
	} {
		t.Run(test.summary, func(t *testing.T) {
			d, err := declare(t, test.loads, test.services)
			if err != nil {
				t.Fatal(err)
			}
			var got txtar.Archive
			add := func(name, text string) {
				text = digest.ReplaceAllString(text, "/osbuild/store/DIGEST-")
				if !strings.HasSuffix(text, "\n") {
					text += "\n"
				}
				got.Files = append(got.Files, txtar.File{Name: name, Data: []byte(text)})
			}
			texts := d.texts(t)
			for _, name := range test.texts {
				text, ok := texts[name]
				if !ok {
					t.Errorf("there is no text %s", name)
				}
				add(name, text)
			}
			for _, name := range test.daemons {
				plan, err := json.MarshalIndent(d.service(t, name), "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				add("service "+name, string(plan))
			}
			file := filepath.Join("testdata", test.summary+".txtar")
			if *update {
				if err := os.WriteFile(file, txtar.Format(&got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(txtar.Format(&got))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// TestReadyTypeErrors has each slip told, with the place of the value.
func TestReadyTypeErrors(t *testing.T) {
	const (
		cron     = `load("@osbuild//cron.star", "cron", "cron_configuration", "cron_job")`
		web      = `load("@osbuild//web.star", "nginx", "nginx_configuration", "nginx_server")`
		ssh      = `load("@osbuild//ssh.star", "sshd", "sshd_configuration")`
		database = `load("@osbuild//databases.star", "postgresql", "postgresql_configuration", "postgresql_database", "postgresql_role", "redis", "redis_configuration")`
		logs     = `load("@osbuild//logs.star", "log_rotation", "log_rotation_configuration", "log_rotation_rule")`
		programs = `load("@osbuild//programs.star", "go_service", "go_service_configuration")`
	)
	job := func(schedule string) string {
		return fmt.Sprintf("service(cron, cron_configuration(jobs = [cron_job(\"a\", %q, [\"/x\"])]))", schedule)
	}
	for _, test := range []struct{ summary, loads, services, want string }{
		{"port", ssh, `service(sshd, sshd_configuration(port = 70000))`, `system.star:4:41: sshd_configuration: field port: `},
		{"port text", ssh, `service(sshd, sshd_configuration(port = "22"))`, `field port: want int, got string`},
		{"root", ssh, `service(sshd, sshd_configuration(permit_root_login = "maybe"))`, `"maybe" is none of yes, no`},
		{"key type", ssh, `service(sshd, sshd_configuration(host_keys = ["dsa"]))`, `field host_keys: `},
		{"a key in place of a list", ssh, `service(sshd, sshd_configuration(authorized_keys = {"alice": "ssh-rsa A"}))`, `key "alice": want a list of files or public keys, got string`},
		{"no key", ssh, `service(sshd, sshd_configuration(authorized_keys = {"alice": ["alice.pub"]}))`, `key "alice": "alice.pub" is neither a file nor a public key`},
		{"a path as user", ssh, `service(sshd, sshd_configuration(authorized_keys = {"../a": []}))`, `"../a" is not the name of a user`},
		{"no own key", ssh, `service(sshd, sshd_configuration(host_keys = []))`, `field host_keys: fail: without a key of its own no server starts`},
		{"nowhere to listen", web, `service(nginx, nginx_configuration(servers = [nginx_server(listen = [])]))`, `field listen: fail: name at least one place`},
		{"two lines", ssh, `service(sshd, sshd_configuration(listen = ["a\nPort 1"]))`, `is not one line`},
		{"workers", web, `service(nginx, nginx_configuration(workers = 0))`, `field workers: `},
		{"quoted path", web, `service(nginx, nginx_configuration(access_log = "/a\";"))`, `is not an absolute path`},
		{"certificate alone", web, `service(nginx, nginx_configuration(servers = [nginx_server(certificate = "/c")]))`, `a certificate needs its certificate_key`},
		{"role", database, `service(postgresql, postgresql_configuration(roles = [postgresql_role("a\"b")]))`, `is not a name of letters, digits`},
		{"extension", database, `service(postgresql, postgresql_configuration(databases = [postgresql_database("a", extensions = ["x; y"])]))`, `"x; y" is not a name`},
		{"setting", database, `service(postgresql, postgresql_configuration(settings = {"a b": 1}))`, `"a b" is not a name`},
		{"setting of two lines", database, `service(postgresql, postgresql_configuration(settings = {"a": "b\nc"}))`, `is not one line`},
		{"another record", database, `service(redis, postgresql_configuration())`, `want redis_configuration, got postgresql_configuration`},
		{"few fields", cron, job("* * * *"), `five fields are needed`},
		{"minute", cron, job("60 * * * *"), `"60" is not a minute, a number from 0 to 59`},
		{"day", cron, job("0 0 0 * *"), `"0" is not a day of the month`},
		{"month", cron, job("0 0 1 janu *"), `"janu" is not a month`},
		{"weekday", cron, job("0 0 * * 8"), `"8" is not a day of the week`},
		{"backwards", cron, job("30-10 * * * *"), `ends before it begins`},
		{"step", cron, job("*/0 * * * *"), `"0" is not a step of a minute`},
		{"step alone", cron, job("5/10 * * * *"), `a step needs a range`},
		{"a nickname that is none", cron, job("@sometimes"), `is not a time`},
		{"two programs", cron, `service(cron, cron_configuration(jobs = [cron_job("a", "@daily", ["/x"], script = "y")]))`, `cron_job "a": give either argv or script`},
		{"name of a job", cron, `service(cron, cron_configuration(jobs = [cron_job("a.b", "@daily", ["/x"])]))`, `"a.b" is not a name`},
		{"twice", cron, `service(cron, cron_configuration(jobs = [cron_job("a", "@daily", ["/x"])])), simple_service("b", cron, [cron_job("a", "@daily", ["/y"])])`, `there are two jobs called "a"`},
		{"user of a job", cron, `service(cron, cron_configuration(jobs = [cron_job("a", "@daily", ["/x"], user = "bob")]))`, `the user "bob" is not declared`},
		{"a contribution of another kind", cron, `simple_service("b", cron, ["x"])`, `want cron_job, got string`},
		{"relative log", logs, `service(log_rotation, log_rotation_configuration(rules = [log_rotation_rule(["a.log"])]))`, `"a.log" is not an absolute path`},
		{"nothing to rotate", logs, `service(log_rotation, log_rotation_configuration(rules = [log_rotation_rule([])]))`, `field files: fail: name at least one file`},
		{"size", logs, `service(log_rotation, log_rotation_configuration(rules = [log_rotation_rule(["/a"], max_size = "big")]))`, `field max_size: `},
		{"mode", logs, `service(log_rotation, log_rotation_configuration(rules = [log_rotation_rule(["/a"], create = "0890 root")]))`, `field create: `},
		{"group of a rotation", logs, `service(log_rotation, log_rotation_configuration(rules = [log_rotation_rule(["/a"], user = "alice")]))`, `field user: `},
		{"frequency", logs, `service(log_rotation, log_rotation_configuration(rules = [log_rotation_rule(["/a"], "often")]))`, `"often" is none of daily`},
		{"time of rotation", logs, `service(log_rotation, log_rotation_configuration(schedule = "often"))`, `is not a time`},
		{"no value", programs, `service(go_service)`, `go_service`},
		{"two of a kind", ssh, `service(sshd), service(sshd, sshd_configuration(port = 2222))`, `system.star:4:16: cannot declare user "sshd" twice (`},
		{"wrong value", programs, `service(go_service, "x")`, `a go_service needs a go_service_configuration, got string`},
		{"neither", programs, `service(go_service, go_service_configuration("a"))`, `give either src or program`},
		{"two ways to be ready", programs, `service(go_service, go_service_configuration("a", program = "/x", port = 1, notifies = True))`, `give one of them`},
		{"signal", programs, `service(go_service, go_service_configuration("a", program = "/x", reload = "HUP"))`, `"HUP" is no signal`},
		{"undeclared user", programs, `service(go_service, go_service_configuration("a", program = "/x", user = "bob"))`, `system.star:4:1: cannot start service "a": the user "bob" is not declared`},
	} {
		t.Run(test.summary, func(t *testing.T) {
			_, err := declare(t, test.loads, test.services)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

// TestSSHUser: whoever may have an account may have keys.
func TestSSHUser(t *testing.T) {
	_, err := declare(t, `load("@osbuild//ssh.star", "sshd", "sshd_configuration")`,
		`service(sshd, sshd_configuration(authorized_keys = {"john.doe": ["ssh-ed25519 A"]}))`)
	if err != nil {
		t.Error(err)
	}
}
