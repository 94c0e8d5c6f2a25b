package main

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/carom-dev/carom/cmd/carom/internal/bulk"
	"github.com/carom-dev/carom/engine"
)

// refusedClicks keeps clicks that the store refuses, with the reason, as NDJSON in a file that is made with the first of them.
// Safe for concurrent use.
type refusedClicks struct {
	path string
	mu   sync.Mutex // one line at a time
}

// keep returns when the click is on stable storage. It is rare, so the file is opened anew each time.
func (r *refusedClicks) keep(c engine.Click, reason error) (err error) {
	line, err := json.Marshal(struct {
		Reason string         `json:"reason"`
		Click  bulk.ClickJSON `json:"click"`
	}{reason.Error(), bulk.ClickOf(&engine.StoredClick{Click: c})}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return fmt.Errorf("encode the refused click: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the file of refused clicks: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read the size of the file of refused clicks: %w", err)
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		// Half a line would spoil the next one.
		return errors.Join(fmt.Errorf("write the refused click: %w", err), f.Truncate(before.Size()))
	}
	return f.Sync()
}
