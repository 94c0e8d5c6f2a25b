package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carom-dev/carom/engine"
)

// Names is how a writer takes another name when somebody else writes under its own. The name is what Config.Journal says.
type Names interface {
	// Rename has the journal be another node from now on, for good: also after a crash in this moment. from is where, lane by lane,
	// the clicks begin that are not stored under the old name.
	Rename(from []engine.Position) error
	// From is where a lane's clicks begin that are stored under the present name.
	From(lane int) engine.Position
}

// errAmbiguous goes with clicks that may be stored already.
var errAmbiguous = errors.New("the answer of the store was lost, and then another process moved the checkpoint: this click may be stored already")

// rename goes on under another name after the old one's checkpoints were moved by another process. Whatever was not stored under the
// old one is stored under the new one. A batch whose fate will never be known is set aside.
func (w *writer) rename() error {
	old := w.cfg.Journal.Node()
	from := w.positions
	if from == nil { // fenced off before it had begun: nothing behind where the present name's clicks begin is stored
		from = make([]engine.Position, w.cfg.Journal.Lanes())
		for lane := range from {
			from[lane] = w.cfg.Names.From(lane)
		}
	}
	if len(w.attempt) > 0 {
		for _, c := range w.clicks {
			if err := w.cfg.SetAside(c, errAmbiguous); err != nil {
				return fmt.Errorf("set a click aside: %w", err)
			}
			w.setAside.Add(1)
		}
		for _, m := range w.attempt {
			from[m.Lane] = m.To
		}
		w.attempt, w.clicks = nil, w.clicks[:0]
	}
	if err := w.cfg.Names.Rename(from); err != nil {
		return fmt.Errorf("take another name than %s, which another process uses: %w", old, err)
	}
	w.positions = nil
	clear(w.tried)
	now := w.cfg.Journal.Node()
	w.notice.Store(new(fmt.Sprintf("another process stores clicks as node %s, so this one goes on as node %s; nothing is lost, but give each instance a data directory of its own", old, now)))
	w.cfg.Logger.Error("another process has this node's id; going on under another one", "was", old, "is", now)
	return nil
}

// begin brings a name that the store does not know to where its clicks begin, so that a lane's first batch does not start at 0.
func (w *writer) begin(ctx context.Context, stored map[int]engine.Position) error {
	if w.cfg.Names == nil {
		return nil
	}
	batch := &engine.ClickBatch{Node: w.cfg.Journal.Node()}
	for lane := range w.cfg.Journal.Lanes() {
		if from := w.cfg.Names.From(lane); stored[lane] == 0 && from > 0 {
			batch.Moves = append(batch.Moves, engine.LaneMove{Lane: lane, To: from})
			stored[lane] = from
		}
	}
	if len(batch.Moves) == 0 {
		return nil
	}
	if err := w.cfg.Clicks.WriteClicks(ctx, batch); err != nil {
		return fmt.Errorf("begin to store clicks as node %s: %w", batch.Node, err)
	}
	return nil
}

// regressed notes that the store went back in time: checkpoints only ever move forward, whoever moves them. What it has forgotten is stored
// once more, as far as the journal still has it.
func (w *writer) regressed(lane int, known, stored engine.Position) {
	at := w.cfg.Now().UTC().Format(time.RFC3339)
	w.notice.Store(new("the database went back to an earlier state at " + at + ", as after a failover to a replica that lagged: the clicks of the moments before it were stored again as " +
		"far as the journal had them; compare what else was edited then"))
	w.cfg.Logger.Error("store went back in time; storing again what the journal still has", "lane", lane, "known", uint64(known), "stored", uint64(stored))
}
