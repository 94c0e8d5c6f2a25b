package stage

import (
	"runtime"
	"slices"
	"testing"
)

// settler is a probe that notes when it is told to settle.
type settler struct {
	probe
	settle func()
}

func (s settler) Settle() { s.settle() }

func TestSettleComesBehindAllThatIsAtHand(t *testing.T) {
	s := newStage(t, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	var got []string
	m := Spawn(s, "a", 8, settler{
		probe{receive: func(i int) {
			switch i {
			case 0:
				close(entered)
				<-release
			case 2:
				panic("boom")
			}
			got = append(got, "message")
		}},
		func() { got = append(got, "settle") },
	})
	m.TrySend(0)
	<-entered
	for i := range 3 { // they wait together, and one of them panics
		m.TrySend(i + 1)
	}
	close(release)
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"message", "settle", "message", "message", "settle"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAPanicInSettleLosesNothing(t *testing.T) {
	faults := 0
	s := newStage(t, func(string) { faults++ })
	handled, settled := 0, 0
	m := Spawn(s, "a", 1, settler{
		probe{receive: func(int) { handled++ }},
		func() {
			if settled++; settled == 1 {
				panic("boom")
			}
		},
	})
	for range 2 {
		for !m.TrySend(0) {
		}
	}
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if handled != 2 || settled < 1 || m.Stats().Panics != 1 || faults != 1 {
		t.Errorf("%d messages handled, %d times settled, %d panics, %d told; want 2, 1 or 2, 1, 1", handled, settled, m.Stats().Panics, faults)
	}
}

// TestAPanicInSettleIsTriedOnceMore sends one message alone: nothing else would have it settled.
func TestAPanicInSettleIsTriedOnceMore(t *testing.T) {
	s := newStage(t, nil)
	tries := 0
	m := Spawn(s, "a", 1, settler{probe{receive: func(int) {}}, func() {
		if tries++; tries == 1 {
			panic("boom")
		}
	}})
	m.TrySend(0)
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tries != 2 {
		t.Errorf("Settle was called %d times, want 2", tries)
	}
}

// TestWorkersRestForTheNextJob holds that jobs share few goroutines when they come one after the other, that none waits for another when they
// come together, and (with goleak in TestMain) that Stop sends those home that rest.
func TestWorkersRestForTheNextJob(t *testing.T) {
	s := newStage(t, nil)
	const many = 3 * restingMax
	arrived, release, done := make(chan struct{}, many), make(chan struct{}), make(chan struct{}, many)
	for range many {
		s.Go("job", func() {
			arrived <- struct{}{}
			<-release
			done <- struct{}{}
		}, nil)
	}
	for range many {
		<-arrived
	}
	close(release)
	for range many {
		<-done
	}
	s.Go("bad", func() { panic("boom") }, nil)
	for range many { // a worker that met a panic is as good as any other
		s.Go("job", func() { done <- struct{}{} }, nil)
		<-done
	}
	for s.resting.Load() > restingMax { // those that are too many count for a moment, too
		runtime.Gosched()
	}
}
