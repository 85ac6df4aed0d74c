// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"osbuild/runner/idmap"
	"osbuild/runner/mount"
	"osbuild/runner/spec"
)

// job is one process in namespaces of its own, as data.
type job struct {
	plan mount.Plan
	ids  ids
	// userNS is the container's user namespace, when the outer stage is root.
	userNS *os.File
	// namespaces are the CLONE_NEW flags besides those of user and mount.
	namespaces uint64
	// group is the control group that the process begins in, if not the runner's.
	group *os.File
	// hostName is set in an own UTS namespace, when not empty.
	hostName string
	// files become the descriptors from 0, in order. No other one is left.
	files []*os.File
	argv  []string
	env   []string
	dir   string
	// reaper keeps PID 1 for the runner's own loop, which reaps orphans and
	// reports how the program ended; the program is then PID 2.
	reaper bool
	// noNewPrivileges says that no exec gives the program more than it has.
	noNewPrivileges bool
}

// ids say which user namespaces the two stages have.
type ids struct {
	// asRoot: the outer stage has the host's ids, and the container's map is
	// inner. Otherwise the outer stage has a namespace of its own with the map
	// outer, and inner is the map of the container's within that.
	asRoot       bool
	outer, inner spec.IDMap
	// helpers: outer takes newuidmap and newgidmap to write.
	helpers bool
	// denyGroups: the kernel wants setgroups(2) given up before such a map.
	denyGroups bool
}

// pipes connect the runner with the process it makes.
type pipes struct {
	// Records come up; one byte goes down for each stage that waits.
	upR, upW, downR, downW *os.File
	// up is the number of upR. To ask that for it would make it block, and so
	// keep a thread and the scheduler busy while the runner waits.
	up int
}

func newPipes() (p pipes, err error) {
	var up, down [2]int
	if err = unix.Pipe2(up[:], unix.O_CLOEXEC); err == nil {
		// Of the two ends only this one: children know of no such thing.
		err = unix.SetNonblock(up[0], true)
		p.up, p.upR, p.upW = up[0], os.NewFile(uintptr(up[0]), "|0"), os.NewFile(uintptr(up[1]), "|1")
		if err == nil {
			err = blockUnpolled(p.upR, up[0])
		}
		if err == nil {
			err = unix.Pipe2(down[:], unix.O_CLOEXEC)
		}
		if err == nil {
			p.downR, p.downW = os.NewFile(uintptr(down[0]), "|0"), os.NewFile(uintptr(down[1]), "|1")
			return p, nil
		}
		p.upR.Close()
		p.upW.Close()
	}
	return p, fmt.Errorf("cannot make pipes: %w", err)
}

// blockUnpolled makes a file whose number is fd block where the poller has not
// taken it: a user may have only so many files there (/proc/sys/fs/epoll, see
// epoll(7)). To read it would be an error otherwise.
func blockUnpolled(f *os.File, fd int) error {
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		return unix.SetNonblock(fd, false)
	}
	return nil
}

func (p pipes) close() {
	for _, f := range []*os.File{p.upR, p.upW, p.downR, p.downW} {
		f.Close()
	}
}

// Registers of a job's code.
const (
	regChild = mount.FirstFreeReg + iota
	regTemp
	regFile // and the following
)

// maxFiles is how many descriptors a job can hand on.
const maxFiles = int(mount.Regs - regFile)

// asm writes the code of a job.
type asm struct {
	*mount.Code
	job *job
	up  uintptr
	// down is where a stage waits for a byte.
	down uintptr
}

// code is everything the two stages do. mapFD is the container's user
// namespace, when the outer stage runs as root.
func (j *job) code(p pipes, mapFD int) (*mount.Code, error) {
	if len(j.files) > maxFiles {
		return nil, fmt.Errorf("cannot pass %d descriptors", len(j.files))
	}
	a := asm{Code: &mount.Code{}, job: j, up: p.upW.Fd(), down: p.downR.Fd()}
	steps := mount.Assembler{Code: a.Code, IDs: j.ids.inner, MapFD: mapFD}

	a.Begin("leave the runner")
	a.Do(unix.SYS_CLOSE, uintptr(p.up))
	a.Do(unix.SYS_CLOSE, p.downW.Fd())
	a.Do(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	if !j.ids.asRoot {
		a.await()
		a.become(0, 0)
	}
	a.Do(unix.SYS_UMASK, 0)
	a.Begin("keep the host's mounts apart")
	a.Do(unix.SYS_MOUNT, a.Text("none"), a.Text("/"), 0, unix.MS_REC|unix.MS_PRIVATE, 0)
	if err := steps.Add(j.plan, mount.Outer); err != nil {
		a.Release()
		return nil, err
	}
	inner := a.secondStage(mapFD)
	a.Instrs[inner].Jump = a.Next()

	a.await()
	a.become(j.ids.inner.UIDs[0].Inside, j.ids.inner.GIDs[0].Inside)
	a.dieWithRunner()
	a.enterRoot()
	if err := steps.Add(j.plan, mount.Inner); err != nil {
		a.Release()
		return nil, err
	}
	a.leaveHost()
	a.settings()
	if j.reaper {
		a.split()
	}
	a.descriptors()
	a.exec(j.dir, j.argv, j.env)
	return a.Code, nil
}

// await waits for a byte from the runner, which is missing when it died.
func (a asm) await() {
	a.Begin("hear from the runner")
	in := a.Do(unix.SYS_READ, a.down, a.Bytes(make([]byte, 1)), 1)
	in.Exact, in.Want = true, 1
}

// become takes an id of the stage's own user namespace and drops all groups.
func (a asm) become(uid, gid int) {
	a.Begin("take the ids of the container")
	if !a.job.ids.denyGroups {
		a.Do(unix.SYS_SETGROUPS, 0, 0)
	}
	a.Do(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
	a.Do(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
}

// secondStage clones the container's namespaces from the finished tree and ends
// the first stage. It returns the index of the fork.
func (a asm) secondStage(mapFD int) int {
	j := a.job
	flags := j.namespaces | unix.CLONE_PARENT | unix.CLONE_NEWNS
	a.Begin("make the container's namespaces")
	if j.ids.asRoot {
		a.Do(unix.SYS_SETNS, uintptr(mapFD), unix.CLONE_NEWUSER)
		// Before the namespaces exist: the kernel makes the files of some, such
		// as a message queue's, as belonging to who made them.
		a.become(j.ids.inner.UIDs[0].Inside, j.ids.inner.GIDs[0].Inside)
		a.Begin("make the container's namespaces")
	} else {
		flags |= unix.CLONE_NEWUSER
	}
	fork := int(a.Next())
	// Its parent is the runner, so that the runner gets its real status.
	a.Do(mount.DoFork, mount.Data(a.Code, &cloneArgs{flags: flags})).Save = regChild
	if !j.ids.asRoot {
		a.Begin("map the container's ids")
		if j.ids.denyGroups {
			a.writeOf("setgroups", "deny", true)
		}
		a.writeOf("uid_map", idmap.Format(j.ids.inner.UIDs), false)
		a.writeOf("gid_map", idmap.Format(j.ids.inner.GIDs), false)
	}
	a.Do(mount.DoReport, recordPID).From[1] = regChild
	a.Do(unix.SYS_EXIT_GROUP, 0)
	return fork
}

// writeOf writes a file in /proc of the second stage.
func (a asm) writeOf(name, text string, optional bool) {
	start := a.Next()
	path := make([]byte, 0, 64)
	path = append(path, "/proc/"...)
	path = append(path, make([]byte, mount.Digits)...)
	path = a.Copy(append(path, "/"+name+"\x00"...))
	in := a.Do(mount.DoDecimal)
	in.From[0] = regChild
	in.Number = (*[mount.Digits]byte)(path[len("/proc/"):])
	a.Do(unix.SYS_OPENAT, mount.AtCwd(), uintptr(unsafe.Pointer(&path[0])), unix.O_WRONLY|unix.O_CLOEXEC).Save = regTemp
	in = a.Do(unix.SYS_WRITE, 0, a.Bytes([]byte(text)), uintptr(len(text)))
	in.From[0], in.Exact, in.Want = regTemp, true, uintptr(len(text))
	a.Do(unix.SYS_CLOSE).From[0] = regTemp
	if optional {
		a.SkipFrom(start)
	}
}

// dieWithRunner asks the kernel for SIGKILL when the runner ends. It comes after
// the last change of ids, which would undo it.
func (a asm) dieWithRunner() {
	a.Begin("stay bound to the runner")
	a.Do(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	// The runner may have died before: then the pipe has no reader.
	fds := &unix.PollFd{Fd: int32(a.up)}
	in := a.Do(unix.SYS_PPOLL, mount.Data(a.Code, fds), 1, mount.Data(a.Code, &unix.Timespec{}), 0, 0)
	in.Exact = true
	// /proc/PID of a process with the runner's memory is nobody's business.
	a.Do(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
}

// enterRoot makes an unlocked copy of the new root. The root of the copied
// namespace is locked in place; what is below stays locked in the copy too.
func (a asm) enterRoot() {
	a.Begin("enter the root file system")
	a.Do(unix.SYS_OPEN_TREE, mount.AtCwd(), a.Text("."), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE).Save = mount.RegRoot
	a.Do(unix.SYS_MOVE_MOUNT, 0, a.Text(""), mount.AtCwd(), a.Text("."), unix.MOVE_MOUNT_F_EMPTY_PATH).From[0] = mount.RegRoot
	a.Do(unix.SYS_FCHDIR).From[0] = mount.RegRoot
}

// leaveHost makes the current folder "/", and the host's tree unreachable.
func (a asm) leaveHost() {
	a.Begin("leave the host's file system")
	a.Do(unix.SYS_PIVOT_ROOT, a.Text("."), a.Text("."))
	a.Do(unix.SYS_UMOUNT2, a.Text("."), unix.MNT_DETACH)
	a.Do(unix.SYS_CHDIR, a.Text("/"))
}

// settings are those of the namespaces and those that every process inherits.
func (a asm) settings() {
	j := a.job
	if j.hostName != "" && j.namespaces&unix.CLONE_NEWUTS != 0 {
		a.Begin("set the host name " + j.hostName)
		a.Do(unix.SYS_SETHOSTNAME, a.Bytes([]byte(j.hostName)), uintptr(len(j.hostName)))
	}
	if j.namespaces&unix.CLONE_NEWNET != 0 {
		a.loopback()
	}
	a.Begin("leave the caller's keys")
	start := a.Next()
	a.Do(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	a.SkipFrom(start) // a kernel without keys has none to leave
	a.limits()
	if j.noNewPrivileges {
		a.Do(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
}

// limits are the umask and the resource limits of every program.
func (a asm) limits() {
	a.Begin("set limits")
	a.Do(unix.SYS_UMASK, 0o022)
	a.Do(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, mount.Data(a.Code, &unix.Rlimit{}), 0)
	// Go raises the soft limit of its own process; programs that use select(2)
	// must not inherit that.
	files := &unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, files); err == nil {
		files.Cur = min(files.Max, 1024)
		a.Do(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, mount.Data(a.Code, files), 0)
	}
}

// loopback brings lo up: SIOCSIFFLAGS with IFF_UP.
func (a asm) loopback() {
	a.Begin("bring the network interface lo up")
	request := make([]byte, 40) // struct ifreq: the name, then the flags
	copy(request, "lo")
	*(*uint16)(unsafe.Pointer(&request[unix.IFNAMSIZ])) = unix.IFF_UP | unix.IFF_RUNNING
	a.Do(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).Save = regTemp
	a.Do(unix.SYS_IOCTL, 0, unix.SIOCSIFFLAGS, a.Bytes(request)).From[0] = regTemp
	a.Do(unix.SYS_CLOSE).From[0] = regTemp
}

// split leaves this process as the reaper; a child goes on.
func (a asm) split() {
	a.Begin("start the program")
	a.hideArguments()
	fork := int(a.Next())
	// The child needs no memory of its own for the few calls up to its execve.
	args, how := &cloneArgs{exitSignal: uint64(unix.SIGCHLD)}, mount.DoFork
	if cloneVM != 0 {
		args.flags, how = cloneVM|unix.CLONE_VFORK, mount.DoForkOn
		args.stack, args.stackSize = uint64(a.Bytes(make([]byte, childStack))), childStack
	}
	a.Do(how, mount.Data(a.Code, args)).Save = regChild
	a.Do(unix.SYS_CLOSE_RANGE, 0, a.up-1, 0)
	a.Do(unix.SYS_CLOSE_RANGE, a.up+1, uintptr(^uint32(0)), 0)
	a.Do(mount.DoReap, 0, recordStatus).From[0] = regChild
	a.Instrs[fork].Jump = a.Next()
}

// hideArguments clears the runner's command line from this process, where a
// program of the container could read it: it names folders of the host.
func (a asm) hideArguments() {
	if len(os.Args) == 0 || os.Args[0] == "" {
		return
	}
	size := len(os.Args[0])
	for i, arg := range os.Args[1:] {
		// Only while they lie one behind the other, as the kernel put them.
		if arg == "" || uintptr(unsafe.Pointer(unsafe.StringData(arg))) != uintptr(unsafe.Pointer(unsafe.StringData(os.Args[i])))+uintptr(len(os.Args[i]))+1 {
			break
		}
		size += 1 + len(arg)
	}
	a.Do(unix.SYS_OPENAT, mount.AtCwd(), a.Text("/dev/zero"), unix.O_RDONLY|unix.O_CLOEXEC).Save = regTemp
	a.Do(unix.SYS_READ, 0, uintptr(unsafe.Pointer(unsafe.StringData(os.Args[0]))), uintptr(size)).From[0] = regTemp
	a.Do(unix.SYS_CLOSE).From[0] = regTemp
	a.Do(unix.SYS_PRCTL, unix.PR_SET_NAME, a.Text("osbuild"))
}

// descriptors starts a session and hands the descriptors on, to 0 and up.
func (a asm) descriptors() {
	a.Begin("start a session")
	a.Do(unix.SYS_SETSID)
	a.Begin("pass descriptors")
	files := a.job.files
	for i, f := range files {
		// First out of the way of the numbers they are to get.
		a.Do(unix.SYS_FCNTL, f.Fd(), unix.F_DUPFD_CLOEXEC, 64).Save = regFile + mount.Reg(i)
	}
	for i := range files {
		a.Do(unix.SYS_DUP3, 0, uintptr(i), 0).From[0] = regFile + mount.Reg(i)
	}
	a.Do(unix.SYS_CLOSE_RANGE, uintptr(len(files)), uintptr(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC)
}

// exec goes to the folder, unblocks signals and executes the program.
func (a asm) exec(dir string, argv, env []string) {
	if dir == "" {
		dir = "/"
	}
	a.Begin("enter the folder " + dir)
	a.Do(unix.SYS_CHDIR, a.Text(dir))
	a.Begin(executeLabel + argv[0])
	a.Do(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, mount.Data(a.Code, new(uint64)), 0, 8)
	a.Do(unix.SYS_EXECVE, a.Text(argv[0]), a.Strings(argv), a.Strings(env))
}
