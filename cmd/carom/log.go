package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// level is the level that --log-level names.
func (s *LogSettings) level() (slog.Level, bool) {
	level, known := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}[s.LogLevel]
	return level, known
}

// logger makes the log that the settings ask for.
func (s *LogSettings) logger(w io.Writer) *slog.Logger {
	level, _ := s.level()
	options := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "text" || s.LogFormat == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// isTerminal reports whether a person reads what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
