//go:build unix && !linux

package localnet

import "syscall"

// childAttr puts a child in a process group of its own, so that Ctrl-C reaches only us
// and we stop it in order.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
