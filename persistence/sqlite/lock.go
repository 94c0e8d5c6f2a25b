package sqlite

import (
	"errors"
	"os"
)

// ErrLocked says that another process has the store open.
var ErrLocked = errors.New("the store is held by another process")

// fileLock is the lock beside the database file. It goes with the process, however that ends; the file stays.
type fileLock struct{ file *os.File }

// release gives the lock up; twice and on nil is fine.
func (l *fileLock) release() error {
	if l == nil || l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}
