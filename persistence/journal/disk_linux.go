package journal

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mappedDisk maps segments into memory, so that a click is in the page cache, out of the process's hands, with the store
// instruction that writes it.
type mappedDisk struct {
	osFiles
}

func newDisk() disk { return mappedDisk{} }

func (mappedDisk) promise() string { return "recorded clicks survive the death of the process" }

func (mappedDisk) buffered() bool { return false }

// allocate never leaves a sparse file: a store to a page that the disk has no room for is a SIGBUS, which no program survives,
// while fallocate says so here.
func (mappedDisk) allocate(f file, size int64) error {
	osf, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return zeroFill(f, size)
	}
	for {
		err := unix.Fallocate(int(osf.Fd()), 0, 0, size)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return zeroFill(f, size)
		default:
			return os.NewSyscallError("fallocate", err)
		}
	}
}

func (mappedDisk) attach(f file, size int) (memory, error) {
	osf, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return nil, errors.Join(fmt.Errorf("map %q: it has no descriptor", f.Name()), f.Close())
	}
	mem, err := unix.Mmap(int(osf.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	// The mapping keeps the file; a descriptor for each of hundreds of segments would be taken from the sockets.
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = errors.Join(closeErr, unix.Munmap(mem))
	}
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	m := mappedMemory(mem)
	if err := m.warm(); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

type mappedMemory []byte

func (m mappedMemory) bytes() []byte { return m }

// warm takes the page faults here: on the request path one stops a thread with its processor for as long as the disk likes
// (28 ms were seen).
func (m mappedMemory) warm() error {
	switch err := unix.Madvise(m, unix.MADV_POPULATE_WRITE); {
	case err == nil:
		return nil
	case errors.Is(err, unix.EFAULT), errors.Is(err, unix.EHWPOISON): // a touch would be a SIGBUS: there is no page for it
		return os.NewSyscallError("madvise", err)
	}
	for off := 0; off < len(m); off += pageBytes { // before Linux 5.14; the commit word keeps its value
		storeWord(m, off, loadWord(m, off))
	}
	return nil
}

// flush has nothing to do: the page cache has every store.
func (m mappedMemory) flush(int, int) error { return nil }

func (m mappedMemory) sync(from, to int) error {
	failpoint("sync")
	from, to = wholePages(from, to, len(m), os.Getpagesize())
	return os.NewSyscallError("msync", unix.Msync(m[from:to], unix.MS_SYNC))
}

func (m mappedMemory) close() error { return os.NewSyscallError("munmap", unix.Munmap(m)) }

// wholePages widens a range to the system's pages, of 4, 16 or 64 KiB: msync refuses one that begins within a page.
func wholePages(from, to, most, page int) (int, int) {
	return from / page * page, min((to+page-1)/page*page, most)
}
