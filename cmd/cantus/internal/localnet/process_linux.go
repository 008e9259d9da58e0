package localnet

import "syscall"

// childAttr puts a child in a process group of its own, so that Ctrl-C reaches only us
// and we stop it in order, and has the kernel stop it should we be killed.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
