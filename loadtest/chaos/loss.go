package main

import (
	"context"
	"errors"
	"fmt"
)

// errUncounted says that clicks were lost and the server does not know how many.
var errUncounted = errors.New("clicks that are not stored were not counted as such")

// metricDropped counts the clicks that the journal had no room for.
const metricDropped = "carom_journal_dropped_total"

// lossCounted waits until all that was recorded is stored and holds what is missing against what the instance says that it has dropped.
// The load has to rest, and the instance must not have been started again.
func lossCounted(ctx context.Context, i *instance, o *oracle) (lost int, err error) {
	err = until(ctx, "all recorded clicks are stored", patience, func() (bool, error) {
		m, err := i.api.Metrics(ctx)
		return err == nil && m["carom_actors_writer_clicks_total"] == m["carom_journal_appended_total"], err
	})
	if err != nil {
		return o.tally().missing, err
	}
	t, err := o.settle(ctx, i.api, patience)
	if err != nil {
		return t.missing, err
	}
	dropped, err := i.api.Metric(ctx, metricDropped)
	if err != nil {
		return t.missing, err
	}
	if t.missing != int(dropped) {
		return t.missing, fmt.Errorf("%w: %d are missing, %.0f were counted", errUncounted, t.missing, dropped)
	}
	return t.missing, nil
}
