package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/sqlite"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newLink(code string) engine.Link {
	return engine.Link{Domain: engine.DefaultDomain, Code: code, Target: "https://example.com/", Active: true, RedirectStatus: 302}
}

func mustCreate(t *testing.T, s *sqlite.Store, code string) engine.Link {
	t.Helper()
	l, _, err := s.CreateLink(t.Context(), newLink(code), engine.Author{At: at}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		cfg  sqlite.Config
		want string // in the error; "" for none
	}{
		{sqlite.Config{}, "Path is empty"},
		{sqlite.Config{Path: "x"}, ""},
		{sqlite.Config{Path: "x", ReadersMax: 64}, ""},
		{sqlite.Config{Path: "x", ReadersMax: 65}, "ReadersMax is 65; 0 to 64"},
		{sqlite.Config{Path: "x", ReadersMax: -1}, "ReadersMax is -1; 0 to 64"},
	} {
		err := c.cfg.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("Validate(%+v) = %v, want %q", c.cfg, err, c.want)
		}
		if c.want != "" {
			if _, err := sqlite.Open(t.Context(), c.cfg); err == nil {
				t.Errorf("Open(%+v) = nil, want an error", c.cfg)
			}
		}
	}
}

func TestOpenKeepsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "for it", "a b?c#d%41é&_pragma=x.db")
	var log bytes.Buffer
	cfg := sqlite.Config{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil)), ReadersMax: 1, Now: func() time.Time { return at }}
	s, err := sqlite.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := s.CreateLink(t.Context(), newLink("kept"), engine.Author{}, nil)
	if err != nil || !want.CreatedAt.Equal(at) {
		t.Fatalf("CreateLink without a time = %v, %v, want the clock's", want.CreatedAt, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "store migrated"); n == 0 {
		t.Errorf("the first Open logged %q, want its migrations", log.String())
	}
	log.Reset()
	for _, name := range []string{path, path + ".lock"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info, err)
		}
	}
	if s, err = sqlite.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Link(t.Context(), want.ID); err != nil || got != want {
		t.Errorf("Link after opening again = %+v, %v, want %+v", got, err, want)
	}
	if log.Len() != 0 {
		t.Errorf("the second Open logged %q, want nothing", log.String())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesAStoreThatIsHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carom.db")
	first := openAt(t, path)
	for range 2 {
		_, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		if !errors.Is(err, sqlite.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
			t.Errorf("Open of a held store = %v, want ErrLocked with the process", err)
		}
	}
	mustCreate(t, first, "still")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
}

func TestOpenThatFailsGivesTheLockBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carom.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); err == nil {
		t.Error("Open of a file that is no database = nil, want an error")
		_ = s.Close()
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sqlite.Open(ctx, sqlite.Config{Path: path}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a cancelled context = %v, want context.Canceled", err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(path, "below a file", "x")}); err == nil {
		t.Error("Open below a file = nil, want an error")
	}
	if err := os.Mkdir(path+"2", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: path + "2"}); err == nil {
		t.Error("Open of a directory = nil, want an error")
	}
	openAt(t, path)
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carom.db")
	if err := openAt(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, path).ExecContext(t.Context(), "INSERT INTO schema_versions (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); err == nil || !strings.Contains(err.Error(), "version 9999") {
		t.Errorf("Open of a newer schema = %v, want an error that names version 9999", err)
	}
}

func TestAuditEventsAreAppendOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carom.db")
	s := openAt(t, path)
	mustCreate(t, s, "told")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	for _, text := range []string{"UPDATE audit_events SET at = 0", "DELETE FROM audit_events"} {
		if _, err := db.ExecContext(t.Context(), text); err == nil || !strings.Contains(err.Error(), "never") {
			t.Errorf("%s = %v, want it refused", text, err)
		}
	}
}

// TestOldSaltsLeaveNoTrace looks for the bytes themselves.
func TestOldSaltsLeaveNoTrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carom.db")
	s := openAt(t, path)
	old, err := s.VisitorSalt(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.VisitorSalt(t.Context(), at.AddDate(0, 0, 3))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file, old[:]) || !bytes.Contains(file, kept[:]) {
		t.Errorf("the file has the old salt: %v, the new one: %v, want false, true", bytes.Contains(file, old[:]), bytes.Contains(file, kept[:]))
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the WAL after Close: %v, want none", err)
	}
}

func TestUsage(t *testing.T) {
	s := open(t)
	mustCreate(t, s, "a")
	u, err := s.Usage()
	if err != nil || u.WAL == 0 {
		t.Errorf("Usage() of an open store = %+v, %v, want a WAL", u, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if u, err = s.Usage(); err != nil || u.File == 0 || u.WAL != 0 {
		t.Errorf("Usage() of a closed store = %+v, %v, want a file and no WAL", u, err)
	}
}
