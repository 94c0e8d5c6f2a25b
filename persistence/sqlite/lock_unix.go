//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// acquireLock takes the lock or returns ErrLocked, with the holder's process id when that can be read.
func acquireLock(path string) (*fileLock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(file, 32)) // only to help whoever reads the error
		err := errors.Join(lockError(err, strings.TrimSpace(string(holder))), file.Close())
		return nil, err
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(file, "%d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the process id: %w", err), file.Close())
	}
	return &fileLock{file: file}, nil
}

func lockError(err error, holder string) error {
	switch {
	case !errors.Is(err, unix.EWOULDBLOCK):
		return err
	case holder == "":
		return ErrLocked
	}
	return fmt.Errorf("%w (process %s)", ErrLocked, holder)
}
