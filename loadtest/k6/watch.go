package main

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"time"
)

// sight is what was seen of a service at one moment.
type sight struct {
	at      time.Time
	lag     float64 // seconds that the oldest click that the writer has not read has waited, of all instances
	backlog float64 // clicks recorded but not stored
	lost    float64 // clicks that did not fit the journal, or were damaged there
	used    map[string]usage
	private float64            // bytes of carom's memory that are no pages of files
	trouble map[string]float64 // counters that tell why a visitor was refused, over all instances
}

// trouble names the counters that explain an answer that should not be.
var trouble = regexp.MustCompile(`^carom_.*(_sheds|unavailable|refused|rejected|error|panic|limited|pause|"shed).*(_total|})$`)

// look reads the metrics of each instance and the account of each process.
func (s *service) look(ctx context.Context, more map[string][]int) (sight, error) {
	groups := map[string][]int{}
	for _, m := range []map[string][]int{s.pids, more} {
		for name, pids := range m {
			groups[name] = pids
		}
	}
	v := sight{at: time.Now(), trouble: map[string]float64{}}
	for i, admin := range s.admins {
		figures, err := admin.Metrics(ctx)
		if err != nil {
			return v, fmt.Errorf("watch instance %d: %w", i+1, err)
		}
		get := func(name string) float64 {
			value, ok := figures[name]
			if !ok && err == nil {
				err = fmt.Errorf("watch instance %d: there is no %s", i+1, name)
			}
			return value
		}
		v.lag = max(v.lag, get("carom_journal_oldest_unread_seconds"))
		v.backlog += get("carom_journal_appended_total") - get("carom_actors_writer_clicks_total")
		v.lost += get("carom_edge_unrecorded_total") + get("carom_journal_damaged_records_total")
		v.private += get("process_resident_memory_anon_bytes")
		for name, value := range figures {
			if trouble.MatchString(name) {
				v.trouble[name] += value
			}
		}
		if err != nil {
			return v, err
		}
	}
	var err error
	v.used, err = usages(groups)
	return v, err
}

// watcher looks at a service each second while a load runs.
type watcher struct {
	stop context.CancelFunc
	done sync.WaitGroup

	sights []sight // written by the watching goroutine, to be read after finish
	err    error   // the same
}

func watch(ctx context.Context, s *service, more map[string][]int) *watcher {
	ctx, stop := context.WithCancel(ctx)
	w := &watcher{stop: stop}
	w.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			v, err := s.look(ctx, more)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				w.err = err
				return
			}
			w.sights = append(w.sights, v)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return w
}

// finish ends the watching and returns what was seen.
func (w *watcher) finish() ([]sight, error) {
	w.stop()
	w.done.Wait()
	return w.sights, w.err
}

// A store that is behind for longer than this does not come after.
const drainTimeout = 2 * time.Minute

// drained waits until every click is stored, for drainTimeout at most, and returns what it saw at last.
func (s *service) drained(ctx context.Context) (sight, error) {
	deadline := time.Now().Add(drainTimeout)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := s.look(ctx, nil)
		if err != nil || (v.lag == 0 && v.backlog <= 0) || time.Now().After(deadline) {
			return v, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return v, context.Cause(ctx)
		}
	}
}
