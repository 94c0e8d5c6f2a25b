package journal

import "fmt"

// bufferedDisk keeps segments on the heap and writes them behind: for systems without mmap and fallocate, and for the race
// detector, which does not see mapped memory. A click is safe from the death of the process a flush later than it should be.
type bufferedDisk struct{ osFiles }

func (bufferedDisk) promise() string {
	return "clicks are written behind by a millisecond: a killed process loses those of the last one"
}

func (bufferedDisk) buffered() bool { return true }

func (bufferedDisk) allocate(f file, size int64) error { return zeroFill(f, size) }

func (bufferedDisk) attach(f file, size int) (memory, error) {
	return &bufferedMemory{file: f, mem: newWords(size)}, nil
}

type bufferedMemory struct {
	file file
	mem  []byte
}

func (m *bufferedMemory) bytes() []byte { return m.mem }

func (m *bufferedMemory) warm() error { return nil }

func (m *bufferedMemory) flush(from, to int) error {
	if _, err := m.file.WriteAt(m.mem[from:to], int64(from)); err != nil {
		return fmt.Errorf("write segment: %w", err)
	}
	return nil
}

func (m *bufferedMemory) sync(int, int) error { return m.file.Sync() }

func (m *bufferedMemory) close() error { return m.file.Close() }
