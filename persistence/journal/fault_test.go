package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// faultDisk lets chosen calls fail. The zero faults let everything through.
type faultDisk struct {
	disk
	mu     sync.Mutex
	faults map[string]fault
	calls  map[string]int
	sealed map[any][]byte // what is in a file or a mapping whose sync failed
	again  []string       // what was synced again after that
}

// fault fails the calls from..to of one kind, counted from 1.
type fault struct {
	from, to int
	err      error
	short    bool // half of it is done before it fails
}

const always = 1 << 30

func newFaultDisk(d disk) *faultDisk {
	return &faultDisk{disk: d, faults: map[string]fault{}, calls: map[string]int{}, sealed: map[any][]byte{}}
}

func (d *faultDisk) set(op string, f fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[op] = 0
	d.faults[op] = f
}

func (d *faultDisk) hit(op string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[op]++
	f := d.faults[op]
	if n := d.calls[op]; f.err != nil && n >= f.from && n <= f.to {
		return fmt.Errorf("%s: %w", op, f.err)
	}
	return nil
}

// short is how much of n bytes a call does that has failed by hit.
func (d *faultDisk) short(op string, n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults[op].short {
		return n / 2
	}
	return 0
}

// sync is hit for what must not be synced again once that failed.
func (d *faultDisk) sync(op string, what any, content []byte) error {
	d.mu.Lock()
	if _, failed := d.sealed[what]; failed {
		d.again = append(d.again, fmt.Sprintf("%s of %v", op, what))
	}
	d.mu.Unlock()
	err := d.hit(op)
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.sealed[what] = bytes.Clone(content)
	}
	return err
}

func (d *faultDisk) mkdir(dir string) error {
	if err := d.hit("mkdir"); err != nil {
		return err
	}
	return d.disk.mkdir(dir)
}

func (d *faultDisk) lock(name string) (io.Closer, error) {
	if err := d.hit("lock"); err != nil {
		return nil, err
	}
	return d.disk.lock(name)
}

func (d *faultDisk) list(dir string) ([]string, error) {
	if err := d.hit("list"); err != nil {
		return nil, err
	}
	return d.disk.list(dir)
}

func (d *faultDisk) open(name string, flag int) (file, error) {
	if err := d.hit("open"); err != nil {
		return nil, err
	}
	f, err := d.disk.open(name, flag)
	if err != nil {
		return nil, err
	}
	return &faultFile{file: f, disk: d}, nil
}

func (d *faultDisk) allocate(f file, size int64) error {
	if err := d.hit("allocate"); err != nil {
		if part := d.short("allocate", int(size)); part > 0 {
			return errors.Join(err, d.disk.allocate(f.(*faultFile).file, int64(part)))
		}
		return err
	}
	return d.disk.allocate(f.(*faultFile).file, size)
}

func (d *faultDisk) attach(f file, size int) (memory, error) {
	if err := d.hit("attach"); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	m, err := d.disk.attach(f.(*faultFile).file, size)
	if err != nil {
		return nil, err
	}
	return &faultMemory{memory: m, disk: d}, nil
}

func (d *faultDisk) rename(from, to string) error {
	if err := d.hit("rename"); err != nil {
		return err
	}
	return d.disk.rename(from, to)
}

func (d *faultDisk) remove(name string) error {
	if err := d.hit("remove"); err != nil {
		return err
	}
	return d.disk.remove(name)
}

func (d *faultDisk) syncDir(dir string) error {
	if err := d.hit("syncDir"); err != nil {
		return err
	}
	return d.disk.syncDir(dir)
}

type faultFile struct {
	file
	disk *faultDisk
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.disk.hit("read"); err != nil {
		n, _ := f.file.ReadAt(p[:f.disk.short("read", len(p))], off)
		return n, err
	}
	return f.file.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.disk.hit("write"); err != nil {
		n, _ := f.file.WriteAt(p[:f.disk.short("write", len(p))], off)
		return n, err
	}
	return f.file.WriteAt(p, off)
}

func (f *faultFile) Sync() error {
	if err := f.disk.sync("fsync", f.Name(), nil); err != nil {
		return err
	}
	return f.file.Sync()
}

type faultMemory struct {
	memory
	disk *faultDisk
}

func (m *faultMemory) flush(from, to int) error {
	if err := m.disk.hit("flush"); err != nil {
		return err
	}
	return m.memory.flush(from, to)
}

func (m *faultMemory) sync(from, to int) error {
	if err := m.disk.sync("sync", m, m.bytes()); err != nil {
		return err
	}
	return m.memory.sync(from, to)
}

func (m *faultMemory) close() error {
	return errors.Join(m.memory.close(), m.disk.hit("close"))
}

// Whatever single call fails, nothing panics, an append says whether the click is recorded, and every click that it took is
// read once: by this process, or by the next.
func TestNthCallFails(t *testing.T) {
	for _, op := range []string{"mkdir", "lock", "list", "open", "allocate", "attach", "rename", "remove", "syncDir", "read", "write", "sync", "close"} {
		for nth := 1; nth <= 4; nth++ {
			t.Run(fmt.Sprintf("%s %d", op, nth), func(t *testing.T) {
				cfg := testConfig(t.TempDir())
				cfg.BytesMax = 6 * int64(cfg.SegmentBytes)
				first := open(t, cfg) // so that there is something to recover
				appendClicks(t, first, 0, 0, 70, smallClick)
				closeJournal(t, first)

				d := newFaultDisk(newDisk())
				d.set(op, fault{from: nth, to: nth, err: syscall.EIO})
				cfg.disk, cfg.Sync = d, SyncIntervalMin
				seen := map[engine.LinkID]int{}
				taken := 70
				var pos engine.Position
				j, err := Open(cfg)
				if err == nil {
					for n := 70; n < 400; n++ {
						err := j.Append(0, smallClick(taken))
						if err == nil {
							taken++
						}
						if n%20 == 0 {
							var clicks []engine.Click
							if clicks, pos, err = j.Read(0, 1000, nil); err != nil {
								t.Fatal(err)
							}
							for _, c := range clicks {
								seen[c.Link]++
							}
							if err := j.Release(0, pos); err != nil {
								t.Fatal(err)
							}
						}
					}
					_ = j.Stats()
					_ = j.Health(t.Context())
					_ = j.Close() // an error here may be the fault
				}
				cfg.disk = nil
				j = open(t, cfg)
				if err := j.Seek(0, pos); err != nil {
					t.Fatal(err)
				}
				clicks, _ := readAll(t, j, 0)
				for _, c := range clicks {
					seen[c.Link]++
				}
				lost := 0
				for n := range taken {
					if times := seen[engine.LinkID(n+1)]; times > 1 {
						t.Errorf("click %d was read %d times", n, times)
					} else if times == 0 {
						lost++
					}
				}
				if lost > 0 && op != "read" { // what can't be read is put aside or counted as damaged
					t.Errorf("%d of %d clicks are lost", lost, taken)
				}
			})
		}
	}
}

func TestFullDiskIsToldAndOvercome(t *testing.T) {
	for _, op := range []string{"allocate", "open", "attach"} {
		t.Run(op, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			d := newFaultDisk(newDisk())
			cfg.disk = d
			j := open(t, cfg)
			appendClicks(t, j, 0, 0, 1, smallClick)
			d.set(op, fault{from: 1, to: always, err: syscall.ENOSPC})
			n := 1
			for ; n < 1000; n++ {
				if err := j.Append(0, smallClick(n)); err != nil {
					if !errors.Is(err, engine.ErrJournalFull) {
						t.Fatalf("Append: %v, want ErrJournalFull", err)
					}
					break
				}
			}
			if h := j.Health(t.Context()); h.Status != engine.HealthWarn || !strings.Contains(h.Reason, "no space") {
				t.Errorf("Health = %+v, want a warning with the cause", h)
			}
			d.set(op, fault{})
			eventually(t, "appends work again", func() bool { return j.Append(0, smallClick(n)) == nil })
			got, _ := readAll(t, j, 0)
			wantClicks(t, got, 0, n+1, smallClick)
		})
	}
}

func TestBrokenDiskIsNotFull(t *testing.T) {
	cfg := testConfig(t.TempDir())
	d := newFaultDisk(newDisk())
	cfg.disk = d
	d.set("attach", fault{from: 1, to: always, err: syscall.EIO})
	j := open(t, cfg)
	if err := j.Append(0, smallClick(0)); !errors.Is(err, engine.ErrJournalClosed) {
		t.Errorf("Append: %v, want ErrJournalClosed", err)
	}
	if n := glob(t, cfg.Dir, "*"+newSuffix); n != 0 {
		t.Errorf("%d unfinished segments are left", n)
	}
}

// After a failed sync the segment is done with: nothing is appended to it, and it is never synced again.
func TestFailedSyncSealsTheSegment(t *testing.T) {
	for name, base := range disks {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			d := newFaultDisk(base)
			cfg.disk, cfg.Sync = d, SyncAlways
			j := open(t, cfg)
			appendClicks(t, j, 0, 0, 5, smallClick)
			s := j.lanes[0].current.Load()
			d.set("sync", fault{from: 1, to: 1, err: syscall.EIO})
			if err := j.Append(0, smallClick(5)); !errors.Is(err, engine.ErrNotDurable) {
				t.Fatalf("Append: %v, want ErrNotDurable", err)
			}
			if h := j.Health(t.Context()); h.Status != engine.HealthWarn || !strings.Contains(h.Reason, "sync") {
				t.Errorf("Health = %+v, want a warning", h)
			}
			appendClicks(t, j, 0, 6, 10, smallClick)
			if j.lanes[0].current.Load() == s {
				t.Error("the segment is still in use")
			}
			if stats := j.Stats(); stats.SyncErrors == 0 || s.dirty() {
				t.Errorf("Stats = %+v, dirty = %v; want an error counted and nothing left to sync", stats, s.dirty())
			}
			got, _ := readAll(t, j, 0) // the sixth is there for as long as there is power
			wantClicks(t, got, 0, 10, smallClick)
		})
	}
}

func TestFailedFlushIsTold(t *testing.T) {
	cfg := testConfig(t.TempDir())
	d := newFaultDisk(bufferedDisk{})
	cfg.disk = d
	j := open(t, cfg)
	d.set("flush", fault{from: 1, to: 1, err: syscall.EIO})
	appendClicks(t, j, 0, 0, 1, smallClick)
	eventually(t, "the error is counted", func() bool { return j.Stats().SyncErrors > 0 })
	appendClicks(t, j, 0, 1, 3, smallClick)
	got, _ := readAll(t, j, 0)
	wantClicks(t, got, 0, 3, smallClick)
}

// A sector that can't be read costs what is in it, and nothing behind it.
func TestUnreadableSectorIsSkipped(t *testing.T) {
	cfg := testConfig(t.TempDir())
	j := open(t, cfg)
	appendClicks(t, j, 0, 0, 200, smallClick)
	closeJournal(t, j)
	d := newFaultDisk(newDisk())
	cfg.disk = d
	j = open(t, cfg)
	eventually(t, "the background has read what it wants", func() bool {
		l := j.lanes[0]
		l.grow.Lock()
		defer l.grow.Unlock()
		return l.next != nil
	})
	d.set("read", fault{from: 2, to: 2, err: syscall.EIO})
	got, _ := readAll(t, j, 0)
	if len(got) != 200-(pageBytes-headerBytes)/slotSize || got[0].Link != 1 || got[len(got)-1].Link != 200 {
		t.Errorf("read %d clicks %v, want all but one page", len(got), links(got))
	}
	if s := j.Stats(); s.DamagedRecords != 1 {
		t.Errorf("DamagedRecords = %d, want 1", s.DamagedRecords)
	}
}

// TestSegmentsWithoutADescriptorAreTriedAgain has no directory be opened for a while: no segment is given up for it.
func TestSegmentsWithoutADescriptorAreTriedAgain(t *testing.T) {
	cfg := testConfig(t.TempDir())
	d := newFaultDisk(newDisk())
	cfg.disk, cfg.Sync = d, SyncIntervalMin
	j := open(t, cfg)
	defer closeJournal(t, j)
	d.set("syncDir", fault{from: 1, to: always, err: errNotTried})
	appendClicks(t, j, 0, 0, 1000, testClick)
	tried := j.Stats().SyncErrors
	eventually(t, "it is tried again and again", func() bool { return j.Stats().SyncErrors > tried+3 })
	for _, s := range j.lanes[0].all() {
		if s.failed.Load() {
			t.Error("a segment is given up although nothing was tried")
		}
		j.unref(j.lanes[0], s)
	}
	d.set("syncDir", fault{})
	eventually(t, "the new segments are durable", func() bool {
		fresh := false
		for _, s := range j.lanes[0].all() {
			fresh = fresh || s.live() && s.fresh.Load()
			j.unref(j.lanes[0], s)
		}
		return !fresh
	})
	got, _ := readAll(t, j, 0)
	wantClicks(t, got, 0, 1000, testClick)
}

// TestAFolderThatComesBackHasItsClicks takes the folder away while what an earlier process left is being read.
func TestAFolderThatComesBackHasItsClicks(t *testing.T) {
	const clicks = 1000
	cfg := testConfig(filepath.Join(t.TempDir(), "journal"))
	j := open(t, cfg)
	appendClicks(t, j, 0, 0, clicks, testClick)
	closeJournal(t, j)
	j = open(t, cfg)
	defer closeJournal(t, j)
	if err := j.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	read, _, err := j.Read(0, clicks/10, nil)
	if err != nil || len(read) != clicks/10 {
		t.Fatalf("Read = %d clicks, %v", len(read), err)
	}
	away := cfg.Dir + ".away"
	if err := os.Rename(cfg.Dir, away); err != nil {
		t.Fatal(err)
	}
	for range 10 { // to the end of what is in memory, and against what is not there
		if read, _, err = j.Read(0, clicks, read); err != nil {
			t.Fatal(err)
		}
	}
	if len(read) == clicks {
		t.Fatal("everything was read without the folder, so nothing is shown")
	}
	if err := os.RemoveAll(cfg.Dir); err != nil { // whatever was made in the folder's place
		t.Fatal(err)
	}
	if err := os.Rename(away, cfg.Dir); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if read, _, err = j.Read(0, clicks, read); err != nil {
			t.Fatal(err)
		}
	}
	wantClicks(t, read, 0, clicks, testClick)
}

// TestClosingKeepsWhatTheStoreHasForgotten sends the reader back behind what it had released, as after a failover to a replica that lagged.
func TestClosingKeepsWhatTheStoreHasForgotten(t *testing.T) {
	cfg := testConfig(t.TempDir())
	j := open(t, cfg)
	appendClicks(t, j, 0, 0, 5, testClick)
	if err := j.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	read, end, err := j.Read(0, 2, nil)
	if err != nil || len(read) != 2 {
		t.Fatalf("Read = %d clicks, %v", len(read), err)
	}
	early := end
	if _, end, err = j.Read(0, 100, nil); err != nil {
		t.Fatal(err)
	}
	if err := j.Release(0, end); err != nil {
		t.Fatal(err)
	}
	if err := j.Seek(0, early); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	j = open(t, cfg)
	defer closeJournal(t, j)
	if err := j.Seek(0, early); err != nil {
		t.Fatal(err)
	}
	if read, _, err = j.Read(0, 100, nil); err != nil {
		t.Fatal(err)
	}
	wantClicks(t, read, 2, 5, testClick)
}
