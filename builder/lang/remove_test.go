// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"fmt"
	"testing"
)

func TestRemoveServiceExtensions(t *testing.T) {
	e := mustEvaluate(t, prelude+`
c = configuration("c", {"name": str})
pool = service_type("pool", default = ["own"], extend = lambda value, more: value + more)
names = service_type("names", default = [], extend = lambda value, more: value + more)
web = service_type("web", default = c(name = "web"), extensions = [
    extension(pool, lambda conf: [conf.name]), extension(names, lambda conf: [conf.name]),
])
bare = remove_service_extensions(web, [pool])
list = [service(web), service(bare), service(bare, c(name = "other")), service(bare, ("third",)), service(pool), service(names)]
kinds = [s.type.name for s in list]
same = bare == web
`)
	for name, want := range map[string]string{
		"pool": `["own", "web"]`, "names": `["web", "web", "other", "third"]`,
	} {
		got, err := fold(t, e, "list", name)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	if get[bool](t, e, "same") {
		t.Error("the copy is the type itself")
	}
	for text, want := range map[string]string{
		`x = remove_service_extensions(account, [hosts])`: `system.star:3:5: cannot remove the extension of "hosts" from service type "account": it does not extend that`,
		`x = remove_service_extensions(account, hosts)`:   `system.star:3:40: remove_service_extensions: argument targets: want list of service_type, got service_type (write [...] around it)`,
	} {
		_, err := evaluate(t, "-- system.star --\n"+prelude+"load(\"@osbuild//base.star\", \"hosts\")\n"+text+"\n")
		if err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}
