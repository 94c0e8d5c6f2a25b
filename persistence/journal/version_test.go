package journal

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// version1 copies a journal that a program of format version 1 left, with 40 clicks in six segments.
func version1(t *testing.T) Config {
	t.Helper()
	cfg := testConfig(t.TempDir())
	if err := os.CopyFS(cfg.Dir, os.DirFS(filepath.Join("testdata", "version1"))); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// An upgrade loses nothing: the old segments are read to their end, also from within, the new ones behind them.
func TestVersion1IsRead(t *testing.T) {
	cfg := version1(t)
	j := open(t, cfg)
	first, middle, err := j.Read(0, 13, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantClicks(t, first, 0, 13, testClick)
	appendClicks(t, j, 0, 40, 100, mixedClick)
	closeJournal(t, j)

	j = open(t, cfg)
	if err := j.Seek(0, middle); err != nil {
		t.Fatal(err)
	}
	got, end := readAll(t, j, 0)
	wantClicks(t, got[:27], 13, 40, testClick)
	wantClicks(t, got[27:], 40, 100, mixedClick)
	if s := j.Stats(); s.Holes+s.DamagedRecords+s.DamagedSegments+s.LostUserAgents+s.Gaps != 0 {
		t.Errorf("damage in Stats = %+v", s)
	}
	if end < j.Recovered(0) {
		t.Errorf("read to %d, Recovered = %d", end, j.Recovered(0))
	}
	if err := j.Release(0, end); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	if names := segmentFiles(t, cfg.Dir); len(names) != 0 {
		t.Errorf("%v are left, want none", names)
	}
}

// A file of version 1 that was released is used again under this version.
func TestVersion1IsRecycled(t *testing.T) {
	cfg := version1(t)
	cfg.SegmentBytes = SegmentBytesMin
	old := segmentFiles(t, cfg.Dir)
	j := open(t, cfg)
	_, pos := readAll(t, j, 0)
	if err := j.Release(0, pos); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old files are gone, or wait for their next use", func() bool {
		return !slices.ContainsFunc(segmentFiles(t, cfg.Dir), func(name string) bool { return slices.Contains(old, name) })
	})
	if n := glob(t, cfg.Dir, "*"+freeSuffix); n != 1 {
		t.Fatalf("%d files wait for their next use, want 1", n)
	}
	for n := 40; n < 400; n += 20 {
		appendClicks(t, j, 0, n, n+20, mixedClick)
		got, _ := readAll(t, j, 0)
		wantClicks(t, got, n, n+20, mixedClick)
	}
}

// What a later version wrote is kept for it.
func TestLaterVersionIsPutAside(t *testing.T) {
	for name, version := range map[string]uint32{"later version": headerVersion + 1, "older version with other slots": 1} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			j := open(t, cfg)
			appendClicks(t, j, 0, 0, 3, smallClick)
			closeJournal(t, j)
			change(t, segmentFiles(t, cfg.Dir)[0], func(b []byte) []byte {
				binary.LittleEndian.PutUint32(b[8:], version)
				binary.LittleEndian.PutUint32(b[headerCRC:], crcOf(b[:headerCRC]))
				return b
			})
			j = open(t, cfg)
			if got, _ := readAll(t, j, 0); len(got) != 0 {
				t.Errorf("read %v, want nothing", links(got))
			}
			if n := glob(t, cfg.Dir, "*"+damagedSuffix); n != 1 || j.Stats().DamagedSegments != 1 {
				t.Errorf("%d files were put aside, %d counted; want 1", n, j.Stats().DamagedSegments)
			}
		})
	}
}
