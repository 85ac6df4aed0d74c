// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package lang

import (
	"os"
	"testing"
)

func BenchmarkLoad(b *testing.B) {
	for name, text := range map[string]string{
		"empty": "",
		"large": `load("@osbuild//base.star", "account")
all = [simple_service("s%d" % i, account, [user_account("u%d" % i, group = "users", home = plain_file("h", "%d" % i))]) for i in range(2000)]
`,
	} {
		b.Run(name, func(b *testing.B) {
			b.Chdir(b.TempDir())
			if err := os.WriteFile("system.star", []byte(text), 0o644); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := loadFile("system.star"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
