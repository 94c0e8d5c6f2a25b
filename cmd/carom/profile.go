package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/grafana/pyroscope-go"
	"github.com/grafana/pyroscope-go/godeltaprof"
	shared "github.com/grafana/pyroscope-go/http/pprof"

	"github.com/carom-dev/carom/edge/wire"
)

// profiler sends profiles to Pyroscope.
type profiler struct{ sender *pyroscope.Profiler }

const (
	// profileUploadTimeout bounds one upload; the end waits for those under way.
	profileUploadTimeout = 5 * time.Second
	// One in mutexFraction waits for a lock is looked at, and of waits for anything one in blockRate nanoseconds of waiting: with
	// both, no cost could be measured.
	mutexFraction = 100
	blockRate     = 10_000
)

// watchContention has the runtime count waits for locks and channels.
func watchContention() {
	runtime.SetMutexProfileFraction(mutexFraction)
	runtime.SetBlockProfileRate(blockRate)
}

// startProfiler starts sending profiles to server, under tags that tell this instance's from others'.
func startProfiler(server string, tags map[string]string, contention bool, log *slog.Logger) (*profiler, error) {
	// CPU and heap; goroutine profiles are left out, as they stop the world for a time that grows with the number of goroutines.
	types := []pyroscope.ProfileType{
		pyroscope.ProfileCPU, pyroscope.ProfileAllocObjects, pyroscope.ProfileAllocSpace, pyroscope.ProfileInuseObjects, pyroscope.ProfileInuseSpace,
	}
	if contention {
		types = append(types, pyroscope.ProfileMutexCount, pyroscope.ProfileMutexDuration, pyroscope.ProfileBlockCount, pyroscope.ProfileBlockDuration)
	}
	sender, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: "carom", ServerAddress: server, Tags: tags, ProfileTypes: types,
		HTTPClient: &http.Client{Timeout: profileUploadTimeout},
		// Without this a heap profile forces a garbage collection whenever none happened by itself, which is the rule here.
		DisableGCRuns: true,
		Logger:        &profileLog{log: log, throttle: wire.Throttle{Interval: time.Minute}},
	})
	if err != nil {
		return nil, fmt.Errorf("start sending profiles: %w", err)
	}
	return &profiler{sender}, nil
}

// stop sends what is there, until ctx ends.
func (p *profiler) stop(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		p.sender.Flush(true)
		done <- p.sender.Stop()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// profileLog takes what the library says; of its errors one a minute is enough, as each upload has one while the server is away.
type profileLog struct {
	log      *slog.Logger
	throttle wire.Throttle
}

func (*profileLog) Infof(string, ...any)  {}
func (*profileLog) Debugf(string, ...any) {}

func (l *profileLog) Errorf(format string, args ...any) {
	if ok, swallowed := l.throttle.Allow(time.Now()); ok {
		l.log.Warn("profiles can't be sent", "err", strings.TrimSpace(fmt.Sprintf(format, args...)), "swallowed", swallowed)
	}
}

// profileHandlers are the profiles on the admin listener that net/http/pprof does not have, or not while profiles are being sent.
func profileHandlers() map[string]http.Handler {
	// The sender's own profiler is interrupted for as long as this one runs; the runtime has only one.
	return map[string]http.Handler{"/debug/pprof/profile": http.HandlerFunc(shared.Profile)}
}

// deltaProfiles are what was allocated or waited for since the last time that they were asked for: for those who collect profiles
// regularly. Contention is counted with --profile-contention.
func deltaProfiles() map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"/debug/pprof/delta_heap":  godeltaprof.NewHeapProfiler().Profile,
		"/debug/pprof/delta_mutex": godeltaprof.NewMutexProfiler().Profile,
		"/debug/pprof/delta_block": godeltaprof.NewBlockProfiler().Profile,
	}
}
