package journal

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	damageCasesVar = "CAROM_DAMAGE_CASES" // how many cases TestRandomDamages tries; 10,000 unless it is set
	damageSeedVar  = "CAROM_DAMAGE_SEED"  // 1 unless it is set
)

// TestRandomDamages damages one thing in a closed journal: a bit is flipped, a file cut, a range zeroed, a part or a file
// doubled, a file deleted. What the damage did not touch is read, as it was and in order; what it did touch is not, and is
// counted. What refers to a record that was touched is read too, and may lack the user agent, which is counted.
func TestRandomDamages(t *testing.T) {
	cases := countFromEnvironment(t, damageCasesVar, 10_000)
	rng := rand.New(rand.NewPCG(uint64(countFromEnvironment(t, damageSeedVar, 1)), 6))
	whole := newDamageSubject(t)
	figures := map[string]int{}
	for n := range cases {
		s := whole.clone()
		kind := s.damage(rng)
		if err := s.look(figures); err != nil {
			t.Fatalf("case %d, %s: %v", n, kind, err)
		}
	}
	var text []string
	for _, what := range slices.Sorted(maps.Keys(figures)) {
		text = append(text, fmt.Sprintf("%d %s", figures[what], what))
	}
	t.Logf("%d cases: %s", cases, strings.Join(text, ", "))
}

// damageSubject is a journal of one lane in some files, and where each click is.
type damageSubject struct {
	files  map[string][]byte
	names  []string // of the segments
	places []place

	touched []bool // by click
}

// place is where a click is.
type place struct {
	file     string
	from, to int // bytes; what is behind the strings is not the click's
	referent int // the click that it refers to; -1: none
}

// newDamageSubject writes journals until there is one in which many clicks refer to others: how many do depends on which user
// agents get the same place among the repeats, and so on the journal's own random seed.
func newDamageSubject(t *testing.T) *damageSubject {
	t.Helper()
	referring := 0
	for range 100 {
		var s *damageSubject
		if s, referring = writeDamageSubject(t); referring >= 20 {
			return s
		}
	}
	t.Fatalf("%d clicks refer to others in the last of 100 journals, want at least 20", referring)
	return nil
}

// writeDamageSubject also returns how many clicks refer to others.
func writeDamageSubject(t *testing.T) (*damageSubject, int) {
	t.Helper()
	disk := newSimDisk(rand.New(rand.NewPCG(1, 1)))
	j := newJournal(damageConfig(disk))
	if err := j.takeOver(); err != nil {
		t.Fatal(err)
	}
	s := &damageSubject{files: map[string][]byte{}}
	referring := 0
	at := map[string]int{} // the click at a place
	for n := range 100 {
		c := mixedClick(n)
		seg, start, err := j.record(j.lanes[0], &c)
		if err != nil {
			t.Fatal(err)
		}
		r, _, ok := seg.record(start)
		if !ok {
			t.Fatalf("record of click %d does not hold", n)
		}
		p := place{file: filepath.Join("/journal", segmentName(0, seg.seq)), from: int(start) * slotSize, referent: -1}
		p.to = p.from + r.bytes
		if r.kind == kindRefers {
			p.referent = at[fmt.Sprint(p.file, slotOf(r.referent))]
			referring++
		}
		at[fmt.Sprint(p.file, start)] = n
		s.places = append(s.places, p)
	}
	closeJournal(t, j)
	for name, f := range disk.names {
		s.files[name] = f.cache
		if _, _, ok := parseSegmentName(filepath.Base(name)); ok {
			s.names = append(s.names, name)
		}
	}
	slices.Sort(s.names)
	if len(s.names) < 4 {
		t.Fatalf("segments are %v, want some more", s.names)
	}
	return s, referring
}

func damageConfig(disk *simDisk) Config {
	cfg := testConfig("/journal")
	cfg.disk, cfg.Sync = disk, SyncIntervalMax
	return cfg
}

func (s *damageSubject) clone() *damageSubject {
	out := &damageSubject{files: maps.Clone(s.files), names: s.names, places: s.places, touched: make([]bool, len(s.places))}
	return out
}

// change edits a copy of a file, and notes the clicks whose bytes the change alters.
func (s *damageSubject) change(name string, edit func(b []byte) []byte) {
	before := s.files[name]
	after := edit(bytes.Clone(before))
	s.files[name] = after
	header := len(after) < headerBytes || !bytes.Equal(before[:headerBytes], after[:headerBytes])
	for n, p := range s.places {
		if p.file == name && (header || (p.to+slotSize-1)/slotSize*slotSize > len(after) || !bytes.Equal(before[p.from:p.to], after[p.from:p.to])) {
			s.touched[n] = true
		}
	}
}

// damage does one thing, and says what.
func (s *damageSubject) damage(rng *rand.Rand) string {
	name := s.names[rng.IntN(len(s.names))]
	size := len(s.files[name])
	from := rng.IntN(size)
	switch kind := rng.IntN(7); kind {
	case 0, 1:
		s.change(name, func(b []byte) []byte { b[from] ^= 1 << rng.IntN(8); return b })
		return "bit flipped"
	case 2:
		s.change(name, func(b []byte) []byte { return b[:from] })
		return "file cut"
	case 3:
		to := min(size, from+1+rng.IntN(2*pageBytes))
		if rng.IntN(2) == 0 { // as a disk would
			from, to = from/simSectorBytes*simSectorBytes, min((to+simSectorBytes-1)/simSectorBytes*simSectorBytes, size)
		}
		s.change(name, func(b []byte) []byte { clear(b[from:to]); return b })
		return "range zeroed"
	case 4:
		length := slotSize << rng.IntN(6)
		from = from / slotSize * slotSize
		to := rng.IntN(size) / slotSize * slotSize
		s.change(name, func(b []byte) []byte { copy(b[to:], bytes.Clone(b[from:min(from+length, size)])); return b })
		return "part doubled"
	case 5:
		_, seq, _ := parseSegmentName(filepath.Base(name))
		other := filepath.Join("/journal", segmentName(0, seq+1+uint64(rng.IntN(3))))
		if _, taken := s.files[other]; taken {
			other = filepath.Join("/journal", segmentName(0, seq+1<<20))
		}
		s.files[other] = bytes.Clone(s.files[name])
		return "file doubled"
	default:
		delete(s.files, name)
		for n, p := range s.places {
			s.touched[n] = p.file == name
		}
		return "file deleted"
	}
}

// look opens the damaged journal and reads it.
func (s *damageSubject) look(figures map[string]int) error {
	disk := newSimDisk(nil)
	for name, content := range s.files {
		f := &simFile{}
		f.grow(len(content))
		copy(f.cache, content)
		disk.names[name] = f
	}
	j := newJournal(damageConfig(disk))
	if err := j.takeOver(); err != nil {
		return err
	}
	if err := j.Seek(0, 0); err != nil {
		return err
	}
	clicks, _, err := j.Read(0, 10*len(s.places), nil)
	if err != nil {
		return err
	}
	last, got, bare := -1, make([]bool, len(s.places)), 0
	for _, c := range clicks {
		n := int(c.Link) - 1
		if n <= last || n >= len(got) {
			return fmt.Errorf("click %d follows %d", n, last)
		}
		got[n], last = true, n
		err := sameClick(c, mixedClick(n))
		if at := s.places[n].referent; err != nil && at >= 0 && s.touched[at] {
			bare++
			err = sameClick(c, withoutUserAgent(mixedClick(n)))
		}
		if err != nil {
			return err
		}
	}
	lost := 0
	for n, touched := range s.touched {
		if !got[n] {
			lost++
		}
		if !got[n] && !touched {
			return fmt.Errorf("click %d was not damaged, but is not read", n)
		}
	}
	stats := j.Stats()
	counted := stats.DamagedRecords+stats.DamagedSegments+stats.Holes+stats.Gaps > 0
	if stats.LostUserAgents != uint64(bare) {
		return fmt.Errorf("%d clicks were read without their user agent, counted are %d", bare, stats.LostUserAgents)
	}
	figures["clicks without their user agent"] += bare
	switch {
	case lost == 0:
		figures["lost nothing"]++
	case counted:
		figures["lost what was touched, and that was counted"]++
	default:
		return fmt.Errorf("%d clicks are lost and nothing is counted", lost)
	}
	return j.Close()
}
