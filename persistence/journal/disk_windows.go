package journal

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/windows"
)

const errQuota = windows.ERROR_DISK_FULL

// lock takes one byte far behind the process id, so that the id stays readable. The system gives it back with the process.
func (osFiles) lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	at := &windows.Overlapped{Offset: 1 << 30}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if err != nil {
		defer f.Close()
		if !errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return nil, os.NewSyscallError("LockFileEx", err)
		}
		return nil, fmt.Errorf("%w by another process", errLocked)
	}
	writeHolder(f)
	return f, nil
}

// syncDir has no counterpart: NTFS journals names by itself.
func (osFiles) syncDir(string) error { return nil }
