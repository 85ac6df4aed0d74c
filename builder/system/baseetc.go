// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"errors"

	"osbuild/builder/derivation"
	"osbuild/builder/service"
	"osbuild/builder/services"
)

// What /etc holds where neither the declaration nor packages know better.
const (
	osRelease = `NAME="osbuild"
ID=osbuild
PRETTY_NAME="osbuild"
`
	nameSwitch = `passwd: files
group: files
shadow: files
gshadow: files
hosts: files dns
networks: files
protocols: files
services: files
`
	networkProtocols = `ip	0	IP
icmp	1	ICMP
igmp	2	IGMP
tcp	6	TCP
udp	17	UDP
gre	47	GRE
esp	50	IPSEC-ESP
ah	51	IPSEC-AH
ipv6-icmp	58	IPv6-ICMP
sctp	132	SCTP
`
	remoteCalls = `portmapper	100000	portmap sunrpc rpcbind
rstatd	100001	rstat rup perfmeter
rusersd	100002	rusers
nfs	100003	nfsprog
ypserv	100004	ypprog
mountd	100005	mount showmount
ypbind	100007
walld	100008	rwall shutdown
nlockmgr	100021
status	100024
`
	welcome = `This is \n (\s \m \r) \l

`
	loginDefs = `# Defaults of the programs that make accounts and log users in.
MAIL_DIR	/var/mail
FAILLOG_ENAB	yes
LOG_UNKFAIL_ENAB	no
ENV_SUPATH	PATH=` + services.DefaultPath + `
ENV_PATH	PATH=` + services.DefaultPath + `
UMASK	022
HOME_MODE	0700
UID_MIN	1000
UID_MAX	9999
SYS_UID_MIN	100
SYS_UID_MAX	999
GID_MIN	1000
GID_MAX	9999
SYS_GID_MIN	100
SYS_GID_MAX	999
USERGROUPS_ENAB	no
ENCRYPT_METHOD	SHA512
`
	networkServices = `ftp	21/tcp
ssh	22/tcp
telnet	23/tcp
smtp	25/tcp
domain	53/tcp
domain	53/udp
http	80/tcp
pop3	110/tcp
ntp	123/udp
imap2	143/tcp	imap
snmp	161/udp
ldap	389/tcp
https	443/tcp
submission	587/tcp
ldaps	636/tcp
imaps	993/tcp
pop3s	995/tcp
mysql	3306/tcp
postgresql	5432/tcp
`
	loginProfile = `# Read by login shells.
export PATH=` + services.DefaultPath + `
if [ -r /etc/environment ]; then
	set -a
	. /etc/environment
	set +a
fi
`
)

// baseEtc are the files of /etc that belong to no service.
func baseEtc(env *service.Env, o *OperatingSystem) ([]*services.EtcEntry, error) {
	timezone := o.Timezone
	if timezone == "" {
		timezone = "Etc/UTC"
	}
	var entries []*services.EtcEntry
	var failed error
	text := func(name, text string) {
		file, err := env.Graph.Text(name, text, false, derivation.Position{})
		failed = errors.Join(failed, err)
		entries = append(entries, &services.EtcEntry{Name: name, File: file})
	}
	text("os-release", osRelease)
	text("protocols", networkProtocols)
	text("services", networkServices)
	text("rpc", remoteCalls)
	text("issue", welcome)
	text("login.defs", loginDefs)
	for _, e := range entries {
		// Where packages bring these, theirs know more.
		e.Yields = true
	}
	text("nsswitch.conf", nameSwitch)
	text("profile", loginProfile)
	text("timezone", timezone+"\n")
	if o.Timezone != "" {
		entries = append(entries, &services.EtcEntry{Name: "localtime", File: "/usr/share/zoneinfo/" + o.Timezone})
	}
	entry, err := sudoers(env, o)
	return append(entries, entry), errors.Join(failed, err)
}
