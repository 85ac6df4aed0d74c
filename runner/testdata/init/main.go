// SPDX-FileCopyrightText: The osbuild authors
// SPDX-License-Identifier: Apache-2.0

// Command init is a PID 1 for the runner's tests: it speaks the control
// protocol and does what its boot document says, good or bad.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"osbuild/runner/spec"
)

// document is what follows the first line of the boot file.
type document struct {
	// Reply is the answer to OpWait.
	Reply spec.Reply `json:"reply"`
	// Exit is the status at the power-off, and at the start with Die.
	Exit int  `json:"exit"`
	Die  bool `json:"die"`
	// Signal is sent to itself at the start.
	Deaf bool `json:"deaf"`
	// Stubborn ignores the end of the control socket and all signals.
	Stubborn bool `json:"stubborn"`
}

func main() {
	data, err := os.ReadFile(os.Args[2])
	check(err)
	_, text, _ := bytes.Cut(data, []byte("\n"))
	var d document
	check(json.Unmarshal(text, &d))
	console := os.NewFile(spec.ConsoleFD, "console")
	fmt.Fprintln(console, "fake init: up as", os.Args[1:])
	if d.Die {
		os.Exit(d.Exit)
	}
	if d.Stubborn {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
	control := os.NewFile(spec.ControlFD, "control")
	syscall.CloseOnExec(spec.ControlFD)
	syscall.CloseOnExec(spec.ConsoleFD)
	sc := bufio.NewScanner(control)
	var mu sync.Mutex
	send := func(r spec.Reply) {
		mu.Lock()
		defer mu.Unlock()
		check(json.NewEncoder(control).Encode(r))
	}
	for sc.Scan() {
		if d.Deaf {
			continue
		}
		var r spec.Request
		check(json.Unmarshal(sc.Bytes(), &r))
		reply := spec.Reply{ID: r.ID}
		switch r.Op {
		case spec.OpWait:
			reply = d.Reply
			reply.ID = r.ID
		case spec.OpRun:
			go func() {
				exit, err := run(r.Process)
				reply.Exit = exit
				if err != nil {
					reply.Error = err.Error()
				}
				send(reply)
			}()
			continue
		case spec.OpPowerOff:
			send(reply)
			fmt.Fprintln(console, "fake init: powering off")
			os.Exit(d.Exit)
		default:
			reply.Error = "unknown request"
		}
		send(reply)
	}
	if d.Stubborn {
		select {}
	}
	os.Exit(1)
}

func run(p *spec.Process) (*spec.Exit, error) {
	cmd := exec.Command(p.Argv[0], p.Argv[1:]...)
	cmd.Env, cmd.Dir = p.Env, p.Directory
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_ = cmd.Wait()
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return &spec.Exit{Signal: int(ws.Signal())}, nil
	}
	return &spec.Exit{Code: ws.ExitStatus()}, nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake init:", err)
		os.Exit(99)
	}
}
