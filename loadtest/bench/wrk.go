package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
)

//go:embed wrk.lua
var wrkScript []byte

// wrk drives wrk, whose client costs least. It counts what was answered when its time was over; what was under way on the connections
// then is answered behind that. It compares no Location: that is done beforehand, by ask.
type wrk struct{ path string }

func newWrk(path string) *wrk { return &wrk{path} }

// load implements generator. Codes that are asked for once are left to the own client, which can stop behind the last.
func (k *wrk) load(ctx context.Context, addr string, w *workload, s shape, d time.Duration) (l load, err error) {
	if w.once {
		return ownLoad(ctx, addr, w, s, d)
	}
	dir, err := os.MkdirTemp("", "carom-wrk-")
	if err != nil {
		return load{}, fmt.Errorf("make a directory for wrk: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	script, codes := filepath.Join(dir, "wrk.lua"), ""
	if err := os.WriteFile(script, wrkScript, 0o600); err != nil {
		return load{}, fmt.Errorf("write wrk's script: %w", err)
	}
	if !w.fresh {
		codes = filepath.Join(dir, "codes")
		if err := os.WriteFile(codes, []byte(strings.Join(w.codes, "\n")+"\n"), 0o600); err != nil {
			return load{}, fmt.Errorf("write codes: %w", err)
		}
	}
	seconds := max(int(d.Seconds()), 1)
	args := []string{
		"-t", strconv.Itoa(min(2, s.Connections)), "-c", strconv.Itoa(s.Connections), "-d", strconv.Itoa(seconds) + "s",
		"--timeout", strconv.Itoa(int(answerTimeout.Seconds())) + "s", "-s", script,
	}
	for _, h := range client.Browser() {
		args = append(args, "-H", h.Name+": "+h.Value)
	}
	args = append(args, "http://"+addr+"/", "--", codes, strconv.Itoa(s.Pipeline), strconv.FormatInt(freshRun.Add(1), 10))
	out, err := exec.CommandContext(ctx, k.path, args...).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("run wrk: %w: %s", err, out)
	}
	l, err = parseWrk(out, w.want)
	l.Uncounted = int64(s.Connections * s.Pipeline)
	return l, err
}

// parseWrk reads the line that the script prints. wrk calls statuses from 400 on errors; where a 404 is wanted, they are what is right.
func parseWrk(out []byte, want int) (load, error) {
	var r struct{ Requests, Micros, Status, Broken, P50, P99, P999 int64 }
	line := bytes.TrimSpace(out)
	line = line[bytes.LastIndexByte(line, '\n')+1:]
	if err := json.Unmarshal(line, &r); err != nil {
		return load{}, fmt.Errorf("read wrk's output: %w: %s", err, out)
	}
	micros := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	l := load{
		Right: r.Requests - r.Status, Wrong: r.Status, Broken: r.Broken,
		Took: micros(r.Micros), P50: micros(r.P50), P99: micros(r.P99), P999: micros(r.P999),
	}
	if want >= http.StatusBadRequest {
		l.Right, l.Wrong = l.Wrong, l.Right
	}
	return l, nil
}
