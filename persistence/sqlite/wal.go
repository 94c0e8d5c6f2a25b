package sqlite

import (
	"context"
	"errors"
	"time"
)

const (
	// walMax bytes of write-ahead log are folded into the file and cut off as soon as readers leave a moment for it. SQLite itself begins the log
	// anew only if no reader is at it just then, which searches one after the other prevent for as long as they go on.
	walMax = 64 << 20
	// walInterval is how often that is tried; the writer is held up for walWait and what the folding takes, some 200 ms.
	walInterval = 10 * time.Second
	walWait     = 500 * time.Millisecond
)

// trimWAL is called behind a batch.
func (s *Store) trimWAL(ctx context.Context) {
	s.wal.Lock()
	defer s.wal.Unlock()
	now := time.Now()
	if now.Sub(s.walTried) < walInterval {
		return
	}
	usage, err := s.Usage()
	if err == nil && usage.WAL <= s.walMax {
		return
	}
	s.walTried = now
	if err == nil {
		err = s.foldWAL(ctx)
	}
	if err != nil {
		s.log.Warn("write-ahead log of the store could not be cut off", "bytes", usage.WAL, "err", err)
	}
}

func (s *Store) foldWAL(ctx context.Context) (err error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, pragmaBusy(walWait)); err != nil {
		return err
	}
	var busy, frames, folded int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &folded)
	if _, restored := conn.ExecContext(context.WithoutCancel(ctx), pragmaBusy(busyTimeout)); restored != nil {
		return errors.Join(err, restored)
	}
	if err == nil && busy != 0 {
		s.log.Debug("readers are at the write-ahead log; it is cut off later", "frames", frames, "folded", folded)
	}
	return err
}
