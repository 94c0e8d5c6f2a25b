//go:build unix && !linux

package testservices

import "syscall"

// processAttr leaves the server in the test's process group, so that a Ctrl-C reaches it too: there is no parent-death signal.
func processAttr(user *syscall.Credential, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: user}
}
