package journal

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// The damages are done to a lane of three segments with 126 one-slot records each but the last, which has 20: numbers 1 to 126,
// 127 to 252, 253 to 272.
const (
	damagePerSegment = 126
	damageTotal      = 272
)

func span(from, to int) (out []int) {
	for n := from; n <= to; n++ {
		out = append(out, n)
	}
	return out
}

func without(lost ...int) []int {
	return slices.DeleteFunc(span(1, damageTotal), func(n int) bool { return slices.Contains(lost, n) })
}

func TestNamedDamages(t *testing.T) {
	type figures struct{ holes, records, segments, gaps uint64 }
	at := func(n int) int { return ((n-1)%damagePerSegment + firstSlot) * slotSize } // where record n is in its file
	for _, tt := range []struct {
		name    string
		damage  func(t *testing.T, dir string, files []string)
		seek    func(segments []uint64) engine.Position
		survive []int
		want    figures
	}{
		{
			name:    "nothing",
			survive: without(),
		},
		{
			name: "torn tail",
			damage: func(t *testing.T, _ string, files []string) {
				change(t, files[2], func(b []byte) []byte { clear(b[at(272)+offStatus : at(272)+slotSize]); return b })
			},
			survive: without(272),
			want:    figures{records: 1},
		},
		{
			name: "flipped bit",
			damage: func(t *testing.T, _ string, files []string) {
				change(t, files[1], func(b []byte) []byte { b[at(133)+offLink] ^= 0x10; return b })
			},
			survive: without(133),
			want:    figures{records: 1},
		},
		{
			name: "flipped bit in a length",
			damage: func(t *testing.T, _ string, files []string) {
				change(t, files[1], func(b []byte) []byte { b[at(133)+offReferrer+1] ^= 0x02; return b })
			},
			survive: without(133),
			want:    figures{records: 1},
		},
		{
			name: "zeroed page",
			damage: func(t *testing.T, _ string, files []string) {
				change(t, files[0], func(b []byte) []byte { clear(b[pageBytes:]); return b }) // records 63 to 126
			},
			survive: without(span(63, 126)...),
			want:    figures{records: 1},
		},
		{
			name: "zeroed page within",
			damage: func(t *testing.T, _ string, files []string) {
				change(t, files[0], func(b []byte) []byte { clear(b[headerBytes:pageBytes]); return b }) // records 1 to 62
			},
			survive: without(span(1, 62)...),
			want:    figures{holes: 1},
		},
		{
			name: "hole",
			damage: func(t *testing.T, _ string, files []string) {
				change(t, files[1], func(b []byte) []byte { clear(b[at(200) : at(200)+8]); return b })
			},
			survive: without(200),
			want:    figures{holes: 1},
		},
		{
			name: "truncated file",
			damage: func(t *testing.T, _ string, files []string) {
				change(t, files[1], func(b []byte) []byte { return b[:at(160)+50] })
			},
			survive: without(span(160, 252)...),
			want:    figures{segments: 1},
		},
		{
			name: "file cut to nothing",
			damage: func(t *testing.T, _ string, files []string) {
				change(t, files[1], func([]byte) []byte { return nil })
			},
			survive: without(span(127, 252)...),
			want:    figures{segments: 1, gaps: 1},
		},
		{
			name: "damaged header",
			damage: func(t *testing.T, _ string, files []string) {
				change(t, files[0], func(b []byte) []byte { b[50] ^= 1; return b })
			},
			survive: without(span(1, 126)...),
			want:    figures{segments: 1, gaps: 1},
		},
		{
			name: "renamed segment",
			damage: func(t *testing.T, dir string, files []string) {
				if err := os.Rename(files[2], filepath.Join(dir, segmentName(0, sequenceMax))); err != nil {
					t.Fatal(err)
				}
			},
			survive: span(1, 252),
			want:    figures{segments: 1, gaps: 1},
		},
		{
			name: "deleted newest segment",
			damage: func(t *testing.T, _ string, files []string) {
				if err := os.Remove(files[2]); err != nil {
					t.Fatal(err)
				}
			},
			survive: span(1, 252),
			want:    figures{gaps: 1},
		},
		{
			name: "deleted newest segment and note",
			damage: func(t *testing.T, dir string, files []string) {
				for _, name := range []string{files[2], filepath.Join(dir, endsName)} {
					if err := os.Remove(name); err != nil {
						t.Fatal(err)
					}
				}
			},
			survive: span(1, 252),
		},
		{
			name: "damaged note",
			damage: func(t *testing.T, dir string, _ []string) {
				change(t, filepath.Join(dir, endsName), func(b []byte) []byte { b[20] ^= 1; return b })
			},
			survive: without(),
		},
		{
			name: "deleted segment",
			damage: func(t *testing.T, _ string, files []string) {
				if err := os.Remove(files[1]); err != nil {
					t.Fatal(err)
				}
			},
			survive: without(span(127, 252)...),
			want:    figures{gaps: 1},
		},
		{
			name: "checkpoint behind, segments in between are gone",
			damage: func(t *testing.T, _ string, files []string) {
				for _, name := range files[:2] {
					if err := os.Remove(name); err != nil {
						t.Fatal(err)
					}
				}
			},
			seek:    func(segments []uint64) engine.Position { return engine.MakePosition(segments[0], 5) },
			survive: span(253, 272),
			want:    figures{gaps: 1},
		},
		{
			name:    "checkpoint within",
			seek:    func(segments []uint64) engine.Position { return engine.MakePosition(segments[1], 9) },
			survive: span(134, 272),
		},
		{
			name: "checkpoint within, its segment is gone",
			damage: func(t *testing.T, _ string, files []string) {
				if err := os.Remove(files[0]); err != nil {
					t.Fatal(err)
				}
			},
			seek:    func(segments []uint64) engine.Position { return engine.MakePosition(segments[0], 128) },
			survive: span(127, 272),
		},
		{
			name: "checkpoint ahead",
			seek: func(segments []uint64) engine.Position { return engine.MakePosition(segments[2]+1<<32, 9) },
		},
		{
			name: "segments of another node",
			damage: func(t *testing.T, dir string, _ []string) {
				change(t, filepath.Join(dir, nodeName), func([]byte) []byte { return []byte("00112233445566778899aabbccddeeff\n") })
			},
			want: figures{segments: 3, gaps: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			j := open(t, cfg)
			appendClicks(t, j, 0, 0, damageTotal, smallClick)
			closeJournal(t, j)
			files := segmentFiles(t, cfg.Dir)
			if len(files) != 3 {
				t.Fatalf("segments are %v, want three", files)
			}
			var segments []uint64
			for _, name := range files {
				_, seq, _ := parseSegmentName(filepath.Base(name))
				segments = append(segments, seq)
			}
			if tt.damage != nil {
				tt.damage(t, cfg.Dir, files)
			}

			j = open(t, cfg)
			var pos engine.Position
			if tt.seek != nil {
				pos = tt.seek(segments)
			}
			if err := j.Seek(0, pos); err != nil {
				t.Fatal(err)
			}
			got, _ := readAll(t, j, 0)
			if !slices.Equal(links(got), tt.survive) {
				t.Errorf("survivors are %v,\nwant %v", links(got), tt.survive)
			}
			s := j.Stats()
			if f := (figures{s.Holes, s.DamagedRecords, s.DamagedSegments, s.Gaps}); f != tt.want {
				t.Errorf("counted %+v, want %+v", f, tt.want)
			}
			// Whatever happened, the lane goes on, above everything it had.
			appendClicks(t, j, 0, 200, 203, smallClick)
			got, end := readAll(t, j, 0)
			wantClicks(t, got, 200, 203, smallClick)
			if end <= pos {
				t.Errorf("position %d is not above the checkpoint %d", end, pos)
			}
			if err := j.Release(0, end); err != nil {
				t.Fatal(err)
			}
			closeJournal(t, j)
			// Nothing that could not be read was deleted.
			if n := glob(t, cfg.Dir, "*"+damagedSuffix); tt.name != "truncated file" && n != int(tt.want.segments) {
				t.Errorf("%d files were put aside, want %d", n, tt.want.segments)
			}
		})
	}
}

// What an appender of this process wrote before a checkpoint ahead was known must not be taken for stored.
func TestSeekAheadCarriesThisProcesssClicks(t *testing.T) {
	cfg := testConfig(t.TempDir())
	j := open(t, cfg)
	appendClicks(t, j, 0, 0, 10, smallClick)
	closeJournal(t, j)
	j = open(t, cfg)
	appendClicks(t, j, 0, 100, 300, testClick)
	pos := j.lanes[0].behind() + engine.MakePosition(1000, 0)
	if err := j.Seek(0, pos); err != nil {
		t.Fatal(err)
	}
	appendClicks(t, j, 0, 300, 310, testClick)
	got, end := readAll(t, j, 0)
	wantClicks(t, got, 100, 310, testClick)
	if end <= pos {
		t.Errorf("position %d is not above the checkpoint %d", end, pos)
	}
	// The store has some of them now, and loses its mind again: only the others are carried.
	if err := j.Release(0, end); err != nil {
		t.Fatal(err)
	}
	appendClicks(t, j, 0, 400, 403, testClick)
	if err := j.Seek(0, end+engine.MakePosition(5000, 0)); err != nil {
		t.Fatal(err)
	}
	got, _ = readAll(t, j, 0)
	wantClicks(t, got, 400, 403, testClick)
	if err := j.Seek(0, engine.MakePosition(sequenceMax, 0)); err == nil {
		t.Error("Seek to the last possible segment succeeded, want an error")
	}
}

// A visitor puts whole slots, commit word and all, into a user agent; after a hole they are looked at as slots.
func TestCraftedBytesAreNoRecord(t *testing.T) {
	cfg := testConfig(t.TempDir())
	j := open(t, cfg)
	c := smallClick(0)
	c.UserAgent = make([]byte, engine.UserAgentMaxLen)
	for slot := range recordSlotsMax { // the record takes slots 2 to 10; its strings begin 48 bytes into slot 2
		off := (slot+1)*slotSize - recordHead
		if off+slotSize > len(c.UserAgent) {
			break
		}
		forged := smallClick(99)
		forged.UserAgent = nil
		b := c.UserAgent[off : off+slotSize]
		binary.LittleEndian.PutUint64(b, putWhole(b, &forged, 12345, uint32(slot+3)))
	}
	if err := j.Append(0, c); err != nil {
		t.Fatal(err)
	}
	appendClicks(t, j, 0, 1, 2, smallClick)
	closeJournal(t, j)
	change(t, segmentFiles(t, cfg.Dir)[0], func(b []byte) []byte { clear(b[headerBytes : headerBytes+8]); return b })
	j = open(t, cfg)
	got, _ := readAll(t, j, 0)
	wantClicks(t, got, 1, 2, smallClick)
}

func TestStrangeFilesAreLeftAlone(t *testing.T) {
	cfg := testConfig(t.TempDir())
	for _, name := range []string{"README", "0000-zz.seg.bak", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(cfg.Dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"rubbish.seg", "rubbish.seg.damaged"} {
		if err := os.WriteFile(filepath.Join(cfg.Dir, name), []byte("?"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(cfg.Dir, segmentName(0, 5)+newSuffix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j := open(t, cfg)
	if s := j.Stats(); s.DamagedSegments != 1 {
		t.Errorf("DamagedSegments = %d, want 1", s.DamagedSegments)
	}
	closeJournal(t, j)
	for _, name := range []string{"README", "0000-zz.seg.bak", "notes.txt", "rubbish.seg.damaged", "rubbish.seg.damaged.2"} {
		if glob(t, cfg.Dir, name) != 1 {
			t.Errorf("%s is gone", name)
		}
	}
	if n := glob(t, cfg.Dir, "*"+newSuffix); n != 0 {
		t.Errorf("%d unfinished segments are left", n)
	}
}

func TestSegmentsOfTwoNodesWithoutNodeFile(t *testing.T) {
	a, b := testConfig(t.TempDir()), testConfig(t.TempDir())
	for _, cfg := range []Config{a, b} {
		j := open(t, cfg)
		appendClicks(t, j, 0, 0, 200, smallClick)
		closeJournal(t, j)
	}
	src := segmentFiles(t, b.Dir)[1]
	if err := os.Rename(src, filepath.Join(a.Dir, filepath.Base(src))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(a.Dir, nodeName)); err != nil {
		t.Fatal(err)
	}
	if j, err := Open(a); err == nil {
		_ = j.Close()
		t.Error("Open succeeded, want an error that names the file")
	}
}
