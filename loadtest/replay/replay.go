package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
)

// config says what is replayed, and to whom. The flags document the fields.
type config struct {
	Server, Clicks, Answered string
	Connections, Repeat      int
	Rate                     int
	Mark                     bool
	Timeout                  time.Duration
}

// report is what came of a replay.
type report struct {
	Answered   int // in this run
	Before     int // answered by runs before it
	Unanswered int // sent or not, but without an answer
	Took       time.Duration
	Gone       error // why the server was given up
}

// job is a click with its number in the replay, from 0.
type job struct {
	number int
	click  *click
}

// replayer is one run. The workers share it.
type replayer struct {
	cfg     config
	attempt int
	give    context.CancelCauseFunc // stops the run

	mu       sync.Mutex
	answered int           // guarded by mu
	notes    *bufio.Writer // guarded by mu
}

// A server that sheds load, or has not read a link in time, answers 503 and records nothing: the click is sent again after a pause.
const (
	statusUnavailable = 503
	unavailablePause  = 100 * time.Millisecond
	unavailableTries  = 50
)

// errGone stops a run whose server does not answer; it wraps the cause.
var errGone = errors.New("no answer")

// replay sends the clicks and returns when all are answered or the server is gone. An error means that the replay itself makes
// no sense: a file that can't be read, an answer that is no redirect.
func replay(ctx context.Context, cfg config) (report, error) {
	file, err := os.Open(cfg.Clicks)
	if err != nil {
		return report{}, fmt.Errorf("open clicks: %w", err)
	}
	defer file.Close()
	clicks, err := readClicks(file)
	if err != nil {
		return report{}, err
	}
	done, attempt, err := readAnswered(cfg.Answered)
	if err != nil {
		return report{}, err
	}
	notes := io.Writer(io.Discard)
	if cfg.Answered != "" {
		f, err := os.OpenFile(cfg.Answered, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return report{}, fmt.Errorf("open answered clicks: %w", err)
		}
		defer f.Close()
		notes = f
	}
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	r := &replayer{cfg: cfg, attempt: attempt, give: give, notes: bufio.NewWriter(notes)}

	jobs := make(chan job)
	start := time.Now()
	var workers sync.WaitGroup
	for range cfg.Connections {
		workers.Go(func() { r.work(ctx, jobs) })
	}
	total := len(clicks) * cfg.Repeat
	sent := 0
feed:
	for n := range total {
		if done[n] {
			continue
		}
		if !await(ctx, start, sent, cfg.Rate) {
			break
		}
		sent++
		select {
		case jobs <- job{n, &clicks[n%len(clicks)]}:
		case <-ctx.Done():
			break feed
		}
	}
	close(jobs)
	workers.Wait()
	out := report{Answered: r.answered, Before: len(done), Unanswered: total - len(done) - r.answered, Took: time.Since(start), Gone: context.Cause(ctx)}
	if err := r.notes.Flush(); err != nil {
		return out, fmt.Errorf("note answered clicks: %w", err)
	}
	if out.Gone != nil && !errors.Is(out.Gone, errGone) {
		return out, out.Gone
	}
	return out, nil
}

// await waits until the n-th click of a run that began at start may be sent; false when ctx ended before. A run that is late sends
// without a pause until it has caught up.
func await(ctx context.Context, start time.Time, n, rate int) bool {
	if rate == 0 {
		return true
	}
	early := time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(rate)))
	if early <= 0 {
		return true
	}
	due := time.NewTimer(early)
	defer due.Stop()
	select {
	case <-due.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// work sends clicks on one connection, and on another one when the server has closed it.
func (r *replayer) work(ctx context.Context, jobs <-chan job) {
	var conn *client.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for {
		var j job
		var ok bool
		select {
		case j, ok = <-jobs:
		case <-ctx.Done():
		}
		if !ok || ctx.Err() != nil {
			return
		}
		mark := ""
		if r.cfg.Mark {
			mark = fmt.Sprintf("%d.%d", j.number, r.attempt)
		}
		request, err := j.click.request(r.cfg.Server, mark)
		if err != nil {
			r.give(fmt.Errorf("click %d: %w", j.number, err))
			return
		}
		if conn == nil {
			if conn, err = client.Dial(r.cfg.Server, r.cfg.Timeout); err != nil {
				r.give(fmt.Errorf("%w: %w", errGone, err))
				return
			}
		}
		answer, err := conn.Do(request)
		for tries := 0; err == nil && answer.Status == statusUnavailable && !answer.Close && tries < unavailableTries; tries++ {
			<-time.After(unavailablePause)
			answer, err = conn.Do(request)
		}
		if err != nil {
			r.give(fmt.Errorf("%w: %w", errGone, err))
			return
		}
		if answer.Status/100 != 3 || len(answer.Location) == 0 {
			r.give(fmt.Errorf("click %d on %s: status %d without a redirect", j.number, j.click.Code, answer.Status))
			return
		}
		if err := r.note(j); err != nil {
			r.give(fmt.Errorf("note answered clicks: %w", err))
			return
		}
		if answer.Close {
			conn.Close()
			conn = nil
		}
	}
}

func (r *replayer) note(j job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered++
	_, err := fmt.Fprintf(r.notes, "%d\t%s\t%d\n", j.number, j.click.Code, r.attempt)
	return err
}
