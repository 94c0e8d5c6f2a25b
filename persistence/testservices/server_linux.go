package testservices

import "syscall"

// processAttr makes the kernel end the server when the test process dies, however it dies.
func processAttr(user *syscall.Credential, orphan syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: user, Pdeathsig: orphan, Setpgid: true}
}
