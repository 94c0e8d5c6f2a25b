package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// disk is every call the journal makes to the operating system, so that tests can let each of them fail. Safe for
// concurrent use.
type disk interface {
	// mkdir makes dir and its parents, if they are missing, and their names durable.
	mkdir(dir string) error
	// lock takes the lock file until the closer is closed; errLocked when another process has it.
	lock(name string) (io.Closer, error)
	// list names the files in dir, sorted.
	list(dir string) ([]string, error)
	// open is os.OpenFile.
	open(name string, flag int) (file, error)
	// allocate gives the file size bytes of zeros that are really there: writing to them later can't meet a full disk.
	allocate(f file, size int64) error
	// attach makes the file's first size bytes, which are allocated and zero but for the header, writable as memory, and takes
	// over f also when it fails. Without mmap the memory begins as zeros, and the header is not in it.
	attach(f file, size int) (memory, error)
	rename(from, to string) error
	remove(name string) error
	// syncDir makes names in dir durable.
	syncDir(dir string) error
	// promise is one sentence on what survives the death of the process.
	promise() string
	// buffered reports that memory needs flush.
	buffered() bool
}

// file is what the journal needs of an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Name() string
	Size() (int64, error)
	Sync() error
}

// memory is one segment's bytes. Appenders write to them without any call; the rest is called by one goroutine at a time.
type memory interface {
	bytes() []byte
	// warm makes sure that the next write to any of the bytes waits for no disk. After an error none may be written.
	warm() error
	// flush hands the range, which nobody writes any more, to the operating system: from then on it survives the process.
	flush(from, to int) error
	// sync makes the range, which has been flushed, durable.
	sync(from, to int) error
	// close ends it; touching the bytes after that is fatal.
	close() error
}

// errNotTried goes with a sync that could not begin, for want of a descriptor: nothing is lost by it, and the next one may succeed.
var errNotTried = errors.New("not tried")

// errLocked says that another process has the journal.
var errLocked = errors.New("directory is locked")

// isFull reports whether err says that there is no space; anything else that goes wrong is not cured by waiting for it.
func isFull(err error) bool {
	return errors.Is(err, errBytesMax) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, errQuota)
}

// osFiles is the part of disk that is the same on every system.
type osFiles struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Sync() error {
	failpoint("sync")
	return f.File.Sync()
}

func (d osFiles) mkdir(dir string) error {
	var made []string // innermost first
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
			break
		}
		made = append(made, at)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for _, at := range made {
		if err := d.syncDir(filepath.Dir(at)); err != nil {
			return err
		}
	}
	return nil
}

func (osFiles) list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (osFiles) open(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, flag, 0o640)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFiles) rename(from, to string) error {
	err := os.Rename(from, to)
	failpoint("rename")
	return err
}

func (osFiles) remove(name string) error { return os.Remove(name) }

// zeroFill allocates by writing, where there is no call for it. A file system that copies on write may still run out later.
func zeroFill(f io.WriterAt, size int64) error {
	zeros := make([]byte, min(size, 1<<20))
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off); err != nil {
			return fmt.Errorf("fill with zeros: %w", err)
		}
	}
	return nil
}

// writeHolder notes this process in the lock file, for the message of the one that finds it locked. Without room on the disk there is no note.
func writeHolder(f *os.File) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
}
