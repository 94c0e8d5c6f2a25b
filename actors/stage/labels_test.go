package stage

import (
	"bytes"
	"runtime/pprof"
	"strings"
	"testing"
)

func TestProfilesTellActorsAndWorkersApart(t *testing.T) {
	s := newStage(t, nil)
	profiled := make(chan string, 1)
	snapshot := func() {
		var b bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
			t.Error(err)
		}
		profiled <- b.String()
	}
	m := Spawn(s, "shard-7", 1, probe{receive: func(int) { snapshot() }})
	go snapshot()
	if text := <-profiled; strings.Contains(text, `"actor"`) {
		t.Errorf("whoever spawns an actor takes on its name:\n%s", text)
	}
	m.TrySend(1)
	if text := <-profiled; !strings.Contains(text, `{"actor":"shard"}`) {
		t.Errorf("a profile within Receive does not name the actor's kind:\n%s", text)
	}
	s.Go("bus-publish", snapshot, nil)
	if text := <-profiled; !strings.Contains(text, `{"worker":"bus"}`) {
		t.Errorf("a profile within a worker does not name its kind:\n%s", text)
	}
}

func TestStatsTellHowLongABatchHasTaken(t *testing.T) {
	s := newStage(t, nil)
	started, release := make(chan struct{}), make(chan struct{})
	m := Spawn(s, "a", 1, probe{receive: func(int) { close(started); <-release }})
	if got := m.Stats().Stuck; got != 0 {
		t.Errorf("an idle actor has been busy for %v", got)
	}
	m.TrySend(1)
	<-started
	for m.Stats().Stuck == 0 { // the clock may not have moved yet
	}
	close(release)
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.Stats().Stuck; got != 0 {
		t.Errorf("an actor that is done has been busy for %v", got)
	}
}
