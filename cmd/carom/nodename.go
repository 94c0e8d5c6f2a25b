package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/go-json-experiment/json"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/journal"
)

// nodeNameFile within --data-dir holds the name that this instance has taken in place of its journal's.
const nodeNameFile = "node-name.json"

// namedJournal is the journal under the name that its clicks are stored by: the journal's own, unless another process was found to use
// that. Safe for concurrent use.
type namedJournal struct {
	*journal.Journal
	path  string
	taken atomic.Pointer[takenName] // nil: the journal's own name
}

// takenName is the file's content.
type takenName struct {
	Journal engine.NodeID     `json:"journal"` // whose name this is in place of
	Name    engine.NodeID     `json:"name"`
	From    []engine.Position `json:"from"` // by lane: where the clicks begin that are stored by this name
}

// openNamed reads the name that was taken earlier, if one was.
func openNamed(j *journal.Journal, dataDir string) (*namedJournal, error) {
	n := &namedJournal{Journal: j, path: filepath.Join(dataDir, nodeNameFile)}
	text, err := os.ReadFile(n.path)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the node's name: %w", err)
	}
	var taken takenName
	if err := json.Unmarshal(text, &taken); err != nil {
		return nil, fmt.Errorf("read the node's name from %s: %w", n.path, err)
	}
	if taken.Journal == j.Node() { // else the journal is a new one
		n.taken.Store(&taken)
	}
	return n, nil
}

// Node is the name.
func (n *namedJournal) Node() engine.NodeID {
	if taken := n.taken.Load(); taken != nil {
		return taken.Name
	}
	return n.Journal.Node()
}

// Rename implements actors.Names. The file is on stable storage before the name is used.
func (n *namedJournal) Rename(from []engine.Position) error {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	taken := &takenName{Journal: n.Journal.Node(), Name: engine.NodeID(hex.EncodeToString(id[:])), From: from}
	text, err := json.Marshal(taken)
	if err != nil {
		return fmt.Errorf("encode the node's name: %w", err)
	}
	if err := replaceFile(n.path, append(text, '\n')); err != nil {
		return err
	}
	n.taken.Store(taken)
	return nil
}

// From implements actors.Names.
func (n *namedJournal) From(lane int) engine.Position {
	if taken := n.taken.Load(); taken != nil && lane < len(taken.From) {
		return taken.From[lane]
	}
	return 0
}

// replaceFile writes a file as a whole, durably: after a crash there is the old one or the new one.
func replaceFile(path string, content []byte) (err error) {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make %s: %w", next, err)
	}
	_, err = f.ReadFrom(bytes.NewReader(content))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", next, err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("put %s in place: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("open the folder of %s: %w", path, err)
	}
	// Not every system can sync a folder.
	_ = dir.Sync()
	return dir.Close()
}
