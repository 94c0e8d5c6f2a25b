//go:build !unix

package sqlite

import "os"

// acquireLock opens the lock file, which other systems than Unix do not lock: there, that only one process opens the store
// is up to the operator.
func acquireLock(path string) (*fileLock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &fileLock{file: file}, nil
}
