package journal

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSyncsBeginAtAPage holds for systems whose pages are larger than this one's, too.
func TestSyncsBeginAtAPage(t *testing.T) {
	const most = 1 << 20
	for _, tt := range []struct{ from, to, page, wantFrom, wantTo int }{
		{0, 64, 4 << 10, 0, 4 << 10},
		{4 << 10, 8 << 10, 4 << 10, 4 << 10, 8 << 10},
		{5000, 9000, 4 << 10, 4 << 10, 12 << 10},
		{4 << 10, 8 << 10, 16 << 10, 0, 16 << 10},
		{60 << 10, 70 << 10, 64 << 10, 0, 128 << 10},
		{most - 10, most, 64 << 10, most - 64<<10, most},
	} {
		if from, to := wholePages(tt.from, tt.to, most, tt.page); from != tt.wantFrom || to != tt.wantTo {
			t.Errorf("%d to %d in pages of %d = %d to %d, want %d to %d", tt.from, tt.to, tt.page, from, to, tt.wantFrom, tt.wantTo)
		}
	}
}

// TestMemoryWithoutAPageIsAnError maps behind a file's end, where a touch is a SIGBUS.
func TestMemoryWithoutAPageIsAnError(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "segment"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mem, err := unix.Mmap(int(f.Fd()), 0, 2*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	m := mappedMemory(mem)
	if err := m.warm(); err == nil {
		t.Error("warm() of memory that has no pages = nil, want an error")
	}
	if err := m.close(); err != nil {
		t.Error(err)
	}
}
