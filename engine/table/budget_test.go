package table

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestBudgetGivesExactlyWhatItHas(t *testing.T) {
	var b Budgets
	ref, _ := b.Open()
	if got := b.Take(ref); got != BudgetEmpty {
		t.Fatalf("Take of an empty counter = %v, want BudgetEmpty", got)
	}
	const visits = 1000
	b.Give(ref, visits)
	var taken atomic.Int64
	var takers sync.WaitGroup
	for range 8 {
		takers.Go(func() {
			for range visits {
				if b.Take(ref) == BudgetOpen {
					taken.Add(1)
				}
			}
		})
	}
	takers.Wait()
	if taken.Load() != visits {
		t.Errorf("%d visits were taken, want %d", taken.Load(), visits)
	}
}

func TestClosedBudgetGivesNothingToAnOldReader(t *testing.T) {
	var b Budgets
	old, _ := b.Open()
	b.Give(old, 7)
	if got := b.Close(old); got != 7 {
		t.Errorf("Close = %d, want what remained, 7", got)
	}
	if got := b.Close(old); got != 0 {
		t.Errorf("second Close = %d, want 0", got)
	}
	next, _ := b.Open()
	if uint32(next) != uint32(old) {
		t.Fatal("the counter's place was not used again, so the test shows nothing")
	}
	b.Give(next, 3)
	if b.Take(old) != BudgetEmpty || b.Give(old, 1) || b.Take(next) != BudgetOpen {
		t.Error("a ref from before Close reaches the counter's next owner")
	}
	if got := b.Close(next); got != 2 {
		t.Errorf("Close = %d, want 2", got)
	}
}

func TestExhaustedBudgetSaysSoUntilItGetsMore(t *testing.T) {
	var b Budgets
	ref, _ := b.Open()
	b.Exhaust(ref)
	if b.Take(ref) != BudgetExhausted || b.Peek(ref) != BudgetExhausted {
		t.Error("an exhausted counter does not say so")
	}
	b.Revive(ref)
	if b.Take(ref) != BudgetEmpty {
		t.Error("a revived counter is not empty")
	}
	b.Exhaust(ref)
	if !b.Give(ref, 1) || b.Peek(ref) != BudgetOpen || b.Take(ref) != BudgetOpen {
		t.Error("visits given to an exhausted counter can't be taken")
	}
	b.Give(ref, 2)
	if b.Exhaust(ref); b.Take(ref) != BudgetOpen {
		t.Error("Exhaust took visits away")
	}
	b.Take(ref)
	b.Exhaust(ref)
	if got := b.Close(ref); got != 0 {
		t.Errorf("Close of an exhausted counter = %d, want 0", got)
	}
}

func TestBudgetRefuses(t *testing.T) {
	var b Budgets
	if b.Take(0) != BudgetEmpty || b.Give(0, 1) || b.Close(0) != 0 || b.Take(1<<32|99) != BudgetEmpty || b.Close(1<<32|99) != 0 {
		t.Error("a ref to nothing reaches something")
	}
	for range BudgetsMax {
		if _, ok := b.Open(); !ok {
			t.Fatal("Open refuses below BudgetsMax")
		}
	}
	if _, ok := b.Open(); ok {
		t.Error("Open gives more than BudgetsMax counters")
	}
}
