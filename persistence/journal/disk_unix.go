//go:build unix

package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const errQuota = unix.EDQUOT

// lock takes the file by flock, which ends with the process however it ends, and writes the process id into it.
func (osFiles) lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, os.NewSyscallError("flock", err)
		}
		holder, _ := io.ReadAll(io.LimitReader(f, 32)) // only for the message
		return nil, fmt.Errorf("%w by process %s", errLocked, strings.TrimSpace(string(holder)))
	}
	writeHolder(f)
	return f, nil
}

func (osFiles) syncDir(dir string) error {
	failpoint("sync")
	f, err := os.Open(dir)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return fmt.Errorf("%w: %w", errNotTried, err)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
